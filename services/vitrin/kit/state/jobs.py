"""SQL of the jobs that publish a topic's whole state. One runs per topic at a time; its position is in its row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, new_uuid

LISTED_MAX: Final = 50
_COLUMNS: Final = (
    "id, topic, topic_id, reason, state, at_brand as brand_id, position, records, brands, created_at, updated_at,"
    " finished_at"
)
_INSERT: Final = text(
    "insert into republish_jobs (id, topic, topic_id, reason, state, created_at, updated_at)"
    " values (:id, :topic, :topic_id, :reason, 'running', :now, :now)"
    " on conflict (topic) where state = 'running' do nothing"
)
_INSERT_UNLESS: Final = text(
    "insert into republish_jobs (id, topic, topic_id, reason, state, created_at, updated_at)"
    " select :id, :topic, :topic_id, :reason, 'running', :now, :now"
    " where not exists (select from republish_jobs where topic = :topic and created_at > :since)"
    " on conflict (topic) where state = 'running' do nothing"
)
_RUNNING: Final = text(
    f"select {_COLUMNS} from republish_jobs where state = 'running' order by created_at limit :limit"
)
_OF_TOPIC: Final = text(f"select {_COLUMNS} from republish_jobs where topic = :topic and state = 'running'")
_GET: Final = text(f"select {_COLUMNS} from republish_jobs where id = :id")
_LIST: Final = text(f"select {_COLUMNS} from republish_jobs order by created_at desc limit :limit")
_HOLD: Final = text(f"select {_COLUMNS} from republish_jobs where id = :id for update skip locked")
_ADVANCE: Final = text(
    "update republish_jobs set at_brand = :brand_id, position = :position, records = records + :records,"
    " brands = brands + :brands, updated_at = :now where id = :id"
)
_FINISH: Final = text(
    "update republish_jobs set state = 'done', finished_at = :now, updated_at = :now where id = :id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`brand_id` and `position`: where it goes on; position None: the brand is finished. `brands`: finished ones."""

    id: UUID
    topic: str
    topic_id: UUID | None
    reason: str
    state: str
    brand_id: BrandId | None
    position: str | None
    records: int
    brands: int
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


async def ask(tx: WriteSession, *, topic: str, now: datetime) -> Job:
    """The job that runs for the topic already, else a new one."""
    params = {"id": new_uuid(), "topic": topic, "topic_id": None, "reason": "asked", "now": now}
    await tx.execute(_INSERT, params)
    found = await tx.one_or_none(_OF_TOPIC, {"topic": topic})
    assert found is not None
    return _job(found)


async def for_incarnation(
    tx: WriteSession, *, topic: str, topic_id: UUID, since: datetime, now: datetime
) -> None:
    """Unless one was begun after `since`: its rows are in the outbox, and are sent again with the others."""
    params = {"id": new_uuid(), "topic": topic, "topic_id": topic_id, "reason": "new_incarnation"}
    await tx.execute(_INSERT_UNLESS, params | {"since": since, "now": now})


async def running(session: ReadSession) -> Sequence[Job]:
    return [_job(row) for row in await session.all(_RUNNING, {"limit": LISTED_MAX})]


async def get(session: ReadSession, job_id: UUID) -> Job | None:
    found = await session.one_or_none(_GET, {"id": job_id})
    return None if found is None else _job(found)


async def newest(session: ReadSession) -> Sequence[Job]:
    return [_job(row) for row in await session.all(_LIST, {"limit": LISTED_MAX})]


async def hold(tx: WriteSession, job_id: UUID) -> Job | None:
    """The job as it stands, under its lock; None while another worker works on it."""
    found = await tx.one_or_none(_HOLD, {"id": job_id})
    return None if found is None else _job(found)


async def advance(
    tx: WriteSession, job: Job, *, brand: BrandId, position: str | None, records: int, now: datetime
) -> None:
    params = {"id": job.id, "brand_id": brand, "position": position, "records": records, "now": now}
    await tx.execute(_ADVANCE, params | {"brands": int(position is None)})


async def finish(tx: WriteSession, job: Job, *, now: datetime) -> None:
    await tx.execute(_FINISH, {"id": job.id, "now": now})


def _job(row: Any) -> Job:
    return Job(**row._mapping)
