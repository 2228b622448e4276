"""Saying that a person must decide or know something: once per cause, once a day while it lasts, and when it is over.

A service keeps what it has said in its own table and publishes in the transaction that changes it, so that neither a
restart nor a second look says a thing twice. notify turns the messages into notifications (ADR 23).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

from sqlalchemy import text

from vitrin.events.envelope import Event
from vitrin.kit.clock import Clock, to_us
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.protos.kit.v1.attention_pb2 import Attention, AttentionSeverity, AttentionState

if TYPE_CHECKING:
    from alembic.operations import Operations

    from vitrin.kit.db.database import WorkerDatabase

REMIND_AFTER: Final = timedelta(days=1)
TEXT_MAX: Final = 1_000
Severity = Literal["info", "warning", "critical"]
SEVERITIES: Final[Mapping[Severity, AttentionSeverity.ValueType]] = {
    "info": AttentionSeverity.ATTENTION_SEVERITY_INFO,
    "warning": AttentionSeverity.ATTENTION_SEVERITY_WARNING,
    "critical": AttentionSeverity.ATTENTION_SEVERITY_CRITICAL,
}
_OPEN: Final = text(
    "insert into attentions (brand_id, kind, cause, opened_at, said_at)"
    " values (:brand_id, :kind, :cause, :now, :now) on conflict (brand_id, kind, cause)"
    " do update set said_at = excluded.said_at where attentions.said_at <= :before returning cause"
)
_RESOLVE: Final = text(
    "delete from attentions where brand_id = :brand_id and kind = :kind and cause = any(cast(:causes as text[]))"
    " returning cause"
)
_KNOWN: Final = text("select brand_id, cause, said_at from attentions where kind = :kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """`kind` has a row in notify's register. `cause` tells two apart. `look_at`: the path of the API."""

    kind: str
    cause: str
    severity: Severity
    title: str
    detail: str
    fix: str
    subject: str
    look_at: str


class Attentions:
    """`type_`: the event type of this service, such as accounts.attention_changed."""

    def __init__(self, type_: str, clock: Clock) -> None:
        self._type = type_
        self._clock = clock

    async def open(self, tx: WriteSession, brand: UUID, concern: Concern) -> None:
        """Says it, unless it was said within a day."""
        now = self._clock()
        params = {"brand_id": brand, "kind": concern.kind, "cause": concern.cause, "now": now}
        if await tx.one_or_none(_OPEN, {**params, "before": now - REMIND_AFTER}) is not None:
            tx.publish(self._event(brand, concern, AttentionState.ATTENTION_STATE_OPEN, now))

    async def resolve(self, tx: WriteSession, brand: UUID, kind: str, causes: Collection[str]) -> None:
        """Says that it is over, where it had been said."""
        now = self._clock()
        for row in await tx.all(_RESOLVE, {"brand_id": brand, "kind": kind, "causes": sorted(causes)}):
            over = Concern(
                kind=kind,
                cause=row.cause,
                severity="info",
                title="",
                detail="",
                fix="",
                subject="",
                look_at="",
            )
            tx.publish(self._event(brand, over, AttentionState.ATTENTION_STATE_RESOLVED, now))

    async def settle(
        self, database: "WorkerDatabase", kind: str, wanted: Sequence[tuple[UUID, Concern]]
    ) -> None:
        """For a loop that sees every brand: `wanted` is everything of this kind that is open now; what is not among it
        is over. One short transaction for each brand where something has to be said, none where nothing has."""
        now = self._clock()
        async with database.read() as tx:
            known = {(row.brand_id, row.cause): row.said_at for row in await _known(tx, kind)}
        fresh: dict[UUID, list[Concern]] = {}
        for brand, concern in wanted:
            said_at = known.get((brand, concern.cause))
            if said_at is None or said_at <= now - REMIND_AFTER:
                fresh.setdefault(brand, []).append(concern)
        over: dict[UUID, list[str]] = {}
        for brand, cause in known.keys() - {(brand, one.cause) for brand, one in wanted}:
            over.setdefault(brand, []).append(cause)
        for brand in sorted({*fresh, *over}):
            async with database.write([brand]) as tx:  # type: ignore[list-item]
                for concern in sorted(fresh.get(brand, []), key=lambda one: one.cause):
                    await self.open(tx, brand, concern)
                await self.resolve(tx, brand, kind, over.get(brand, []))

    def _event(self, brand: UUID, concern: Concern, state: AttentionState.ValueType, now: datetime) -> Event:
        message = Attention(
            kind=concern.kind,
            cause=concern.cause,
            state=state,
            severity=SEVERITIES[concern.severity],
            title=concern.title[:TEXT_MAX],
            detail=concern.detail[:TEXT_MAX],
            fix=concern.fix[:TEXT_MAX],
            subject=concern.subject,
            look_at=concern.look_at,
            occurred_at_us=to_us(now),
        )
        return Event.of(
            key=f"{brand}/{concern.kind}/{concern.cause}",
            type=self._type,
            brand_id=brand,
            message=message,
            occurred_at=now,
            received_at=now,
        )


async def _known(tx: ReadSession, kind: str) -> Sequence[Any]:
    return await tx.all(_KNOWN, {"kind": kind})


def install_attentions(op: "Operations") -> None:
    """What is open now: rows go when it is over."""
    from vitrin.kit.db.migration import brand_table  # noqa: PLC0415

    op.execute(
        """
        create table attentions (
            brand_id uuid not null,
            kind text not null,
            cause text collate "C" not null,
            opened_at timestamptz not null,
            said_at timestamptz not null,
            primary key (brand_id, kind, cause)
        )
        """
    )
    brand_table(op, "attentions", worker="all")
