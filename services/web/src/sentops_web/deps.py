"""What routes ask for, by name."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from sentops_web.answering import Answering
from sentops_web.cards import Cards
from sentops_web.drain import Drain
from sentops_web.identity import Client, identify
from sentops_web.lookup import Lookup
from sentops_web.metrics import WebMetrics
from sentops_web.rates import Allowance, TooManyRequests
from sentops_web.routing import RoutingClient
from sentops_web.settings import Settings
from sentops_web.signing import Signer
from sentops_web.similar import Similar
from sentops_web.spool import Spool
from sentops_web.status import StatusBoard
from sentops_web.voting import Voting


@dataclass(frozen=True)
class Parts:
    """Everything that lives as long as the program."""

    settings: Settings
    signer: Signer
    answering: Answering
    voting: Voting
    lookup: Lookup
    similar: Similar
    cards: Cards
    routing: RoutingClient
    spool: Spool
    drain: Drain
    status: StatusBoard
    texts: Allowance
    votes: Allowance
    metrics: WebMetrics

    def spend_texts(self, client: Client, amount: int) -> None:
        self._spend(self.texts, client, amount)

    def spend_vote(self, client: Client) -> None:
        self._spend(self.votes, client, 1)

    def _spend(self, allowance: Allowance, client: Client, amount: int) -> None:
        try:
            allowance.spend(client.key, client.address, amount)
        except TooManyRequests:
            self.metrics.rate_limited.inc()
            raise


def parts_of(request: Request) -> Parts:
    parts: Parts = request.state.parts
    return parts


# Dependencies are async, also those that wait for nothing: FastAPI sends the others through a thread.
async def _parts(request: Request) -> Parts:
    return parts_of(request)


PartsOf = Annotated[Parts, Depends(_parts)]


async def client_of(
    request: Request,
    parts: PartsOf,
    x_client_id: Annotated[  # noqa: ARG001 - shown in the documentation; `identify` reads it
        str | None,
        Header(description="A secret of your own that names you: history and votes hang on it."),
    ] = None,
) -> Client:
    return identify(request, parts.signer)


Asker = Annotated[Client, Depends(client_of)]
