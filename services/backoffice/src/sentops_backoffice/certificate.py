"""Until when the platform's certificate is good, asked of whoever presents it to visitors.

It is read without being judged: one that has expired already, or that a test authority signed, has a date as well.
The backoffice looks, since behind compose's Caddy only what Caddy leads to can reach it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

log = structlog.get_logger()

_EVERY = timedelta(hours=1)
_AGAIN_AFTER = timedelta(minutes=1)  # the proxy may not be up yet
_STALE_AFTER = timedelta(days=1)
_PATIENCE_SECONDS = 10

# Of X.690 and RFC 5280: the parts of a certificate on the way to its last day.
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_BEFORE_VALIDITY = 3  # serial number, algorithm, issuer


@dataclass(frozen=True)
class Address:
    host: str
    port: int = 443

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`example.org` or `example.org:8443`; ValueError says what is wrong."""
        host, colon, port = text.strip().partition(":")
        if not host or (colon and not (port.isdigit() and 0 < int(port) < 65536)):
            raise ValueError("write a host, or host:port, such as example.org:443")
        return cls(host, int(port) if colon else 443)


async def expiry_of(address: Address) -> datetime:
    """When what the address presents expires; OSError or ValueError when it presents nothing readable."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(_PATIENCE_SECONDS):
        _, writer = await asyncio.open_connection(
            address.host, address.port, ssl=context, server_hostname=address.host
        )
        try:
            presented = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    if not presented:
        raise ValueError("no certificate was presented")
    return not_after(presented)


def not_after(certificate: bytes) -> datetime:
    """The last moment of a DER certificate; ValueError for what is none.

    Python verifies certificates and reads only verified ones; a library for this one date would be 15 MB.
    """
    try:
        _, whole = next(_parts(certificate))
        to_be_signed = next(_parts(whole))[1]
        parts = [part for part in _parts(to_be_signed) if part[0] != _VERSION]
        kind, validity = parts[_BEFORE_VALIDITY]
        if kind != _SEQUENCE:
            raise ValueError("its validity is missing")
        kind, moment = list(_parts(validity))[1]
        text = moment.decode("ascii")
        if kind == _UTC_TIME:  # two digits of the year, the first of them from 1950 on
            text = ("19" if text >= "50" else "20") + text
        elif kind != _GENERALIZED_TIME:
            raise ValueError("its date is of no known kind")
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except (IndexError, StopIteration, UnicodeDecodeError) as error:
        raise ValueError("what was presented is no certificate") from error


def _parts(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each part, one after another."""
    at = 0
    while at < len(content):
        kind, length = content[at], content[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(content[at : at + size])
            at += size
        if at + length > len(content):
            raise IndexError
        yield kind, content[at : at + length]
        at += length


class CertificateWatch(Collector):
    """Absent until it was read, and again when it could not be read for a day."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._expiry: datetime | None = None
        self._read_at = datetime.min.replace(tzinfo=UTC)
        self._trouble = ""

    async def run(self) -> None:
        while True:
            read = await self.look()
            await asyncio.sleep((_EVERY if read else _AGAIN_AFTER).total_seconds())

    async def look(self) -> bool:
        try:
            self._expiry = await expiry_of(self._address)
        except (OSError, ValueError, TimeoutError) as error:
            trouble = str(error) or type(error).__name__
            if trouble != self._trouble:  # one line for each change
                log.warning("certificate_not_read", host=self._address.host, error=trouble)
            self._trouble = trouble
            return False
        self._read_at, self._trouble = datetime.now(UTC), ""
        return True

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "sentops_certificate_expiry_timestamp_seconds",
            "When the certificate that visitors are shown expires.",
            labels=("host",),
        )
        if self._expiry is not None and datetime.now(UTC) - self._read_at < _STALE_AFTER:
            family.add_metric((self._address.host,), self._expiry.timestamp())
        yield family


@asynccontextmanager
async def certificate_watch(address: str, registry: CollectorRegistry) -> AsyncIterator[None]:
    """Looks while the block runs; not at all without an address, nor at localhost, whose certificate is for trials."""
    if not address or Address.parse(address).host == "localhost":
        yield
        return
    watch = CertificateWatch(Address.parse(address))
    registry.register(watch)
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        registry.unregister(watch)
