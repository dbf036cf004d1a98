"""The programs' HTTP APIs as the commands use them: problems become one sentence and an exit code."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from sentops_cli.outcome import CommandError, ExitCode

Parsed = TypeVar("Parsed", bound=BaseModel)

_BAD_INPUT = {400, 413, 415, 422}
_REFUSED = {401, 403, 409}
_AWAY = {429, 502, 503, 504}


@dataclass(frozen=True)
class Address:
    """Where a program answers, and with which token. No `url`: not known."""

    name: str
    url: str
    token: str | None = field(default=None, repr=False)
    client_id: str | None = field(default=None, repr=False)
    actor: str | None = None  # for the audit log


@dataclass(frozen=True)
class Addresses:
    web: Address
    trainer: Address
    backoffice: Address
    monitor: Address

    def __iter__(self) -> Iterator[Address]:
        return iter((self.web, self.trainer, self.backoffice, self.monitor))


class Service:
    """One program's API."""

    def __init__(self, address: Address, client: httpx.AsyncClient) -> None:
        self._address = address
        self._client = client

    @property
    def url(self) -> str:
        return self._address.url

    async def get(self, path: str, **options: Any) -> Any:
        return await self.call("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Any:
        return await self.call("POST", path, **options)

    async def call(self, method: str, path: str, **options: Any) -> Any:
        """The answer's JSON (or text); CommandError with the service's own sentence when it refuses."""
        if not self._address.url:
            raise CommandError(
                f"This asks the {self._address.name}, and no address of it is known: set "
                f"SENTOPS_{self._address.name.upper()}_URL and its token, or name a running --home.",
                ExitCode.NOT_RUNNING,
            )
        headers: dict[str, str] = {}
        if self._address.token is not None:
            headers["authorization"] = f"Bearer {self._address.token}"
        if self._address.client_id is not None:
            headers["x-client-id"] = self._address.client_id
        if self._address.actor is not None:
            headers["x-sentops-actor"] = self._address.actor
        try:
            answer = await self._client.request(
                method, self._address.url + path, headers=headers, **options
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise CommandError(
                f"{self._address.url!r} is no address; write it as http://host:port.",
                ExitCode.BAD_INPUT,
            ) from error
        except httpx.HTTPError as error:
            raise CommandError(
                f"{self._address.name} does not answer at {self._address.url} "
                f"({type(error).__name__}). Is it running? See `sentops status`.",
                ExitCode.NOT_RUNNING,
            ) from error
        if answer.is_success:
            kind = answer.headers.get("content-type", "")
            return answer.json() if "json" in kind and answer.content else answer.text
        raise CommandError(
            sentence_of(answer, self._address.name), exit_code_of(answer.status_code)
        )


def exit_code_of(status: int) -> ExitCode:
    if status in _BAD_INPUT:
        return ExitCode.BAD_INPUT
    if status in _REFUSED:
        return ExitCode.REFUSED
    return ExitCode.NOT_RUNNING if status in _AWAY else ExitCode.FAILED


def sentence_of(answer: httpx.Response, name: str) -> str:
    """The problem document's `detail`, with each refused field of a list named."""
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, Mapping) or not problem.get("detail"):
        phrase = HTTPStatus(answer.status_code).phrase
        return f"{name} answered {answer.status_code} {phrase} and did not say why."
    sentence = str(problem["detail"])
    fields = problem.get("errors")
    if isinstance(fields, list) and len(fields) > 1:
        sentence += "".join(
            f"\n  {one.get('field', '')}: {one.get('message', '')}"
            for one in fields
            if isinstance(one, Mapping)
        )
    if answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR and problem.get("trace_id"):
        sentence += f" (The log lines have the trace {problem['trace_id']}.)"
    return sentence


def parse(kind: type[Parsed], document: object) -> Parsed:
    """A document of the API as its domain type."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise CommandError(
            f"The service speaks another version than this command ({kind.__name__}: "
            f"{error.error_count()} fields differ): upgrade one of them."
        ) from error


@dataclass(frozen=True)
class Services:
    web: Service
    trainer: Service
    backoffice: Service
    monitor: Service


@asynccontextmanager
async def open_services(addresses: Addresses, *, seconds: float = 60) -> AsyncIterator[Services]:
    """Clients for the programs. A proxy is for the world outside, never for this machine."""
    local = all(
        not one.url or httpx.URL(one.url).host in {"127.0.0.1", "localhost", "::1"}
        for one in addresses
    )
    async with httpx.AsyncClient(timeout=seconds, trust_env=not local) as client:
        yield Services(
            web=Service(addresses.web, client),
            trainer=Service(addresses.trainer, client),
            backoffice=Service(addresses.backoffice, client),
            monitor=Service(addresses.monitor, client),
        )
