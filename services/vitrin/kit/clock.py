"""Time as an argument: whoever needs the time takes a `Clock`, so that a test can say what time it is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Answers the present moment, aware and in UTC."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def system_clock() -> datetime:
    return datetime.now(UTC)


def to_us(moment: datetime | None) -> int:
    """Microseconds since 1970 as the events carry them; 0 stands for "no such moment". Exact, no float."""
    return 0 if moment is None else (moment - EPOCH) // _MICROSECOND


def from_us(value: int) -> datetime | None:
    """The reverse of `to_us`: 0 is None."""
    return None if value == 0 else EPOCH + timedelta(microseconds=value)
