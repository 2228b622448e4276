"""Somebody's mail server: takes e-mails on a real socket, as aiosmtpd does, and answers as told."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from vitrin.kit.embedded.ports import free_port


@dataclass
class PostOffice:
    """`refuses`: what a recipient is answered instead of being accepted."""

    port: int = 0
    got: list[tuple[str, EmailMessage]] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)

    async def handle_RCPT(  # noqa: N802 - the name is aiosmtpd's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content: Any = envelope.content
        message: Any = message_from_bytes(content, policy=policy.default)
        self.got.append((envelope.rcpt_tos[0], message))
        return "250 taken"

    def for_(self, address: str) -> list[EmailMessage]:
        return [message for to, message in self.got if to == address]

    def code_for(self, address: str, *, within_s: float = 30) -> str:
        """The newest."""
        end = time.monotonic() + within_s
        while not (mails := self.for_(address)):
            assert time.monotonic() < end, "no code came"
            time.sleep(0.02)
        found = re.match(r"[0-9]{8}", text_of(mails[-1]))
        assert found is not None
        return found[0]


def text_of(message: EmailMessage) -> str:
    content: str = message.get_content()
    return content


@contextmanager
def opened() -> Iterator[PostOffice]:
    office = PostOffice()
    office.port = free_port()
    controller = Controller(office, hostname="127.0.0.1", port=office.port)
    controller.start()
    try:
        yield office
    finally:
        controller.stop()
