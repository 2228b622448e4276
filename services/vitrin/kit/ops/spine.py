"""/v1/ops/spine: where outbox, topics and consumer groups of a service stand, and the marker of a clean stop.

Whoever stops a system asks every producing and consuming service, and sets the marker of a producer once all groups
stand at or after the ends that it named (`vitrin.cli.supervisor.draining` does; ADR 7 says why that is exact).
"""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy import text

from vitrin.kit.clock import Clock
from vitrin.kit.consumer import snapshot_store
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import ReadSession
from vitrin.kit.errors import Refused
from vitrin.kit.kafka.client import BrokerUnavailable, Probe
from vitrin.kit.logs import get_logger
from vitrin.kit.ops.access import operator_only
from vitrin.kit.outbox import store

router = APIRouter(prefix="/v1/ops/spine", tags=["operator"], dependencies=[Depends(operator_only)])
log = get_logger(__name__)

_HAS_CONSUMERS: Final = text("select to_regclass('consumer_snapshots') is not null")
_POSITIONS: Final = text(
    "select consumer_group, topic, topic_id, partition, next_offset from consumer_offsets"
    " order by consumer_group, topic, partition"
)


class MarkerInFuture(Refused):
    code, title = "marker_in_future", "The marker lies ahead of the service's clock"
    fix = "Send the `at` of an answer of GET /v1/ops/spine of the same service."


class End(BaseModel):
    """How far a partition of one incarnation of a topic was written."""

    topic: str
    topic_id: UUID
    partition: int
    next_offset: int


class Position(End):
    """Where a consumer group of this service stands."""

    group: str


class SnapshotState(BaseModel):
    group: str
    topic: str
    state: str = Field(description="wanted: not complete yet; done.")
    reason: str = Field(description="new, or records_gone.")
    records: int


class SpineState(BaseModel):
    """`at` was taken before anything was looked at."""

    service: str
    at: datetime
    drained_at: datetime | None = Field(description="The marker that is set now.")
    unsent: int = Field(description="Outbox rows not yet acknowledged.")
    unsent_first: int | None = Field(description="The smallest id among them.")
    unsent_last: int | None = Field(description="The largest id among them.")
    unsettled: list[str] = Field(
        description="Topics of this service of which the broker has another incarnation than the relay knows, or none;"
        " or that the broker could not be asked about."
    )
    ends: list[End] = Field(
        description="Of the topics that this service writes: the larger of acks and broker."
    )
    positions: list[Position]
    snapshots: list[SnapshotState]


class Marker(BaseModel):
    drained_at: AwareDatetime = Field(examples=["2020-01-31T12:00:00Z"])


class MarkerSet(BaseModel):
    drained_at: datetime | None
    changed: bool


class Spine:
    """One service's part of it."""

    def __init__(self, *, service: str, database: WorkerDatabase, probe: Probe, clock: Clock) -> None:
        self._service = service
        self._database = database
        self._probe = probe
        self._clock = clock

    async def state(self) -> SpineState:
        """The order matters: the time, then the rows, then the ends, then what the broker says."""
        at = self._clock()
        async with self._database.read() as session:
            standing = await store.standing(session)
            drained_at = await store.drained_at(session)
        ends, unsettled = await self._ends(standing)
        async with self._database.read() as session:
            positions, snapshots = await self._consumers(session)
        return SpineState(
            service=self._service,
            at=at,
            drained_at=drained_at,
            unsent=standing.unsent,
            unsent_first=standing.unsent_first,
            unsent_last=standing.unsent_last,
            unsettled=unsettled,
            ends=ends,
            positions=positions,
            snapshots=snapshots,
        )

    async def set_marker(self, drained_at: datetime) -> MarkerSet:
        """Raises MarkerInFuture. An older marker than the one that is there changes nothing."""
        now = self._clock()
        if drained_at > now:
            raise MarkerInFuture(
                f"{drained_at.isoformat()} is later than {now.isoformat()}.", field="drained_at"
            )
        async with self._database.write() as tx:
            changed = await store.mark_drained(tx, drained_at=drained_at, now=now)
        async with self._database.read() as session:
            stands = await store.drained_at(session)
        log.info("marker", drained_at=drained_at.isoformat(), changed=changed)
        return MarkerSet(drained_at=stands, changed=changed)

    async def _ends(self, standing: store.Standing) -> tuple[list[End], list[str]]:
        """By acks, or by the broker where it says more. It says too little at times (ADR 3), and never too much."""
        names = sorted(standing.incarnations)
        self._probe.forget()
        try:
            found, _ = await self._probe.look(names)
            places = [(name, p) for name, info in found.items() for p in range(info.partitions)]
            bounds = await self._probe.bounds(places) if places else {}
        except BrokerUnavailable:
            return [], names
        unsettled = [
            name
            for name in names
            if name not in found or standing.incarnations[name] != frozenset({found[name].topic_id})
        ]
        return [
            End(
                topic=name,
                topic_id=found[name].topic_id,
                partition=partition,
                next_offset=max(last, standing.ends.get((name, found[name].topic_id, partition), 0)),
            )
            for (name, partition), (_, last) in sorted(bounds.items())
        ], unsettled

    async def _consumers(self, session: ReadSession) -> tuple[list[Position], list[SnapshotState]]:
        if not await session.scalar(_HAS_CONSUMERS):
            return [], []
        positions = [
            Position(
                group=row.consumer_group,
                topic=row.topic,
                topic_id=row.topic_id,
                partition=row.partition,
                next_offset=row.next_offset,
            )
            for row in await session.all(_POSITIONS)
        ]
        snapshots = [
            SnapshotState(
                group=row.consumer_group,
                topic=row.topic,
                state=row.state,
                reason=row.reason,
                records=row.records,
            )
            for row in await snapshot_store.load_all(session)
        ]
        return positions, snapshots


def install(app: FastAPI, spine: Spine) -> None:
    app.state.spine = spine
    app.include_router(router)


def _spine(request: Request) -> Spine:
    spine: Spine = request.app.state.spine
    return spine


SpineOf = Annotated[Any, Depends(_spine)]


@router.get("", summary="Outbox, topics and consumer groups of this service")
async def read_spine(spine: SpineOf) -> SpineState:
    """Needs the operator token."""
    state: SpineState = await spine.state()
    return state


@router.post("/marker", summary="Everything sent up to this moment has been read by every consumer")
async def set_marker(spine: SpineOf, marker: Marker) -> MarkerSet:
    """A topic that comes back as another incarnation is given again only what was sent later. Set it only to the `at`
    of an answer of which no unsent row is left, to whose later ends every consumer group has read. Needs the operator
    token."""
    found: MarkerSet = await spine.set_marker(marker.drained_at)
    return found
