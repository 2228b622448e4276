"""What one try came to, in words that say whose turn it is."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from vitrin.kit.retry_after import parse_retry_after

EXCERPT_CHARS: Final = 1_000
SLOW_AFTER: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`code`: delivered, refused, redirected, gone, timed_out, unreachable, address_refused, tls_failed, dropped.
    `retry_after`: what the receiver asked for."""

    code: str
    detail: str = ""
    status: int | None = None
    excerpt: str = ""
    retry_after: timedelta | None = None

    @property
    def delivered(self) -> bool:
        return self.code == "delivered"


def excerpt_of(body: bytes) -> str:
    """The beginning of an answer as text; PostgreSQL takes no U+0000."""
    return (
        body[: 4 * EXCERPT_CHARS].decode("utf-8", errors="replace").replace("\x00", "\ufffd")[:EXCERPT_CHARS]
    )


def answered(status: int, *, location: str | None, retry_after: str | None, body: bytes) -> Outcome:
    """Any 2xx is an acknowledgement. A redirect is not followed: the answer of another address proves nothing."""
    excerpt = excerpt_of(body)
    if 200 <= status < 300:
        return Outcome(code="delivered", status=status, excerpt=excerpt)
    if 300 <= status < 400:
        where = f" to {location.partition('?')[0][:300]}" if location else ""
        detail = f"It answered {status}{where}. Redirects are not followed: give the final address."
        return Outcome(code="redirected", status=status, detail=detail, excerpt=excerpt)
    if status == 410:
        detail = "It answered 410 Gone, which asks for no more webhooks: the endpoint was disabled."
        return Outcome(code="gone", status=status, detail=detail, excerpt=excerpt)
    return Outcome(
        code="refused",
        status=status,
        detail=f"It answered {status}; any 2xx acknowledges.",
        excerpt=excerpt,
        retry_after=parse_retry_after(retry_after) if status in (429, 503) else None,
    )


def timed_out(timeout_s: float) -> Outcome:
    detail = (
        f"No complete answer within {timeout_s:g} s, so it counts as failed, whatever is answered later."
        " Store the event, answer 2xx, and work on it afterwards."
    )
    return Outcome(code="timed_out", detail=detail)
