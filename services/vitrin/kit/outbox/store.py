"""SQL of the relay: leases with fencing, unsent rows, marks, incarnations. Runs under the worker role."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, SmallInteger

from vitrin.kit.db.session import ReadSession, WriteSession

LEASE_S: Final = 15.0
CLAIM_ROWS_MAX: Final = 200

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
    update outbox_leases set fence = fence + 1, expires_at = clock_timestamp() + make_interval(secs => :lease_s)
    where owner = :owner
    """
)
_RELEASE = text("update outbox_leases set expires_at = '-infinity' where owner = :owner")
# One bounded index range per shard: ordered over all shards at once, every claim would read and sort the whole backlog.
_CLAIM = text(
    """
    select o.id, o.created_at, o.shard, o.topic, o.payload from unnest(:shards) as s (shard)
    cross join lateral (
        select id, created_at, shard, topic, payload from outbox
        where sent_at is null and shard = s.shard order by id limit :rows_max) o
    order by o.id limit :rows_max
    """
).bindparams(bindparam("shards", type_=ARRAY(SmallInteger)))
_MARK = text(
    """
    update outbox set sent_at = :sent_at, sent_topic_id = :topic_id
    where id = any(:ids) and created_at between :first and :last
      and exists (select from outbox_leases l where l.shard = outbox.shard and l.owner = :owner and l.fence = :fence)
    """
).bindparams(bindparam("ids", type_=ARRAY(BigInteger)))
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
    where shard = :shard and topic = :topic and sent_at is not null and sent_topic_id is distinct from :topic_id
    """
)
_AGE = text(
    """
    select min(created_at) as oldest, count(*) as unsent
    from (select created_at from outbox where sent_at is null limit 10000) o
    """
)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    id: int
    created_at: datetime
    shard: int
    topic: str
    payload: bytes


async def lease(tx: WriteSession, *, owner: str) -> Mapping[int, int]:
    """Renew our shards and take the expired ones: shard -> fence."""
    rows = await tx.all(_LEASE, {"owner": owner, "lease_s": LEASE_S})
    return {row.shard: row.fence for row in rows}


async def take_over(tx: WriteSession, *, owner: str) -> None:
    """At the start: an earlier process of this name is dead or about to be; its marks must not count any more."""
    await tx.execute(_TAKE_OVER, {"owner": owner, "lease_s": LEASE_S})


async def release(tx: WriteSession, *, owner: str) -> None:
    await tx.execute(_RELEASE, {"owner": owner})


async def unsent(session: ReadSession, *, shards: Sequence[int]) -> list[OutboxRow]:
    """Oldest unsent rows: by the flag, never 'everything after the largest id I saw' (that loses rows)."""
    rows = await session.all(_CLAIM, {"shards": list(shards), "rows_max": CLAIM_ROWS_MAX})
    return [OutboxRow(row.id, row.created_at, row.shard, row.topic, row.payload) for row in rows]


async def mark(
    tx: WriteSession, rows: Sequence[OutboxRow], *, topic_id: UUID, owner: str, fence: int, sent_at: datetime
) -> int:
    """Mark rows of one shard and topic as sent; 0 when the lease has gone to somebody else."""
    result = await tx.execute(
        _MARK,
        {
            "sent_at": sent_at,
            "topic_id": topic_id,
            "ids": [row.id for row in rows],
            "first": min(row.created_at for row in rows),
            "last": max(row.created_at for row in rows),
            "owner": owner,
            "fence": fence,
        },
    )
    return int(result.rowcount)


async def incarnations(session: ReadSession, *, shards: Sequence[int]) -> Mapping[tuple[int, str], UUID]:
    rows = await session.all(_INCARNATIONS, {"shards": list(shards)})
    return {(row.shard, row.topic): row.topic_id for row in rows}


async def send_again(tx: WriteSession, *, shard: int, topic: str, topic_id: UUID, now: datetime) -> int:
    """A new incarnation of the topic: every kept row that this one has not seen is unsent again."""
    await tx.execute(_SEE_INCARNATION, {"shard": shard, "topic": topic, "topic_id": topic_id, "now": now})
    result = await tx.execute(_SEND_AGAIN, {"shard": shard, "topic": topic, "topic_id": topic_id})
    return int(result.rowcount)


async def backlog(session: ReadSession) -> tuple[datetime | None, int]:
    """Time of the oldest unsent row and their number (counted up to 10,000)."""
    row = (await session.all(_AGE))[0]
    return row.oldest, int(row.unsent)
