"""May anything of a brand go out to a platform? One question, asked before every call that leaves the house.

accounts owns the switches (house, brand, brand and platform) and publishes them; every service keeps a replica:

    the replica is younger than 30 s     the replica decides: a stop arrives within a second of it
    older, accounts answers              accounts decides, and a metric says that it was asked
    older, accounts is down              what the replica last knew stands: an outage neither lifts a stop nor makes one
    never complete, accounts is down     nothing goes out: nobody knows what was stopped

An answer is kept for CACHE_S.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Protocol
from uuid import UUID

import grpc
from sqlalchemy import text

from vitrin.kit import metrics
from vitrin.kit.clock import from_us
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import BrandId
from vitrin.kit.logs import get_logger
from vitrin.protos.accounts.v1 import access_pb2, access_pb2_grpc, events_pb2

HOUSE: Final = BrandId(UUID(int=0))
"""Stands where a brand would: the switch of the whole house. No brand has this id."""
FRESH_S: Final = 30.0
CACHE_S: Final = 0.25
CACHE_MAX: Final = 10_000
ASK_DEADLINE_S: Final = 1.0
Scope = Literal["house", "brand", "platform"]

_log = get_logger("vitrin.outgoing")
ASKED = metrics.counter(
    "vitrin_outgoing_asked_total",
    "Switches asked for at accounts, because the replica was too old.",
    ("outcome",),
)
REFUSED = metrics.counter(
    "vitrin_outgoing_refused_total",
    "Calls that did not leave the house, by the switch that stopped them.",
    ("scope",),
)
_STOPPED: Final = text(
    "select brand_id, platform, reason, actor, changed_at from access_outgoing"
    f" where stopped and (brand_id = '{HOUSE}' or brand_id = :brand_id and platform in ('', :platform))"
    " order by brand_id, platform limit 1"
)
_STOPPED_OF_BRAND: Final = text(
    "select brand_id, platform, reason, actor, changed_at from access_outgoing"
    f" where stopped and brand_id in ('{HOUSE}', :brand_id) order by brand_id, platform"
)


def scope_of(brand_id: UUID, platform: str) -> Scope:
    if brand_id == HOUSE:
        return "house"
    return "platform" if platform else "brand"


def switch_key(brand_id: UUID, platform: str) -> str:
    """Key of the switch in its topic and in the audit log."""
    if brand_id == HOUSE:
        return "house"
    return f"{brand_id}/{platform}" if platform else str(brand_id)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why nothing goes out: the widest switch that is stopped, who turned it, when and why."""

    scope: Scope
    platform: str
    reason: str
    actor: str
    since: datetime


UNKNOWN: Final = Stop(
    "house",
    "",
    "nobody knows yet what was stopped",
    "system",
    datetime.fromisoformat("1970-01-01T00:00:00+00:00"),
)


class HasAge(Protocol):
    def age_s(self) -> float: ...


def switch_row(message: events_pb2.OutgoingChanged) -> dict[str, Any]:
    """Columns of `access_outgoing`. ValueError when the brand's id is none."""
    return {
        "brand_id": UUID(message.brand_id) if message.brand_id else HOUSE,
        "platform": message.platform,
        "version": message.version,
        "stopped": message.stopped,
        "reason": message.reason,
        "actor": message.actor,
        "changed_at": from_us(message.changed_at_us),
    }


async def stop_in(session: ReadSession, brand_id: BrandId, platform: str) -> Stop | None:
    """From the replica, in a transaction that may see the brand (app or worker)."""
    row = await session.one_or_none(_STOPPED, {"brand_id": brand_id, "platform": platform})
    return None if row is None else _stop(row)


async def stops_in(session: ReadSession, brand_id: BrandId) -> list[Stop]:
    """Everything that stands still for the brand, the widest first."""
    return [_stop(row) for row in await session.all(_STOPPED_OF_BRAND, {"brand_id": brand_id})]


def stop_for(stops: Iterable[Stop], platform: str) -> Stop | None:
    """Of `stops_in`: the widest that concerns the platform."""
    return next((stop for stop in stops if stop.platform in ("", platform)), None)


def _stop(row: Any) -> Stop:
    return Stop(scope_of(row.brand_id, row.platform), row.platform, row.reason, row.actor, row.changed_at)


class Outgoing:
    """The question, for the worker of a service. `replica`: the consumer that follows accounts' switches."""

    def __init__(
        self,
        database: WorkerDatabase,
        replica: HasAge,
        accounts: "access_pb2_grpc.AccessServiceAsyncStub",
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._replica = replica
        self._accounts = accounts
        self._monotonic = monotonic
        self._known: OrderedDict[tuple[BrandId, str], tuple[float, Stop | None]] = OrderedDict()

    async def allowed(self, brand_id: BrandId, platform: str) -> bool:
        return await self.stop(brand_id, platform) is None

    async def stop(self, brand_id: BrandId, platform: str) -> Stop | None:
        """What forbids a call now; None when it may go."""
        known = self._known.get((brand_id, platform))
        if known is None or self._monotonic() - known[0] >= CACHE_S:
            async with self._database.read([brand_id]) as session:
                found = await stop_in(session, brand_id, platform)
            age_s = self._replica.age_s()
            if age_s > FRESH_S:
                otherwise = found if age_s < float("inf") else UNKNOWN
                found = await self._ask(brand_id, platform, otherwise=otherwise)
            known = self._remember(brand_id, platform, found)
        if known[1] is not None:
            REFUSED.labels(known[1].scope).inc()
        return known[1]

    async def look(self, session: ReadSession, brand_id: BrandId, platform: str) -> None:
        """Prepare the answer of `stop` in a transaction that the caller has open anyway."""
        if self._replica.age_s() <= FRESH_S:
            self._remember(brand_id, platform, await stop_in(session, brand_id, platform))

    def surely_allowed(self, brand_id: BrandId, platform: str) -> bool:
        """Known without asking anybody. False also says that nobody knows: ask `stop`."""
        known = self._known.get((brand_id, platform))
        return known is not None and known[1] is None and self._monotonic() - known[0] < CACHE_S

    def known_stop(self, brand_id: BrandId, platform: str) -> Stop | None:
        """What the last answer forbade, however old."""
        known = self._known.get((brand_id, platform))
        return known[1] if known else None

    def _remember(self, brand_id: BrandId, platform: str, found: Stop | None) -> tuple[float, Stop | None]:
        key = (brand_id, platform)
        self._known.pop(key, None)
        known = self._known[key] = (self._monotonic(), found)
        if len(self._known) > CACHE_MAX:
            self._known.popitem(last=False)
        return known

    async def _ask(self, brand_id: BrandId, platform: str, *, otherwise: Stop | None) -> Stop | None:
        request = access_pb2.CheckOutgoingRequest(brand_id=str(brand_id))
        try:
            answer = await self._accounts.CheckOutgoing(request, timeout=ASK_DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            ASKED.labels("failed").inc()
            _log.warning("accounts_unreachable", status=error.code().name)
            return otherwise
        ASKED.labels("answered").inc()
        rows = [switch_row(message) for message in answer.switches if message.stopped]
        stops = [
            Stop(
                scope_of(row["brand_id"], row["platform"]),
                row["platform"],
                row["reason"],
                row["actor"],
                row["changed_at"],
            )
            for row in rows
        ]
        return stop_for(stops, platform)
