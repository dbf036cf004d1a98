"""README.md of an export: what to do, in which order, with the names filled in."""

import shlex
from dataclasses import dataclass
from string import Template
from urllib.parse import unquote, urlsplit

from sentops_cli.export.secrets import FIRST_PASSWORD, IN_ENV, IN_JSON, SecretSource
from sentops_cli.export.store import Move
from sentops_cli.export.values import Target

README = "README.md"
VALUES = "values.yaml"
VERSIONS = "model-versions.yaml"
POLICIES = "retrain-policies.yaml"
SECRET = "secret.yaml"  # noqa: S105 - a file's name
# Where compose has the store, in a volume that only containers see (compose/compose.yaml).
_COMPOSE_STORE = "file:///var/lib/sentops/store"
_FORWARDED = 5433  # the port of this machine that leads to the release's database
_AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION")

_GUIDE = Template("""\
# Moving Sentops to Kubernetes

Written by `sentops export` while **$champion** of the model `$model` served. It needs `kubectl` and `helm` pointed at the
cluster, and bash. `EXPORT` is this folder, `CHART` the folder `charts/sentops` of the repository, of the version that the
images are of; the other commands are for $where.

```sh
EXPORT=/path/to/this/folder CHART=/path/to/charts/sentops
```

| file | what |
|---|---|
$files

$warnings## 1. Signing key and tokens

Prediction ids that people hold are signed with the key, and scripts hold the tokens: both stay the same.

```sh
kubectl create namespace $namespace
$secrets
```

$install## $backup_step. A last backup, and into the cluster with it

Answers and votes that come after the backup stay behind, so the page stops first. To be without a page for less long, try all this
once before with the page running, into a namespace that you delete afterwards.

```sh
$backup
```

$restore

Accounts, datasets, votes and the history of trainings come with the database. Trainings that ended are no resources to apply: a
TrainingJob that is applied is trained.

$after_restore## $serve_step. Who serves

```sh
kubectl --namespace $namespace apply --filename "$$EXPORT/$versions"
kubectl --namespace $namespace wait --for=condition=Ready modelversion/$champion --timeout=15m
helm --namespace $namespace test $release --logs
```

The champion's artefact is verified (digest, golden predictions) and goes Live by itself, past its gate; the versions of later trainings
count on from the numbers here. Apply the file once: after a roll-back it would ask for the same version again.

$policies## $dns_step. The address

$dns

## $end_step. When it runs

Look at `kubectl --namespace $namespace get sentops`, train once there, then take the old platform down for good, and keep its
last backup. New backups are yours to arrange: the database's, and those of `$store`.
""")

_INSTALL = """\
```sh
helm upgrade --install {release} "$CHART" --namespace {namespace} --values "$EXPORT/{values}" --wait --timeout 15m
```
"""


_POLICIES = """\
When it trains again by itself, as it did here; each policy begins afresh:

```sh
kubectl --namespace {namespace} apply --filename "$EXPORT/{policies}"
kubectl --namespace {namespace} get retrainpolicies
```

"""


@dataclass(frozen=True)
class Facts:
    """What the guide speaks of."""

    target: Target
    move: Move
    champion: str
    model_name: str
    source: SecretSource | None
    with_secrets: bool
    with_policies: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def from_compose(self) -> bool:
        """Else `make up`."""
        if self.source is not None:
            return self.source.is_env
        return self.move.old == _COMPOSE_STORE

    @property
    def secret_file(self) -> str:
        """As the reader sees it; a container has compose's .env under another path."""
        if self.from_compose:
            return ".env"
        return str(self.source.path) if self.source is not None else ".sentops/secrets.json"

    @property
    def backups(self) -> str:
        """Compose's folder of backups, for `docker run -v`."""
        named = self.source.settings.get("BACKUP_TO", "") if self.source is not None else ""
        folder = (named or "./backups").removeprefix("./")
        return folder if folder.startswith("/") else f"$PWD/{folder}"


def text(facts: Facts) -> str:
    target = facts.target
    inside = (
        not target.database_secret
    )  # the database is in the release, so it is there once that is
    install = _INSTALL.format(release=target.release, namespace=target.namespace, values=VALUES)
    before = f"## 2. Install\n\n{_images(target)}{install}\n" if inside else ""
    after = f"## 3. Install\n\n{_images(target)}{install}\n" if not inside else ""
    copy = _copy_to_claim(facts)
    if copy and not inside:
        after += f"Then the store, to its volume:\n\n{copy}\n"
    return _GUIDE.substitute(
        champion=facts.champion,
        model=facts.model_name,
        where="the folder `compose` of the old server"
        if facts.from_compose
        else "the folder where `make up` was started",
        files=_files(facts),
        warnings="".join(f"**Note.** {line}\n\n" for line in facts.warnings),
        namespace=target.namespace,
        release=target.release,
        secrets=_secrets(facts),
        install=before,
        backup_step=3 if inside else 2,
        backup=_backup(facts),
        restore=_restore(facts, install, copy) if inside else _restore_outside(facts),
        after_restore=after,
        serve_step=4,
        versions=VERSIONS,
        policies=_POLICIES.format(namespace=target.namespace, policies=POLICIES)
        if facts.with_policies
        else "",
        dns_step=5,
        dns=_dns(target),
        end_step=6,
        store=target.store.uri,
    )


def _files(facts: Facts) -> str:
    rows = [
        (VALUES, "values of the chart, where they differ from its own"),
        (VERSIONS, "the version that serves, and what keeps the numbers going"),
    ]
    if facts.with_policies:
        rows.append((POLICIES, "when a model is trained again by itself"))
    if facts.with_secrets:
        rows.append((SECRET, "**signing key and tokens**: delete it after step 1, never commit it"))
    return "\n".join(f"| `{name}` | {what} |" for name, what in rows)


# ---- secrets


def _secrets(facts: Facts) -> str:
    target = facts.target
    make = f"kubectl --namespace {target.namespace} create secret"
    lines = [_credentials(facts, make)]
    if target.database_secret:
        lines.append(
            f"{make} generic {target.database_secret} \\\n"
            "    --from-literal=url='postgresql://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require'"
        )
    if target.store_secret:
        endpoint = shlex.quote(target.store_endpoint)
        lines.append(
            f"{make} generic {target.store_secret} --from-literal=AWS_DEFAULT_REGION=... \\\n"
            "    --from-literal=AWS_ACCESS_KEY_ID=... --from-literal=AWS_SECRET_ACCESS_KEY=..."
            + (
                f" \\\n    --from-literal=AWS_ENDPOINT_URL={endpoint}"
                if target.store_endpoint
                else ""
            )
        )
    if target.domain:
        lines.append(
            f"{make} tls {target.tls_secret} --cert=FILE --key=FILE"
            "   # not with cert-manager, which makes it: ingress.annotations"
        )
    return "\n".join(lines)


def _credentials(facts: Facts, make: str) -> str:
    if facts.with_secrets:
        apply = f"kubectl --namespace {facts.target.namespace} apply --filename"
        return f'{apply} "$EXPORT/{SECRET}" && rm "$EXPORT/{SECRET}"'
    file = shlex.quote(facts.secret_file)
    options = []
    for key, name in (IN_ENV if facts.from_compose else IN_JSON).items():
        if key == FIRST_PASSWORD:  # for an empty database alone; the accounts come with ours
            options.append(f'--from-literal={key}="$(openssl rand -hex 12)"')
        elif facts.from_compose:
            options.append(f"--from-file={key}=<(sed -n 's/^{name}=//p' {file} | tr -d '\\n')")
        else:
            options.append(f"--from-file={key}=<(jq --join-output .{name} {file})")
    return f"{make} generic {facts.target.credentials} \\\n    " + " \\\n    ".join(options)


# ---- images


def _images(target: Target) -> str:
    if target.registry:
        return ""
    return (
        "The values name no registry, so the nodes must have the images already (`kind load docker-image`, "
        "`k3s ctr images import`);\n"
        f"or push them (`make images REGISTRY=...`) and set `image.registry` in `{VALUES}`.\n\n"
    )


# ---- database and store: one restore brings both


def _backup(facts: Facts) -> str:
    if facts.from_compose:
        return "docker compose stop web\ndocker compose run --rm backup"
    return "sentops down\nsentops backup backups"


def _restore(facts: Facts, install: str, copy: str) -> str:
    """Into the database of the release, which only its own pods and a forwarded port reach."""
    target = facts.target
    name, kubectl = target.fullname, f"kubectl --namespace {target.namespace}"
    then = f"\n\nThen the store, to its volume:\n\n{copy.rstrip()}" if copy else ""
    return f"""\
Nobody may use the database meanwhile, so its programs stop for the restore:

```sh
{kubectl} scale --replicas=0 statefulset/{name}-web deployment/{name}-backoffice \\
    deployment/{name}-trainer deployment/{name}-monitor
{kubectl} wait --for=delete pod --timeout=3m \\
    --selector 'app.kubernetes.io/instance={target.release},app.kubernetes.io/component in (web,backoffice,trainer,monitor)'
{kubectl} port-forward service/{name}-postgresql {_FORWARDED}:5432 & sleep 3
DATABASE=$({kubectl} get secret {name}-database --output jsonpath='{{.data.url}}' | base64 --decode |
    sed 's#@[^/]*/#@127.0.0.1:{_FORWARDED}/#')
{_restore_command(facts, '"$DATABASE"', "--replace")}
kill %1
```

Now everything starts again, and brings the schema up to date:

{install.rstrip()}{then}"""


def _restore_outside(facts: Facts) -> str:
    command = _restore_command(facts, '"$DATABASE"', "")
    return f"""\
```sh
DATABASE='postgresql://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require'      # the empty one of step 1
{command}
```"""


def _restore_command(facts: Facts, database: str, options: str) -> str:
    """It fills the store as well, and tells the database where its datasets are from now on."""
    store, claim = facts.target.store, facts.target.store.claim
    folder = f"mkdir -p to-cluster/{claim}\n" if claim else ""
    if facts.from_compose:
        mounts = ' -v "$PWD/to-cluster:/pvc"' if claim else ""
        keys = "" if claim else "".join(f" -e {name}" for name in _AWS)
        image = f"sentops-cli:{facts.target.tag or 'TAG'}"
        image = f"{facts.target.registry}/{image}" if facts.target.registry else image
        command = (
            f'docker run --rm --network host --user 0 -v "{facts.backups}:/backups:ro"{mounts} \\\n'
            f"    -e SENTOPS_DATABASE_URL={database} -e SENTOPS_STORE_URI={shlex.quote(store.uri)}{keys} \\\n"
            f"    {image} restore /backups latest {options}"
        )
    else:
        root = 'SENTOPS_PVC_ROOT="$PWD/to-cluster" ' if claim else ""
        command = (
            f"{root}SENTOPS_DATABASE_URL={database} SENTOPS_STORE_URI={shlex.quote(store.uri)} \\\n"
            f"    sentops restore backups latest {options}"
        )
    return folder + command.rstrip()


def _copy_to_claim(facts: Facts) -> str:
    """What the restore has put into a folder here, into the volume that only pods see."""
    target, claim = facts.target, facts.target.store.claim
    if claim is None:
        return ""
    return f"""\
```sh
tar -C to-cluster/{claim} -cf - store | kubectl --namespace {target.namespace} exec -i deployment/{target.fullname}-backoffice \\
    --container backoffice -- tar -C /pvc/{claim} -xf - --no-same-owner --no-same-permissions
```
"""


# ---- the address


def _dns(target: Target) -> str:
    if not target.domain:
        return (
            f"`{VALUES}` exposes nothing yet: set `ingress.enabled`, `ingress.web.host` and `ingress.backoffice.host` "
            "(or `gateway`), install\nonce more as above, and point that host's records at the cluster's ingress."
        )
    domain = target.domain
    return f"""\
Lower the TTL of `{domain}`'s records a day before. Ask the new platform first, then point the records at it:

```sh
kubectl --namespace {target.namespace} get ingress
curl --fail --resolve {domain}:443:ADDRESS_OF_THE_INGRESS https://{domain}/api/predict \\
    -H 'content-type: application/json' -d '{{"text": "ottimo prodotto"}}'
```"""


def outside_note(move: Move) -> str:
    """A sentence on what no backup of the store holds; empty where there is nothing."""
    if not move.outside:
        return ""
    moves = ", ".join(
        f"`{unquote(urlsplit(uri).path)}` to `{move.moved(uri)}`" for uri in move.outside
    )
    return f"Outside the store, so in no backup of it, and to be copied by hand: {moves}."
