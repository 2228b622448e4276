"""One call to a platform: transport failures and refused answers become a `PlatformFailure`, and the transport is told
what the answer means for the endpoint's health and quota."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from vitrin.kit.delivery.breaker import Health
from vitrin.kit.delivery.gate import Signal
from vitrin.kit.delivery.rate import Priority, Usage
from vitrin.kit.http_client import Call, NotNow, NotSent, PlatformHttp, Reply, UnknownOutcome
from vitrin.platforms.base import Capabilities, FailureKind, Operation, OperationKind, PlatformFailure

Classify = Callable[[int, Mapping[str, str], object | None], PlatformFailure | None]
"""Pure: status, lower-case headers and decoded body (None where it is not JSON) -> None for a success."""
ReadUsage = Callable[[Mapping[str, str]], Usage | None]
"""Pure: lower-case headers -> how much of the endpoint's quota is used, None where they do not say."""

UNWELL: Final = frozenset({FailureKind.TRANSIENT, FailureKind.UNKNOWN_OUTCOME})
"""Answers of an endpoint that does not work; every other refusal comes from one that does."""


class _Reading:
    """Reads the one answer of a call: its signal for the transport, its body or failure for the caller."""

    def __init__(self, classify: Classify, usage: ReadUsage | None) -> None:
        self._classify = classify
        self._usage = usage
        self.reply: Reply | None = None
        self.body: Any = None
        self.failure: PlatformFailure | None = None

    def __call__(self, reply: Reply) -> Signal:
        self.reply, self.body = reply, reply.json()
        self.failure = self._classify(reply.status, reply.headers, self.body)
        kind = self.failure.kind if self.failure else None
        return Signal(
            health=Health.UNWELL if kind in UNWELL else Health.WELL,
            throttled=kind is FailureKind.THROTTLED,
            retry_after_s=self.failure.retry_after_s if self.failure else None,
            usage=self._usage(reply.headers) if self._usage else None,
        )


async def answered(
    http: PlatformHttp, call: Call, *, classify: Classify, usage: ReadUsage | None = None
) -> Any:
    """The decoded JSON of a successful answer. A read whose outcome is unknown has simply failed for now."""
    return (await _read(http, call, classify, usage)).body


async def replied(http: PlatformHttp, call: Call, *, classify: Classify) -> Reply:
    """The same for who needs the bytes or headers of a successful answer."""
    reply = (await _read(http, call, classify, None)).reply
    assert reply is not None
    return reply


async def _read(http: PlatformHttp, call: Call, classify: Classify, usage: ReadUsage | None) -> _Reading:
    reading = _Reading(classify, usage)
    try:
        await http.request(call, read=reading)
    except NotNow as away:
        raise PlatformFailure(
            FailureKind.NOT_SENT,
            code=away.reason,
            message=str(away),
            fix="Vitrin tries again by itself.",
            retry_after_s=away.retry_after_s,
        ) from away
    except NotSent as error:
        raise PlatformFailure(
            FailureKind.NOT_SENT,
            code="platform_unreachable",
            message=str(error),
            fix="Vitrin tries again by itself; check the network if it lasts.",
        ) from error
    except UnknownOutcome as error:
        raise _unanswered(call, str(error)) from error
    if reading.failure is None:
        return reading
    if reading.failure.kind is FailureKind.UNKNOWN_OUTCOME:
        raise _unanswered(call, reading.failure.message)
    raise reading.failure


def _unanswered(call: Call, message: str) -> PlatformFailure:
    if call.safe:
        return PlatformFailure(
            FailureKind.TRANSIENT, code="no_answer", message=message, fix="Vitrin tries again by itself."
        )
    return PlatformFailure(
        FailureKind.UNKNOWN_OUTCOME,
        code="outcome_unknown",
        message=message,
        fix="Vitrin looks at what the platform holds before it sends again.",
    )


BLAMES_THE_CALL: Final = frozenset({400, 422})


def by_status(status: int, headers: Mapping[str, str]) -> PlatformFailure | None:
    """For answers without a readable error body: only the status speaks. None for a 2xx.

    What no platform's own words stand behind (a proxy's 404, a redirect) blames no item: it is tried again."""
    if 200 <= status < 300:
        return None
    kinds = {
        401: (FailureKind.AUTH, "token_invalid"),
        403: (FailureKind.PERMISSION, "permission_missing"),
        413: (FailureKind.TOO_LARGE, "batch_too_large"),
        429: (FailureKind.THROTTLED, "throttled"),
    }
    fallback = FailureKind.INVALID_REQUEST if status in BLAMES_THE_CALL else FailureKind.TRANSIENT
    if status >= 500:
        fallback = FailureKind.UNKNOWN_OUTCOME
    kind, code = kinds.get(status, (fallback, f"http_{status}"))
    return PlatformFailure(
        kind,
        code=code,
        message=f"HTTP {status}",
        platform_code=str(status),
        retry_after_s=seconds(headers.get("retry-after", "")),
    )


def seconds(text: str) -> float | None:
    """A header's number of seconds; None where it is none (such as a date)."""
    return float(text) if text.isascii() and text.replace(".", "", 1).isdigit() else None


def check_batch(operations: Sequence[Operation], capabilities: Capabilities) -> None:
    """Raises PlatformFailure for a batch that must not be sent; nothing has been sent then."""
    size_bytes = sum(operation.size_bytes for operation in operations)
    if len(operations) > capabilities.batch_items_max or size_bytes > capabilities.batch_bytes_max:
        raise PlatformFailure(
            FailureKind.TOO_LARGE,
            code="batch_too_large",
            message=f"{len(operations)} items of {size_bytes} bytes; a call takes {capabilities.batch_items_max} "
            f"items and {capabilities.batch_bytes_max} bytes",
        )
    if not operations or len({operation.platform_item_id for operation in operations}) != len(operations):
        raise PlatformFailure(
            FailureKind.INVALID_REQUEST,
            code="batch_invalid",
            message="a batch has at least one item, and each item once",
        )


def lane_of(operations: Sequence[Operation]) -> Priority:
    """Price and stock overtake content."""
    offers = any(operation.kind is OperationKind.OFFER for operation in operations)
    return Priority.FAST if offers else Priority.SLOW


def in_chunks(ids: Iterable[str], size: int) -> list[list[str]]:
    everything = list(ids)
    return [everything[start : start + size] for start in range(0, len(everything), size)]
