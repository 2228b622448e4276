"""Removes what the plumbing of every service no longer needs. What grows with the brands, its own service removes."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text

from vitrin.kit.db.session import WriteSession

KEPT: Final = timedelta(days=90)
ROWS_AT_ONCE: Final = 1_000
_JOBS: Final = text(
    "delete from republish_jobs where id in"
    f" (select id from republish_jobs where finished_at < :before limit {ROWS_AT_ONCE})"
)
_FOLLOWS: Final = text("select to_regclass('public.consumer_offsets') is not null")
_OFFSETS: Final = text(
    "delete from consumer_offsets old where updated_at < :before and exists (select from consumer_offsets new"
    " where new.consumer_group = old.consumer_group and new.topic = old.topic and new.partition = old.partition"
    " and new.topic_id <> old.topic_id and new.updated_at > old.updated_at)"
)


async def sweep(tx: WriteSession, now: datetime) -> None:
    """Under the worker role, about every hour. A position is removed only where its group stands in a newer
    incarnation of the topic: the only one is never too old."""
    await tx.execute(_JOBS, {"before": now - KEPT})
    if await tx.scalar(_FOLLOWS):
        await tx.execute(_OFFSETS, {"before": now - KEPT})
