"""Who asks, as an opaque key: it owns the history, casts the vote, picks the variant and names what to erase."""

from dataclasses import dataclass

from fastapi import Request, Response

from sentops_core.domain.errors import InvalidInput
from sentops_web.signing import Signer

COOKIE = "sentops_client"
HEADER = "x-client-id"
_YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class Client:
    """`private` is false where the key is only a network address, which strangers can share."""

    key: str
    address: str
    private: bool
    new_cookie: str | None = None


def identify(request: Request, signer: Signer) -> Client:
    """The client by header, else by our cookie, else by its address (pseudonymised)."""
    return client_by(
        request.headers.get(HEADER),
        request.cookies.get(COOKIE, ""),
        request.client.host if request.client else None,
        signer,
    )


def client_by(header: str | None, cookie: str, host: str | None, signer: Signer) -> Client:
    """As `identify`, of what the request says."""
    address = signer.pseudonym("address", host or "unknown")
    if header is not None:
        if not 8 <= len(header) <= 200:
            raise InvalidInput(
                f"The header {HEADER} names you: send 8 to 200 characters that only you know."
            )
        return Client(f"id-{signer.pseudonym('client', header)}", address, private=True)
    identity = signer.open_cookie(cookie)
    if identity is not None:
        return Client(f"web-{identity}", address, private=True)
    return Client(f"net-{address}", address, private=False)


def identify_visitor(request: Request, signer: Signer) -> Client:
    """As `identify`, but a visitor of the page without a cookie becomes somebody new."""
    known = identify(request, signer)
    if known.private:
        return known
    cookie = signer.new_cookie()
    return Client(f"web-{cookie.split('.')[0]}", known.address, private=True, new_cookie=cookie)


def set_cookie(response: Response, cookie: str, *, secure: bool) -> None:
    """Out of reach of scripts and of other sites' forms."""
    response.set_cookie(COOKIE, cookie, max_age=_YEAR, httponly=True, samesite="lax", secure=secure)
