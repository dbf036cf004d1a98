"""A real SMTP server for tests, in a thread: keeps what it is sent, and asks for a login where one is given."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.postgres import a_free_port


@dataclass(frozen=True)
class Mail:
    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        return self._body("plain")

    @property
    def html(self) -> str:
        return self._body("html")

    def _body(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return "" if part is None else str(cast("EmailMessage", part).get_content())


@dataclass
class MailServer:
    port: int
    mails: list[Mail] = field(default_factory=list)

    # aiosmtpd calls it by this name.
    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        message = cast("EmailMessage", message_from_bytes(content, policy=policy.default))
        self.mails.append(Mail(envelope.mail_from or "", tuple(envelope.rcpt_tos), message))
        return "250 kept"

    def about(self, word: str) -> list[Mail]:
        """Those with the word in their subject, oldest first."""
        return [mail for mail in self.mails if word in mail.subject]


@contextmanager
def mail_server(login: tuple[str, str] | None = None) -> Iterator[MailServer]:
    """On a free port of 127.0.0.1, without TLS."""
    kept = MailServer(a_free_port())

    def check(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        given = (data.login, data.password) if isinstance(data, LoginPassword) else None
        wanted = None if login is None else tuple(part.encode() for part in login)
        return AuthResult(success=given == wanted, handled=False)

    controller = Controller(
        kept,
        hostname="127.0.0.1",
        port=kept.port,
        auth_required=login is not None,
        auth_require_tls=False,
        auth_exclude_mechanism=[
            "LOGIN"
        ],  # its questions are worded otherwise than Alertmanager expects
        authenticator=check if login else None,
    )
    controller.start()
    try:
        yield kept
    finally:
        controller.stop()
