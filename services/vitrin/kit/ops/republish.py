"""/v1/ops/republish: publish the whole state of a topic from its owner's tables."""

import asyncio
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import BaseModel, Field

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.errors import NotFound
from vitrin.kit.ops.access import operator_only
from vitrin.kit.state import jobs, republisher
from vitrin.kit.state.source import Sources

router = APIRouter(prefix="/v1/ops/republish", tags=["operator"], dependencies=[Depends(operator_only)])


class TopicNotRepublished(NotFound):
    code, title = "topic_not_owned", "This service has no state of that topic"


class JobNotFound(NotFound):
    code, title = "job_not_found", "There is no such job"
    fix = "GET /v1/ops/republish lists the newest ones."


class Wanted(BaseModel):
    topic: str = Field(examples=["catalog.item.v1"], max_length=249)


class Job(BaseModel):
    """`records` and `brands` count what was written to the outbox so far."""

    id: UUID
    topic: str
    reason: str = Field(description="asked, or new_incarnation.")
    state: str = Field(description="running, done.")
    records: int
    brands: int
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class Jobs(BaseModel):
    data: list[Job]


class Republishing:
    def __init__(
        self, *, database: WorkerDatabase, sources: Sources, wake: asyncio.Event, clock: Clock
    ) -> None:
        self._database = database
        self._sources = sources
        self._wake = wake
        self._clock = clock

    async def begin(self, topic: str) -> Job:
        """Raises TopicNotRepublished. A worker process of the service does the work."""
        if topic not in self._sources:
            raise TopicNotRepublished(
                f"{topic!r} has no state source here.", fix=f"It has: {', '.join(sorted(self._sources))}."
            )
        job = await republisher.ask(self._database, topic=topic, wake=self._wake, clock=self._clock)
        return _shown(job)

    async def get(self, job_id: UUID) -> Job:
        """Raises JobNotFound."""
        async with self._database.read() as session:
            found = await jobs.get(session, job_id)
        if found is None:
            raise JobNotFound
        return _shown(found)

    async def newest(self) -> Jobs:
        async with self._database.read() as session:
            return Jobs(data=[_shown(job) for job in await jobs.newest(session)])


def _shown(job: jobs.Job) -> Job:
    return Job(**{name: getattr(job, name) for name in Job.model_fields})


def install(app: FastAPI, republishing: Republishing) -> None:
    app.state.republishing = republishing
    app.include_router(router)


def _republishing(request: Request) -> Any:
    return request.app.state.republishing


Republish = Annotated[Any, Depends(_republishing)]


@router.post("", status_code=202, summary="Publish the whole state of a topic")
async def begin(republishing: Republish, wanted: Wanted) -> Job:
    """Begins a job, or answers the one that runs for the topic. It goes on after a restart. Consumers drop what they
    have already, by version. Needs the operator token."""
    job: Job = await republishing.begin(wanted.topic)
    return job


@router.get("", summary="The newest jobs")
async def list_jobs(republishing: Republish) -> Jobs:
    """At most 50. Needs the operator token."""
    found: Jobs = await republishing.newest()
    return found


@router.get("/{job_id}", summary="One job and how far it is")
async def read_job(republishing: Republish, job_id: UUID) -> Job:
    """Needs the operator token."""
    job: Job = await republishing.get(job_id)
    return job
