"""One call to an endpoint: signed, through the outbound guard, within its time. Whatever happens is an Outcome."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from vitrin.kit.outbound import (
    AddressNotPublic,
    Outbound,
    OutboundAnswer,
    OutboundFailure,
    TimedOut,
    Timeouts,
    TlsRefused,
    UrlRefused,
)
from vitrin.notify.domain import outcome
from vitrin.notify.domain.outcome import Outcome

EXCERPT_BYTES: Final = 4 * outcome.EXCERPT_CHARS
ANSWER_BYTES_MAX: Final = 1024 * 1024
"""Of an answer no more than the excerpt is read; the guard wants a limit."""
CONNECT_S: Final = 5.0
_CODES: Final[dict[type[OutboundFailure], str]] = {
    AddressNotPublic: "address_refused",
    UrlRefused: "address_refused",
    TlsRefused: "tls_failed",
}


class Caller:
    """`timeout`: for the whole call, from the name to the status of the answer."""

    def __init__(self, outbound: Outbound, *, timeout: timedelta) -> None:
        self._outbound = outbound
        self._timeout_s = timeout.total_seconds()

    async def call(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Redirects are answers: nothing is followed."""
        limits = Timeouts(
            connect_s=min(CONNECT_S, self._timeout_s), read_s=self._timeout_s, total_s=self._timeout_s
        )
        try:
            async with self._outbound.stream(
                "POST",
                url,
                headers={**headers, "content-type": "application/json"},
                content=body,
                body_bytes_max=ANSWER_BYTES_MAX,
                redirects_max=0,
                timeouts=limits,
            ) as answer:
                return outcome.answered(
                    answer.status,
                    location=answer.headers.get("location"),
                    retry_after=answer.headers.get("retry-after"),
                    body=await _beginning(answer),
                )
        except TimedOut:
            return outcome.timed_out(self._timeout_s)
        except OutboundFailure as failure:
            code = next((code for kind, code in _CODES.items() if isinstance(failure, kind)), "unreachable")
            return Outcome(code=code, detail=f"{failure.detail}. {failure.fix}".strip())


async def _beginning(answer: OutboundAnswer) -> bytes:
    """What the log shows. The status has come and decides: a body that breaks or never ends changes nothing."""
    read = bytearray()
    try:
        async for chunk in answer.chunks():
            read += chunk
            if len(read) >= EXCERPT_BYTES:
                break
    except OutboundFailure:
        pass
    return bytes(read[:EXCERPT_BYTES])
