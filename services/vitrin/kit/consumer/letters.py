"""Dead letters that an operator has asked to be handled again, and how long letters are kept."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.kit.consumer.store import REASON_CHARS_MAX
from vitrin.kit.db.session import ReadSession, WriteSession

DEAD_LETTERS_KEEP: Final = timedelta(days=90)
REPLAY_TRIES_MAX: Final = 10
FORGET_ROWS: Final = 1_000

_NEXT = text(
    """
    select id, brand_id, due_at from (
        select distinct on (topic, key) id, brand_id, due_at from dead_letters
        where consumer_group = :consumer_group and state = 'replaying'
        order by topic, key, created_at, record_offset, id) as heads
    order by due_at limit :most
    """
)
_HOLD = text(
    "select * from dead_letters where id = :id and state = 'replaying' and due_at <= :now for update skip locked"
)
_REPLAYED = text(
    "update dead_letters set state = 'replayed', outcome = 'done', due_at = null, changed_at = :now where id = :id"
)
_FAILED = text(
    """
    update dead_letters set state = 'dead', outcome = :outcome, due_at = null, changed_at = :now where id = :id
    """
)
_WAIT = text("update dead_letters set tries = :tries, outcome = :outcome, due_at = :due_at where id = :id")
_FORGET = text(
    """
    delete from dead_letters where id in (
        select id from dead_letters where created_at < :before and state <> 'replaying' order by created_at limit :most
        for update skip locked)
    """
)


async def next_replays(session: ReadSession, *, group: str, most: int) -> Sequence[Row[Any]]:
    """The oldest asked-for letter of each key, with its brand and the time of its next try, soonest first."""
    return await session.all(_NEXT, {"consumer_group": group, "most": most})


async def hold(tx: WriteSession, letter: UUID, *, now: datetime) -> Row[Any] | None:
    """The letter, locked; None when somebody else has it, or had it."""
    return await tx.one_or_none(_HOLD, {"id": letter, "now": now})


async def replayed(tx: WriteSession, letter: UUID, *, now: datetime) -> None:
    await tx.execute(_REPLAYED, {"id": letter, "now": now})


async def failed(tx: WriteSession, letter: UUID, *, outcome: str, now: datetime) -> None:
    await tx.execute(_FAILED, {"id": letter, "now": now, "outcome": outcome[:REASON_CHARS_MAX]})


async def wait(tx: WriteSession, letter: UUID, *, tries: int, outcome: str, due_at: datetime) -> None:
    params = {"id": letter, "tries": tries, "due_at": due_at, "outcome": outcome[:REASON_CHARS_MAX]}
    await tx.execute(_WAIT, params)


async def forget(tx: WriteSession, *, now: datetime) -> int:
    """Delete letters beyond their age, of every group of this service; returns how many of at most FORGET_ROWS."""
    result = await tx.execute(_FORGET, {"before": now - DEAD_LETTERS_KEEP, "most": FORGET_ROWS})
    return result.rowcount
