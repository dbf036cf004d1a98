"""When the certificate expires, read from a real TLS server whoever signed it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry

from sentops_backoffice.certificate import (
    Address,
    CertificateWatch,
    certificate_watch,
    expiry_of,
    not_after,
)
from tests.support.eventually import eventually

NOW = datetime.now(UTC).replace(microsecond=0)
NAME = "sentops_certificate_expiry_timestamp_seconds"


def a_certificate(expires: datetime, folder: Path) -> bytes:
    """Self-signed, in `folder`/both.pem with its key; as DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.org")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(2**150 + 1)
        .not_valid_before(expires - timedelta(days=90))
        .not_valid_after(expires)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + made.public_bytes(pem))
    return made.public_bytes(serialization.Encoding.DER)


@asynccontextmanager
async def a_server(folder: Path) -> AsyncIterator[Address]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    async with server:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])


@pytest.mark.parametrize("days", [-30, 0, 60])
async def test_its_last_moment_is_read_also_when_it_is_past(tmp_path: Path, days: int) -> None:
    expires = NOW + timedelta(days=days)
    a_certificate(expires, tmp_path)
    async with a_server(tmp_path) as address:
        assert await expiry_of(address) == expires


@pytest.mark.parametrize("year", [1999, 2049, 2050, 2100])
def test_both_ways_to_write_a_year_are_read(tmp_path: Path, year: int) -> None:
    expires = datetime(year, 12, 31, 23, 59, 58, tzinfo=UTC)
    assert not_after(a_certificate(expires, tmp_path)) == expires


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    whole = a_certificate(NOW, tmp_path)
    for broken in (b"", b"\x30", b"\x30\x03abc", whole[:40], b"no certificate at all", b"\x30\x80"):
        with pytest.raises(ValueError, match=r"certificate|date|validity"):
            not_after(broken)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("example.org", Address("example.org", 443)),
        (" example.org:8443 ", Address("example.org", 8443)),
    ],
)
def test_an_address_may_name_its_port(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize("text", ["", ":443", "example.org:", "example.org:https", "a:70000"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host"):
        Address.parse(text)


async def test_the_watch_tells_it_while_it_runs(tmp_path: Path) -> None:
    expires = NOW + timedelta(days=3)
    a_certificate(expires, tmp_path)
    registry = CollectorRegistry()
    async with a_server(tmp_path) as address:
        text = f"{address.host}:{address.port}"
        async with certificate_watch(text, registry):
            labels = {"host": "127.0.0.1"}
            found = await eventually(lambda: registry.get_sample_value(NAME, labels))
            assert found == expires.timestamp()
    assert registry.get_sample_value(NAME, labels) is None


async def test_a_host_that_does_not_answer_is_no_date(tmp_path: Path) -> None:
    a_certificate(NOW, tmp_path)
    async with a_server(tmp_path) as address:
        pass
    watch = CertificateWatch(address)
    registry = CollectorRegistry()
    registry.register(watch)
    assert not await watch.look()
    assert registry.get_sample_value(NAME, {"host": "127.0.0.1"}) is None


@pytest.mark.parametrize("address", ["", "localhost", "localhost:8443"])
async def test_without_an_address_of_the_public_nothing_is_watched(address: str) -> None:
    registry = CollectorRegistry()
    async with certificate_watch(address, registry):
        assert list(registry.collect()) == []
