"""When to look again. Pure: times come in, times go out; randomness is an argument in [0, 1)."""

from datetime import datetime, timedelta
from typing import Final

POLL_FIRST_S: Final = 0.05
POLL_LONGEST_S: Final = 5.0
READ_BACK_FIRST_S: Final = 0.1
READ_BACK_LONGEST_S: Final = 300.0
READ_BACK_GROWS: Final = 30
"""After so many looks the pause is certainly the longest."""
BACKOFF_FIRST_S: Final = 0.5
BACKOFF_LONGEST_S: Final = 60.0
RETRY_AFTER_LONGEST_S: Final = 3600.0


def _doubling(first_s: float, longest_s: float, tries: int) -> float:
    return float(min(longest_s, first_s * 2 ** min(tries, 30)))


def next_poll(now: datetime, polls: int) -> datetime:
    """50 ms after sending, then doubling up to 5 s."""
    return now + timedelta(seconds=_doubling(POLL_FIRST_S, POLL_LONGEST_S, polls))


def next_read_back(now: datetime, tries: int) -> datetime:
    """Soon after acceptance, then doubling up to five minutes."""
    return now + timedelta(seconds=_doubling(READ_BACK_FIRST_S, READ_BACK_LONGEST_S, tries))


def looked_for_s(looks: int) -> float:
    """How long since the acceptance, at the least, when the `looks`-th look was due; calls that failed count too."""
    growing = min(looks, READ_BACK_GROWS)
    pauses_s = (_doubling(READ_BACK_FIRST_S, READ_BACK_LONGEST_S, tries) for tries in range(growing))
    return sum(pauses_s) + (looks - growing) * READ_BACK_LONGEST_S


def next_try(now: datetime, failures: int, *, jitter: float, retry_after_s: float | None = None) -> datetime:
    """After a failure: what the platform asked for (an hour at most: its header may mean something else), or doubling
    with up to 50 % of jitter."""
    if retry_after_s is not None:
        return now + timedelta(seconds=min(retry_after_s, RETRY_AFTER_LONGEST_S))
    wait_s = _doubling(BACKOFF_FIRST_S, BACKOFF_LONGEST_S, failures)
    return now + timedelta(seconds=wait_s * (1 + jitter / 2))


def alone_again(now: datetime, refusals: int, *, first: timedelta) -> datetime | None:
    """After an item was failed alone so often, without a word: `first`, then twice as long; None for never."""
    return now + first * 2 ** (refusals - 1) if refusals else None


def send_at(now: datetime, gate: datetime | None) -> datetime:
    """After silence the first change goes at once; the window that it opened holds back what follows."""
    return now if gate is None else max(now, gate)


def milliseconds(start: datetime, end: datetime) -> int:
    """Whole milliseconds, never negative: the shop's clock may be ahead of ours."""
    return max(0, (end - start) // timedelta(milliseconds=1))
