"""E-mail by the server that NOTIFY_SMTP_* names. Whatever happens is a Posted, in words that say whose turn it is."""

import asyncio
import ssl
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final
from uuid import UUID

import aiosmtplib

from vitrin.notify.domain.posting import Posted
from vitrin.notify.service.wording import Letter
from vitrin.notify.settings import SmtpSettings

SAID_MAX: Final = 300
_TLS_WORDS: Final = ("SSL", "TLS", "certificate")
_LOGIN: Final = "Check NOTIFY_SMTP_USER and NOTIFY_SMTP_PASSWORD."
_WAY: Final = (
    "Check NOTIFY_SMTP_HOST, NOTIFY_SMTP_PORT and the way to the server; it is tried again for 24 hours."
)
_TLS: Final = (
    "Check NOTIFY_SMTP_TLS (starttls, tls, none) and the server's certificate; it is tried for 24 hours."
)
NOT_CONFIGURED: Final = Posted(
    code="not_configured",
    detail="This server sends no e-mail: NOTIFY_SMTP_HOST is not set.",
    fix="Ask the operators to set NOTIFY_SMTP_HOST and NOTIFY_SMTP_FROM; it is tried again for 24 hours.",
)


class Mailer:
    def __init__(self, smtp: SmtpSettings) -> None:
        self._smtp = smtp

    @property
    def configured(self) -> bool:
        return bool(self._smtp.host)

    async def send(self, to: str, letter: Letter, *, message_id: UUID, now: datetime) -> Posted:
        """`message_id`: the same at every try of the same message, so that a mailbox knows a repetition."""
        smtp = self._smtp
        if not smtp.host:
            return NOT_CONFIGURED
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = smtp.sender, to, letter.title
        message["Date"] = format_datetime(now)
        message["Message-ID"] = f"<{message_id}@{smtp.sender.rpartition('@')[2].rstrip('>')}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        try:
            async with asyncio.timeout(smtp.timeout_s):
                await aiosmtplib.send(
                    message,
                    hostname=smtp.host,
                    port=smtp.port,
                    username=smtp.user or None,
                    password=smtp.password.get_secret_value() or None,
                    use_tls=smtp.tls == "tls",
                    start_tls=smtp.tls == "starttls",
                    timeout=smtp.timeout_s,
                )
        except (aiosmtplib.SMTPException, ssl.SSLError, OSError, ValueError) as failure:
            return self._failed(failure)
        return Posted(code="sent", status=250)

    def _failed(self, failure: Exception) -> Posted:
        place = f"{self._smtp.host}:{self._smtp.port}"
        if isinstance(failure, TimeoutError):
            return Posted(
                code="timed_out",
                detail=f"{place} did not take it within {self._smtp.timeout_s:g} s.",
                fix=_WAY,
            )
        if isinstance(failure, aiosmtplib.SMTPRecipientsRefused):
            first = failure.recipients[0]
            return _refused(first.code, first.message, "Check the address, or remove the channel.")
        if isinstance(failure, aiosmtplib.SMTPAuthenticationError):
            said = _said(failure.message)
            detail = f"{place} refused the login: {failure.code} {said}"
            return Posted(code="login_refused", status=failure.code, detail=detail, fix=_LOGIN)
        if isinstance(failure, aiosmtplib.SMTPSenderRefused):
            return _refused(
                failure.code, failure.message, "Check NOTIFY_SMTP_FROM: the server must accept it."
            )
        if isinstance(failure, aiosmtplib.SMTPConnectResponseError):
            return _refused(failure.code, failure.message, "Nothing to do: it is tried again for 24 hours.")
        if isinstance(failure, aiosmtplib.SMTPResponseException):
            return _refused(failure.code, failure.message, "The server's words say why; it is tried again.")
        # aiosmtplib wraps what the TLS layer said into an error of its own; the words are what is left of it.
        if isinstance(failure, ssl.SSLError) or any(word in str(failure) for word in _TLS_WORDS):
            return Posted(code="tls_failed", detail=f"No safe line to {place}: {_said(failure)}", fix=_TLS)
        return Posted(code="unreachable", detail=f"{place} cannot be reached: {_said(failure)}", fix=_WAY)


def _refused(code: int, message: str, fix: str) -> Posted:
    detail = f"The mail server answered {code}: {_said(message)}"
    return Posted(code="refused", status=code, detail=detail, fix=fix)


def _said(what: object) -> str:
    """PostgreSQL takes no U+0000, and a line is a line."""
    return " ".join(str(what).replace("\x00", "\ufffd").split())[:SAID_MAX]
