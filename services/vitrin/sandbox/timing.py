"""Time as the sandbox keeps it: whole milliseconds since 1970 in UTC, from a clock that is an argument."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_clock() -> datetime:
    """The system's time, aware and in UTC."""
    return datetime.now(UTC)


def epoch_ms(clock: Clock) -> int:
    """The clock's time in milliseconds since 1970."""
    return int(clock().timestamp() * 1000)


def iso(at_ms: int) -> str:
    """RFC 3339 with milliseconds and ``Z``."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
