"""SQL of the relay: leases with fencing, unsent rows, marks, incarnations. Runs under the worker role."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, SmallInteger

from vitrin.kit.db.driver import driver_connection
from vitrin.kit.db.session import ReadSession, WriteSession

LEASE_S: Final = 15.0
CLAIM_ROWS_MAX: Final = 1_000
CLAIM_EVENTS_MAX: Final = 5_000
CLAIM_BYTES_MAX: Final = 8_000_000
"""What is claimed at once must be produced well within a lease; and a kill makes at most so many repeats."""

# Leases are compared on the database's own clock: it is the only one that all relays share.
_LEASE = text(
    """
    update outbox_leases set owner = :owner, fence = fence + case when owner = :owner then 0 else 1 end,
           expires_at = clock_timestamp() + make_interval(secs => :lease_s)
    where owner = :owner or expires_at < clock_timestamp()
    returning shard, fence
    """
)
_TAKE_OVER = text(
    """
    update outbox_leases set owner = :owner, fence = fence + 1,
           expires_at = clock_timestamp() + make_interval(secs => :lease_s)
    where split_part(owner, '#', 1) = split_part(:owner, '#', 1)
    """
)
_RELEASE = text("update outbox_leases set expires_at = '-infinity' where owner = :owner")
# One bounded index range per shard: ordered over all shards at once, every claim would read and sort the whole backlog.
# Each shard that has something gets an even share of rows, events and bytes, and one row at least: nothing is read in
# vain, and none waits for another's backlog. Past SQLAlchemy: payloads in binary cost half.
_CLAIM: Final = """
    with busy as (
        select s.shard, count(*) over () as shards from unnest(%(shards)s::smallint[]) as s (shard)
        where exists (
            select from outbox
            where sent_at is null and shard = s.shard and topic <> all(%(without)s::text[])
        )
    )
    select id, created_at, shard, topic, events, payload from (
        select *, row_number() over upto as place, sum(events) over upto as events_upto,
               sum(octet_length(payload)) over upto as bytes_upto
        from busy cross join lateral (
            select id, created_at, topic, payload, events from outbox
            where sent_at is null and shard = busy.shard and topic <> all(%(without)s::text[])
            order by id limit greatest(%(rows_max)s / busy.shards, 1)
        ) oldest
        window upto as (partition by shard order by id rows between unbounded preceding and current row)
    ) counted
    where place = 1 or (events_upto <= %(events_max)s / shards and bytes_upto <= %(bytes_max)s / shards)
    order by id
"""
# A row of `m` per outbox row, looked up in the index of unsent rows: with ids in groups the planner reads whole shards.
# The fence stands in the same statement: who has lost a shard marks nothing of it.
_MARK = text(
    """
    with marked as (
        update outbox o set sent_at = :sent_at, sent_topic_id = m.topic_id
        from unnest(
            cast(:ids as bigint[]), cast(:shards as smallint[]), cast(:fences as bigint[]), cast(:topic_ids as uuid[])
        ) as m (id, shard, fence, topic_id)
        join outbox_leases l on l.shard = m.shard and l.fence = m.fence and l.owner = :owner
        where o.shard = m.shard and o.id = m.id and o.sent_at is null and o.created_at between :first and :last
        returning o.shard
    )
    select shard, count(*) as marked from marked group by shard
    """
)
_INCARNATIONS = text(
    "select shard, topic, topic_id from outbox_incarnations where shard = any(:shards)"
).bindparams(bindparam("shards", type_=ARRAY(SmallInteger)))
_SEE_INCARNATION = text(
    """
    insert into outbox_incarnations (shard, topic, topic_id, seen_at) values (:shard, :topic, :topic_id, :now)
    on conflict (shard, topic) do update set topic_id = excluded.topic_id, seen_at = excluded.seen_at
    """
)
_SEND_AGAIN = text(
    """
    update outbox set sent_at = null
    where shard = :shard and topic = :topic and sent_at > :after and sent_topic_id is distinct from :topic_id
    """
)
_DRAINED_AT = text(
    "select case when isfinite(drained_at) then drained_at end as drained_at from outbox_marker"
)
_MARK_DRAINED = text(
    "update outbox_marker set drained_at = :drained_at, set_at = :now where drained_at < :drained_at"
)
_ENDS = text(
    """
    insert into outbox_ends (topic, topic_id, partition, next_offset)
    values (:topic, :topic_id, :partition, :next_offset)
    on conflict (topic, topic_id, partition)
    do update set next_offset = greatest(outbox_ends.next_offset, excluded.next_offset)
    """
)
_FORGET_ENDS = text("delete from outbox_ends where topic = :topic and topic_id <> :topic_id")
_UNSENT = text(
    "select min(id) as first, max(id) as last, count(*) as unsent from outbox where sent_at is null"
)
_STILL_UNSENT = text(
    "select shard from outbox where sent_at is null and shard = any(:shards) and id = any(:ids)"
).bindparams(bindparam("shards", type_=ARRAY(SmallInteger)), bindparam("ids", type_=ARRAY(BigInteger)))
_LOAD_ENDS = text("select topic, topic_id, partition, next_offset from outbox_ends")
_ALL_INCARNATIONS = text("select distinct topic, topic_id from outbox_incarnations")
_AGE = text(
    """
    select min(created_at) as oldest, count(*) as unsent
    from (select created_at from outbox where sent_at is null limit 10000) o
    """
)


class OutboxRow(NamedTuple):
    id: int
    created_at: datetime
    shard: int
    topic: str
    events: int
    payload: bytes


async def lease(tx: WriteSession, *, owner: str) -> Mapping[int, int]:
    """Renew our shards and take the expired ones: shard -> fence."""
    rows = await tx.all(_LEASE, {"owner": owner, "lease_s": LEASE_S})
    return {row.shard: row.fence for row in rows}


async def take_over(tx: WriteSession, *, owner: str) -> None:
    """At the start, when an earlier process of this name is dead; its marks do not count any more. `owner` is the name,
    '#', and what tells this process from the earlier ones: none of them can renew a lease of ours."""
    await tx.execute(_TAKE_OVER, {"owner": owner, "lease_s": LEASE_S})


async def release(tx: WriteSession, *, owner: str) -> None:
    await tx.execute(_RELEASE, {"owner": owner})


async def unsent(
    session: ReadSession, *, shards: Sequence[int], without: Collection[str] = (), claims: int = 1
) -> list[OutboxRow]:
    """Oldest unsent rows, in order per shard: by the flag, never 'everything after the largest id I saw' (that loses
    rows). `without`: topics that cannot be written now; the others do not wait for them. `claims`: how many are made at
    once, and share the events and bytes. Errors are psycopg's own."""
    driver = await driver_connection(session.connection)
    found = await driver.execute(
        _CLAIM,
        {
            "shards": list(shards),
            "without": sorted(without),
            "rows_max": CLAIM_ROWS_MAX,
            "events_max": CLAIM_EVENTS_MAX // claims,
            "bytes_max": CLAIM_BYTES_MAX // claims,
        },
        binary=True,
    )
    return [OutboxRow._make(row) for row in await found.fetchall()]


async def mark(
    tx: WriteSession,
    groups: Mapping[tuple[int, str], Sequence[OutboxRow]],
    *,
    topic_ids: Mapping[str, UUID],
    owner: str,
    fences: Mapping[int, int],
    sent_at: datetime,
) -> Mapping[int, int]:
    """Mark rows, grouped by shard and topic, as sent. How many of each shard; of one that has gone to somebody else
    none, and it is not in the answer."""
    rows = [row for group in groups.values() for row in group]
    times = [row.created_at for row in rows]
    fence_of = [fences[shard] for (shard, _), group in groups.items() for _ in group]
    topic_id_of = [topic_ids[topic] for (_, topic), group in groups.items() for _ in group]
    marked = await tx.all(
        _MARK,
        {
            "sent_at": sent_at,
            "ids": _array(row.id for row in rows),
            "shards": _array(row.shard for row in rows),
            "fences": _array(fence_of),
            "topic_ids": _array(topic_id_of),
            "first": min(times),
            "last": max(times),
            "owner": owner,
        },
    )
    return {row.shard: row.marked for row in marked}


def _array(values: Iterable[int | UUID]) -> str:
    """As PostgreSQL reads one; psycopg writes a long list ten times slower."""
    return f"{{{','.join(map(str, values))}}}"


async def incarnations(session: ReadSession, *, shards: Sequence[int]) -> Mapping[tuple[int, str], UUID]:
    rows = await session.all(_INCARNATIONS, {"shards": list(shards)})
    return {(row.shard, row.topic): row.topic_id for row in rows}


async def see(tx: WriteSession, *, shard: int, topic: str, topic_id: UUID, now: datetime) -> None:
    """From now on the shard's rows of the topic are sent to this incarnation."""
    await tx.execute(_SEE_INCARNATION, {"shard": shard, "topic": topic, "topic_id": topic_id, "now": now})


async def send_again(
    tx: WriteSession, *, shard: int, topic: str, topic_id: UUID, after: datetime | None, now: datetime
) -> int:
    """A new incarnation of the topic: kept rows that this one has not seen are unsent again; with `after`, only those
    that were sent later."""
    # Millions of rows take longer than any other statement may, and cancelled they would be begun anew for ever.
    await tx.execute(text("set local statement_timeout = 0"))
    await see(tx, shard=shard, topic=topic, topic_id=topic_id, now=now)
    await tx.execute(_FORGET_ENDS, {"topic": topic, "topic_id": topic_id})
    params = {
        "shard": shard,
        "topic": topic,
        "topic_id": topic_id,
        "after": after or datetime.min.replace(tzinfo=UTC),
    }
    result = await tx.execute(_SEND_AGAIN, params)
    return int(result.rowcount)


async def drained_at(session: ReadSession) -> datetime | None:
    """The marker: whatever was sent up to this moment has been read by every consumer. None: there is no marker."""
    found: datetime | None = await session.scalar(_DRAINED_AT)
    return found


async def mark_drained(tx: WriteSession, *, drained_at: datetime, now: datetime) -> bool:
    """False when there is a newer marker already."""
    result = await tx.execute(_MARK_DRAINED, {"drained_at": drained_at, "now": now})
    return result.rowcount == 1


async def remember_ends(tx: WriteSession, ends: Mapping[tuple[str, UUID, int], int]) -> None:
    """How far the acks of this transaction's rows reach, in key order."""
    rows = [
        {
            "topic": topic,
            "topic_id": topic_id,
            "partition": partition,
            "next_offset": ends[topic, topic_id, partition],
        }
        for topic, topic_id, partition in sorted(ends)
    ]
    if rows:
        await tx.execute(_ENDS, rows)


@dataclass(frozen=True, slots=True)
class Standing:
    """One look at the outbox: how many rows are unsent and the first and last id of them, the ends by acks of what was
    sent, and the incarnations that its shards know of each topic."""

    unsent: int
    unsent_first: int | None
    unsent_last: int | None
    ends: Mapping[tuple[str, UUID, int], int]
    incarnations: Mapping[str, frozenset[UUID]]


async def standing(session: ReadSession) -> Standing:
    """Unsent rows first: a row that is marked between the statements is counted as unsent, never as missing."""
    waiting = (await session.all(_UNSENT))[0]
    ends = {
        (row.topic, row.topic_id, row.partition): int(row.next_offset)
        for row in await session.all(_LOAD_ENDS)
    }
    known: dict[str, set[UUID]] = {}
    for row in await session.all(_ALL_INCARNATIONS):
        known.setdefault(row.topic, set()).add(row.topic_id)
    return Standing(
        unsent=int(waiting.unsent),
        unsent_first=waiting.first,
        unsent_last=waiting.last,
        ends=ends,
        incarnations={topic: frozenset(ids) for topic, ids in known.items()},
    )


async def still_unsent(session: ReadSession, rows: Mapping[int, int]) -> set[int]:
    """Of rows by their shard: the shards whose row is still unsent."""
    found = await session.all(_STILL_UNSENT, {"shards": list(rows), "ids": list(rows.values())})
    return {row.shard for row in found}


async def backlog(session: ReadSession) -> tuple[datetime | None, int]:
    """Time of the oldest unsent row and their number (counted up to 10,000)."""
    row = (await session.all(_AGE))[0]
    return row.oldest, int(row.unsent)
