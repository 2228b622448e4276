"""What becomes of a delivery: the words for it, and when it comes again. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from vitrin.catalog.shop.values import Applied
from vitrin.platforms.base import PlatformFailure

State = Literal["applied", "stale", "nothing", "waiting", "failed", "dead", "pending"]
Problem = Mapping[str, object]
TRIES_MAX: Final = 16
"""With the pauses between them about two hours."""
PAUSE_FIRST: Final = timedelta(seconds=2)
PAUSE_MAX: Final = timedelta(minutes=15)
UNPREPARED_PAUSE: Final = timedelta(seconds=2)
KEYS_PAUSE: Final = timedelta(seconds=15)
KEYS_PAUSE_MAX: Final = timedelta(minutes=5)
REFUSED_SHOWN_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Ending:
    """`again_at`: it comes again."""

    state: State
    tries: int
    problem: Problem | None = None
    again_at: datetime | None = None


def problem(code: str, message: str, fix: str) -> dict[str, object]:
    return {"code": code, "message": message, "fix": fix}


def of_applied(applied: Applied, tries: int) -> Ending:
    if applied.stale:
        words = problem("stale", "Something newer was known already.", "Nothing: it is right as it is.")
        return Ending("stale", tries, words)
    if applied.refused:
        shown = dict(list(applied.refused.items())[:REFUSED_SHOWN_MAX])
        words = problem(
            "variants_refused",
            f"{len(applied.refused)} variants could not become items.",
            "Correct them at the shop; its next webhook brings them.",
        )
        return Ending(
            "applied", tries, words | {"refused": {key: list(value) for key, value in shown.items()}}
        )
    if applied.warnings:
        shown = dict(list(applied.warnings.items())[:REFUSED_SHOWN_MAX])
        words = problem(
            "fields_left_out",
            f"{len(applied.warnings)} variants were taken without a field that could not be read.",
            "Correct it at the shop; its next webhook brings it. The items show it too, as `warnings`.",
        )
        return Ending(
            "applied", tries, words | {"left_out": {key: list(value) for key, value in shown.items()}}
        )
    if applied.parked:
        words = problem(
            "parked",
            "What it belongs to (an item, an order) is not known yet.",
            "Nothing: it counts as soon as that is.",
        )
        return Ending("applied", tries, words)
    return Ending("applied", tries)


def again(tries: int, words: Problem, *, now: datetime, after_s: float | None = None) -> Ending:
    """One more try, later each time; after the last one it is dead."""
    done = tries + 1
    if done >= TRIES_MAX:
        return Ending("dead", done, words)
    pause = min(PAUSE_FIRST * 2**tries, PAUSE_MAX)
    if after_s is not None:
        pause = max(pause, timedelta(seconds=min(after_s, PAUSE_MAX.total_seconds())))
    return Ending("failed", done, words, now + pause)


def of_failure(failure: PlatformFailure, tries: int, *, now: datetime) -> Ending:
    """The shop did not answer what it was asked."""
    words = problem(failure.code, failure.message, failure.fix or "It is tried again by itself.")
    return again(tries, words, now=now, after_s=failure.retry_after_s)


def unasked(tries: int, words: Problem, *, now: datetime) -> Ending:
    """The shop does not take our token: no try is counted, and connecting it again brings the next one at once."""
    return Ending("failed", tries, words, now + PAUSE_MAX)


def without_keys(tries: int, words: Problem, *, now: datetime, received_at: datetime) -> Ending:
    """Not its fault either; the longer it has waited the longer it rests: thousands must not come all the time."""
    pause = min(max(KEYS_PAUSE, (now - received_at) / 4), KEYS_PAUSE_MAX)
    return Ending("pending", tries, words, now + pause)


def unprepared(tries: int, words: Problem, *, now: datetime) -> Ending:
    """Not its fault: no try is counted."""
    return Ending("pending", tries, words, now + UNPREPARED_PAUSE)
