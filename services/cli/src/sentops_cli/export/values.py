"""Values of charts/sentops for the platform that is moved."""

import math
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sentops_cli.export.store import NewStore
from sentops_cli.outcome import CommandError, ExitCode

_GIBIBYTE = 2**30
# As large as the chart's own claim, or so often what the models need now.
_SMALLEST_CLAIM = 20
_ROOM_TO_GROW = 3
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_ENDPOINT = re.compile(r"https?://[^\s/]+\S*")
# What helm allows for the name of a release.
_LONGEST_RELEASE = 53


@dataclass(frozen=True)
class Target:
    """The release that the platform becomes."""

    store: NewStore
    release: str = "sentops"
    namespace: str = "sentops"
    registry: str = ""
    tag: str = ""
    domain: str = ""
    database_secret: str = ""  # empty: PostgreSQL in the release
    store_secret: str = ""  # of a bucket; empty: a cloud's workload identity
    store_endpoint: str = ""

    def __post_init__(self) -> None:
        _require(_NAME, self.release, "--release", "lower-case letters, digits and hyphens")
        _require(_NAME, self.namespace, "--namespace", "lower-case letters, digits and hyphens")
        _require(_TAG, self.tag, "--tag", "the tag that `make images` or your CI gave", empty=True)
        _require(_HOST, self.domain, "--domain", "a host such as ask.example.org", empty=True)
        _require(_NAME, self.database_secret, "--database-secret", "a Secret's name", empty=True)
        _require(_NAME, self.store_secret, "--store-secret", "a Secret's name", empty=True)
        _require(
            _ENDPOINT, self.store_endpoint, "--store-endpoint", "http(s)://host:port", empty=True
        )
        if len(self.release) > _LONGEST_RELEASE:
            raise _refused(f"--release has at most {_LONGEST_RELEASE} letters")
        if self.tag == "latest":
            raise _refused("--tag latest names no version: give the one that runs now")
        if self.store.claim and (self.store_secret or self.store_endpoint):
            raise _refused("--store-secret and --store-endpoint are for a bucket (s3://)")

    @property
    def fullname(self) -> str:
        return fullname(self.release)

    @property
    def credentials(self) -> str:
        """A name of our own: the chart makes <fullname>-credentials itself where it is not given one."""
        return f"{self.fullname}-moved"

    @property
    def tls_secret(self) -> str:
        return f"{self.fullname}-tls"


def fullname(release: str) -> str:
    """What the chart calls its objects (templates/_names.tpl)."""
    name = release if "sentops" in release else f"{release}-sentops"
    return name[:40].removesuffix("-")


def own_claim(release: str) -> str:
    """The claim that the chart makes for artefacts."""
    return f"{fullname(release)}-artifacts"


def _require(
    pattern: re.Pattern[str], value: str, option: str, wanted: str, *, empty: bool = False
) -> None:
    if not (value or empty) or (value and not pattern.fullmatch(value)):
        raise _refused(f"{option} {value!r}: write {wanted}")


def _refused(why: str) -> CommandError:
    return CommandError(f"{why}.", ExitCode.BAD_INPUT)


def chart_values(target: Target, *, model_name: str, bytes_of_models: int) -> dict[str, Any]:
    """Only what differs from the chart's own values.yaml."""
    values: dict[str, Any] = {}
    image = {"registry": target.registry, "tag": target.tag}
    if image := {key: value for key, value in image.items() if value}:
        values["image"] = image
    values["modelName"] = model_name
    values["secrets"] = {"existingSecret": target.credentials}
    if target.database_secret:
        values["postgresql"] = {"enabled": False}
        values["externalDatabase"] = {"existingSecret": target.database_secret}
    values["artifacts"] = _artifacts(target, bytes_of_models)
    port = _port(target.store_endpoint)
    if port not in {None, 443}:
        values["networkPolicy"] = {"objectStore": {"ports": [port]}}
    if target.domain:
        host = {"host": target.domain, "tlsSecret": target.tls_secret}
        values["ingress"] = {"enabled": True, "web": dict(host), "backoffice": dict(host)}
    return values


def _artifacts(target: Target, bytes_of_models: int) -> dict[str, Any]:
    store = target.store
    if store.claim is None:
        s3 = {"bucket": store.bucket, "prefix": store.prefix}
        if target.store_secret:  # which then holds the address as well
            s3["existingSecret"] = target.store_secret
        elif target.store_endpoint:
            s3["endpoint"] = target.store_endpoint
        return {"type": "s3", "s3": s3}
    size = max(_SMALLEST_CLAIM, math.ceil(_ROOM_TO_GROW * bytes_of_models / _GIBIBYTE))
    if store.claim == own_claim(target.release):
        return {"type": "pvc", "pvc": {"size": f"{size}Gi"}}
    return {"type": "pvc", "pvc": {"existingClaim": store.claim}}


def _port(endpoint: str) -> int | None:
    if not endpoint:
        return None
    parts = urlsplit(endpoint)
    try:
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise _refused(f"--store-endpoint {endpoint!r}: write http(s)://host:port") from error
