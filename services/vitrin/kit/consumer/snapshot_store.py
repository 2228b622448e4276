"""SQL of how far a consumer group is with the snapshots of its topics. Runs under the worker role."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from vitrin.kit.consumer.store import TakenOver
from vitrin.kit.db.session import ReadSession, WriteSession

_REGISTER: Final = text(
    """
    insert into consumer_snapshots (consumer_group, topic, state, reason, wanted_at, updated_at)
    values (:consumer_group, :topic, 'wanted', 'new', :now, :now) on conflict do nothing
    """
)
_WANT: Final = text(
    """
    update consumer_snapshots set state = 'wanted', reason = :reason, round = round + 1, cursor = '', records = 0,
           wanted_at = :now, updated_at = :now, finished_at = null
    where consumer_group = :consumer_group and topic = :topic
    """
)
_LOAD: Final = text(
    """
    select topic, state, reason, round, cursor, records from consumer_snapshots
    where consumer_group = :consumer_group order by topic
    """
)
_LOAD_ALL: Final = text(
    "select consumer_group, topic, state, reason, records from consumer_snapshots order by consumer_group, topic"
)
# Claims are compared on the database's own clock: it is the only one that all workers share.
_CLAIM: Final = text(
    """
    update consumer_snapshots
    set claimed_by = :claimant, claimed_until = clock_timestamp() + make_interval(secs => :claim_s)
    where consumer_group = :consumer_group and state = 'wanted' and topic = :topic
      and (claimed_by = :claimant or claimed_until < clock_timestamp())
    returning topic, state, reason, round, cursor, records
    """
)
_RELEASE: Final = text(
    "update consumer_snapshots set claimed_until = '-infinity'"
    " where consumer_group = :consumer_group and claimed_by = :claimant"
)
_ADVANCE: Final = text(
    """
    update consumer_snapshots set cursor = :cursor, records = records + :records, updated_at = :now,
           claimed_until = clock_timestamp() + make_interval(secs => :claim_s)
    where consumer_group = :consumer_group and topic = :topic and round = :round and cursor = :expected
      and state = 'wanted'
    """
)
_FINISH: Final = text(
    """
    update consumer_snapshots set state = 'done', finished_at = :now, updated_at = :now
    where consumer_group = :consumer_group and topic = :topic and round = :round and state = 'wanted'
    """
)


CLAIM_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`round` counts how often it was wanted: what belongs to an earlier round does not count any more."""

    topic: str
    state: str
    reason: str
    round: int
    cursor: str
    records: int


async def register(tx: WriteSession, *, group: str, topics: Sequence[str], now: datetime) -> None:
    """A group that was never here wants a snapshot of each topic."""
    rows = [{"consumer_group": group, "topic": topic, "now": now} for topic in sorted(topics)]
    await tx.execute(_REGISTER, rows)


async def want(tx: WriteSession, *, group: str, topic: str, reason: str, now: datetime) -> None:
    """From the beginning, also while one is under way."""
    await tx.execute(_WANT, {"consumer_group": group, "topic": topic, "reason": reason, "now": now})


async def load(session: ReadSession, *, group: str) -> Sequence[Snapshot]:
    return [Snapshot(**row._mapping) for row in await session.all(_LOAD, {"consumer_group": group})]


async def load_all(session: ReadSession) -> Sequence[Any]:
    """Of every group of this service."""
    return await session.all(_LOAD_ALL)


async def claim(tx: WriteSession, *, group: str, topic: str, claimant: UUID) -> Snapshot | None:
    """The right to read it, for `CLAIM_S` from each page on; None while another process has it, or it is done."""
    found = await tx.one_or_none(
        _CLAIM, {"consumer_group": group, "topic": topic, "claimant": claimant, "claim_s": CLAIM_S}
    )
    return None if found is None else Snapshot(**found._mapping)


async def release(tx: WriteSession, *, group: str, claimant: UUID) -> None:
    await tx.execute(_RELEASE, {"consumer_group": group, "claimant": claimant})


async def advance(
    tx: WriteSession, snapshot: Snapshot, *, group: str, cursor: str, records: int, now: datetime
) -> None:
    """By compare-and-set, like the offsets. TakenOver when somebody else has moved it."""
    result = await tx.execute(
        _ADVANCE,
        {
            "consumer_group": group,
            "topic": snapshot.topic,
            "round": snapshot.round,
            "expected": snapshot.cursor,
            "cursor": cursor,
            "records": records,
            "claim_s": CLAIM_S,
            "now": now,
        },
    )
    if result.rowcount != 1:
        raise TakenOver(f"the snapshot of {snapshot.topic} is no longer at its cursor")


async def finish(tx: WriteSession, snapshot: Snapshot, *, group: str, now: datetime) -> None:
    params = {"consumer_group": group, "topic": snapshot.topic, "round": snapshot.round, "now": now}
    await tx.execute(_FINISH, params)
