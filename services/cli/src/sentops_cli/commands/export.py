"""`sentops export`: from one machine to Kubernetes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sentops_cli.addresses import actor
from sentops_cli.commands.options import DEFAULT_HOME, HomeOption, ask
from sentops_cli.commands.versions import champion_name, parse_version
from sentops_cli.export import documents, guide
from sentops_cli.export.secrets import SecretSource, read_source, secret_manifest
from sentops_cli.export.store import new_store, plan_move
from sentops_cli.export.values import Target, chart_values, own_claim
from sentops_cli.home import home_at
from sentops_cli.outcome import CommandError, ExitCode
from sentops_cli.output import say
from sentops_cli.secrets_file import write_private
from sentops_cli.services import Services, parse
from sentops_core.domain.resources import ModelVersion, RetrainPolicy, TrainingJob
from sentops_core.domain.version_states import in_flight

_MOST = 500  # that the API lists at once


def export(  # noqa: PLR0913 - each is an option
    folder: Annotated[Path, typer.Argument(help="A new or an empty folder.")],
    *,
    store_uri: Annotated[
        str, typer.Option(help="The cluster's store: s3://BUCKET/PREFIX or pvc://CLAIM/store.")
    ] = "",
    every: Annotated[
        bool, typer.Option("--all", help="Every version of the model, not only who serves.")
    ] = False,
    release: Annotated[str, typer.Option(help="What the Helm release is called.")] = "sentops",
    namespace: Annotated[str, typer.Option(help="Where it is installed.")] = "sentops",
    registry: Annotated[
        str | None, typer.Option(help="Where the images are, such as ghcr.io/acme.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Tag of the images.")] = None,
    domain: Annotated[
        str | None, typer.Option(help="Host of the page, exposed by an Ingress.")
    ] = None,
    database_secret: Annotated[
        str,
        typer.Option(
            help="A Secret with the `url` of your PostgreSQL, instead of one in the release."
        ),
    ] = "",
    store_secret: Annotated[
        str, typer.Option(help="A Secret with AWS_* for the bucket; without, a cloud's identity.")
    ] = "",
    store_endpoint: Annotated[
        str, typer.Option(help="Address of an S3 server that is not AWS.")
    ] = "",
    secrets_from: Annotated[
        Path | None, typer.Option(help="compose/.env, or a secrets.json; else that of --home.")
    ] = None,
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Write signing key and tokens as a Secret, too.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Write what Kubernetes needs to go on from here: resources, values of the chart, and what to do."""
    folder = folder.expanduser().absolute()
    _require_empty(folder)
    source = _source(home, secrets_from)
    settings = source.settings if source is not None else {}
    target = Target(
        store=new_store(store_uri or f"pvc://{own_claim(release)}/store"),
        release=release,
        namespace=namespace,
        registry=(settings.get("REGISTRY", "") if registry is None else registry).rstrip("/"),
        tag=settings.get("TAG", "") if tag is None else tag,
        domain=_public(settings.get("DOMAIN", "")) if domain is None else domain,
        database_secret=database_secret,
        store_secret=store_secret,
        store_endpoint=store_endpoint,
    )
    if with_secrets and source is None:
        raise CommandError(
            "The secrets are not here: name the file that holds them, --secrets-from compose/.env.",
            ExitCode.BAD_INPUT,
        )
    found = ask(home, gather)
    files = texts(found, target, source, every=every, with_secrets=with_secrets)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        if name == guide.SECRET:
            write_private(folder / name, text)
        else:
            (folder / name).write_text(text)
    say(f"Written to {folder}: {', '.join(files)}. What to do with them: {folder / guide.README}")


@dataclass(frozen=True)
class Found:
    """What the running platform told."""

    champion: ModelVersion
    versions: tuple[ModelVersion, ...]
    jobs: tuple[TrainingJob, ...]
    dataset_uris: tuple[str, ...]
    policies: tuple[RetrainPolicy, ...]


async def gather(services: Services) -> Found:
    """CommandError when nothing serves: then there is nothing to go on from."""
    name = await champion_name(services)
    if name is None:
        raise CommandError(
            "No version answers yet, so there is nothing to move: install the chart and train there.",
            ExitCode.REFUSED,
        )
    most = {"limit": _MOST}
    versions = await services.trainer.get("/model-versions", params=most)
    jobs = await services.trainer.get("/training-jobs", params=most)
    datasets = await services.backoffice.get("/backoffice/api/datasets")
    policies = await services.trainer.get("/retrain-policies")
    return Found(
        champion=parse_version(await services.trainer.get(f"/model-versions/{name}")),
        versions=tuple(parse_version(one) for one in versions),
        jobs=tuple(parse(TrainingJob, one) for one in jobs),
        dataset_uris=tuple(one["storage_uri"] for one in datasets["datasets"]),
        policies=tuple(parse(RetrainPolicy, one) for one in policies),
    )


def texts(
    found: Found,
    target: Target,
    source: SecretSource | None,
    *,
    every: bool,
    with_secrets: bool,
) -> dict[str, str]:
    """Each file's name and content."""
    champion = found.champion
    chosen = documents.chosen_versions(found.versions, champion, every=every)
    uris = [version.spec.artifact.storage_uri for version in chosen]
    move = plan_move(target.store, uris[0], [*uris, *found.dataset_uris])
    uids = {job.metadata.name: job.metadata.uid or "" for job in found.jobs}
    exported = [
        documents.exported(
            version, move, serves=version is champion, job_uids=uids, approved_by=actor()
        )
        for version in chosen
    ]
    size = sum(version.spec.artifact.size_bytes for version in found.versions)
    values = chart_values(target, model_name=champion.spec.model_name, bytes_of_models=size)
    facts = guide.Facts(
        target=target,
        move=move,
        champion=champion.metadata.name,
        model_name=champion.spec.model_name,
        source=source,
        with_secrets=with_secrets,
        with_policies=bool(found.policies),
        warnings=tuple(filter(None, (guide.outside_note(move), *_left_behind(found)))),
    )
    files = {
        guide.README: guide.text(facts),
        guide.VALUES: documents.dumped(values),
        guide.VERSIONS: documents.to_yaml(exported),
    }
    if found.policies:
        policies = [documents.exported_policy(one) for one in found.policies]
        files[guide.POLICIES] = documents.to_yaml(policies)
    if with_secrets and source is not None:
        files[guide.SECRET] = documents.dumped(secret_manifest(source, target.credentials))
    return files


def _left_behind(found: Found) -> tuple[str, ...]:
    """What the move does not carry on, as sentences."""
    open_jobs = [job.metadata.name for job in found.jobs if not job.status.phase.final]
    rolling = [version.metadata.name for version in found.versions if in_flight(version)]
    sentences = []
    if open_jobs:
        sentences.append(
            f"Trainings that are not finished are not carried on: {', '.join(open_jobs)}. "
            "Let them end and export again, or train in the cluster."
        )
    if rolling:
        sentences.append(
            f"A roll-out is under way ({', '.join(rolling)}); in the cluster the champion alone serves. "
            "Let it end and export again, or promote it there (`--all`)."
        )
    if len(found.versions) == _MOST:
        sentences.append(f"There are more than {_MOST} versions; the oldest are not among these.")
    return tuple(sentences)


def _public(domain: str) -> str:
    return "" if domain == "localhost" else domain


def _source(home: Path, named: Path | None) -> SecretSource | None:
    """The file with the secrets: as named, else the state folder's own, where there is one."""
    if named is not None:
        return read_source(named)
    own = home_at(home).secrets
    return read_source(own) if own.exists() else None


def _require_empty(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"{folder} is a file; name a new folder.", ExitCode.BAD_INPUT)
    if folder.is_dir() and any(folder.iterdir()):
        raise CommandError(
            f"{folder} holds other things, and nothing is overwritten: name a new folder.",
            ExitCode.REFUSED,
        )
