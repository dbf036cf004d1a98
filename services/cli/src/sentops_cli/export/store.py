"""Where the artefacts are kept before and after the move, and what that makes of each address."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sentops_cli.outcome import CommandError, ExitCode

# The chart keeps the store in this folder of its claim (charts/sentops/templates/_store.tpl).
_FOLDER_ON_CLAIM = "store"
_BUCKET = r"[a-z0-9][a-z0-9.-]+[a-z0-9]"
_CLAIM = r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?"
_S3 = re.compile(rf"s3://(?P<bucket>{_BUCKET})(?:/(?P<prefix>[^?#\s]*))?")
_PVC = re.compile(rf"pvc://(?P<claim>{_CLAIM})/{_FOLDER_ON_CLAIM}")
# <root>/artifacts/<digest> and <root>/datasets/<hash>: what core.artifacts and core.datasets publish.
_IN_A_STORE = re.compile(r"(?P<root>\S+)/(?P<rest>(?:artifacts|datasets)/[0-9a-f]{64})")


@dataclass(frozen=True)
class NewStore:
    """The store of the cluster: on a volume claim, or in a bucket."""

    uri: str
    claim: str | None = None
    bucket: str = ""
    prefix: str = ""


def new_store(uri: str) -> NewStore:
    """CommandError for what the chart cannot use."""
    address = uri.rstrip("/")
    if found := _PVC.fullmatch(address):
        return NewStore(address, claim=found["claim"])
    if found := _S3.fullmatch(address):
        return NewStore(address, bucket=found["bucket"], prefix=(found["prefix"] or "").strip("/"))
    raise CommandError(
        f"{uri!r} is no store of a cluster: write s3://BUCKET/PREFIX, or "
        f"pvc://CLAIM/{_FOLDER_ON_CLAIM} (the chart keeps it in that folder of the claim).",
        ExitCode.BAD_INPUT,
    )


def root_of(uri: str) -> str:
    """The store that this artefact or dataset lies in."""
    found = _IN_A_STORE.fullmatch(uri)
    if found is None:
        raise CommandError(
            f"{uri} lies in no store of Sentops (…/artifacts/DIGEST, …/datasets/HASH), so it cannot be moved "
            "with one.",
            ExitCode.REFUSED,
        )
    return found["root"]


@dataclass(frozen=True)
class Move:
    """From one machine's store to the cluster's. `outside` lies on that machine, but in no backup of its store."""

    old: str
    new: NewStore
    outside: tuple[str, ...] = ()

    def moved(self, uri: str) -> str:
        """What pods could reach before, and is no part of the store, stays where it is."""
        found = _IN_A_STORE.fullmatch(uri)
        if found is None or (found["root"] != self.old and uri not in self.outside):
            return uri
        return f"{self.new.uri}/{found['rest']}"


def plan_move(new: NewStore, champion: str, others: Iterable[str]) -> Move:
    """The store is the one that the champion lies in."""
    old = root_of(champion)
    if old.startswith("pvc://") and old != new.uri:
        raise CommandError(
            f"This platform runs in a cluster already, and keeps its models at {old}: "
            f"name that, --store-uri {old}.",
            ExitCode.REFUSED,
        )
    outside = [uri for uri in others if uri.startswith("file://") and root_of(uri) != old]
    return Move(old, new, tuple(dict.fromkeys(outside)))
