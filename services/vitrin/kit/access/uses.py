"""When keys were used last, to the minute: remembered in the process, told to accounts once a minute, never a write per
request.

A process that is killed forgets its last minute; the next use of the key makes up for it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import grpc
from sqlalchemy.exc import SQLAlchemyError

from vitrin.kit import metrics
from vitrin.kit.access.principal import Principal
from vitrin.kit.clock import Clock, to_us
from vitrin.kit.ids import BrandId, KeyId
from vitrin.kit.logs import get_logger
from vitrin.protos.accounts.v1 import access_pb2, access_pb2_grpc

EVERY_S: Final = 60.0
KEYS_MAX: Final = 10_000
"""Told at once; the keys that were used longest ago are forgotten beyond it."""
REPORT_DEADLINE_S: Final = 5.0

_log = get_logger("vitrin.access")
REPORTS = metrics.counter(
    "vitrin_access_use_reports_total",
    "Reports about the last use of keys, by outcome: done or failed (told again a minute later).",
    ("outcome",),
)


@dataclass(frozen=True, slots=True)
class KeyUse:
    key_id: KeyId
    brand_id: BrandId
    used_at: datetime


Report = Callable[[Sequence[KeyUse]], Awaitable[None]]


class KeyUses:
    """Of one process; `note` on every request, `run` beside the doors."""

    def __init__(self, report: Report, clock: Clock, *, every_s: float = EVERY_S) -> None:
        self._report = report
        self._clock = clock
        self._every_s = every_s
        self._new: OrderedDict[KeyId, KeyUse] = OrderedDict()
        self._told: OrderedDict[KeyId, datetime] = OrderedDict()

    def note(self, caller: Principal) -> None:
        minute = self._clock().replace(second=0, microsecond=0)
        if self._told.get(caller.key_id) == minute:
            return
        self._new[caller.key_id] = KeyUse(caller.key_id, caller.brand_id, minute)
        self._new.move_to_end(caller.key_id)
        if len(self._new) > KEYS_MAX:
            self._new.popitem(last=False)

    async def tell(self) -> None:
        """What is new since the last time. When it fails it is new still."""
        if not self._new:
            return
        told, self._new = self._new, OrderedDict()
        try:
            await self._report(list(told.values()))
        except (SQLAlchemyError, grpc.aio.AioRpcError) as error:
            REPORTS.labels("failed").inc()
            _log.warning("key_uses_not_told", keys=len(told), reason=type(error).__name__)
            self._new = OrderedDict([*told.items(), *self._new.items()][-KEYS_MAX:])
            return
        REPORTS.labels("done").inc()
        self._told = OrderedDict((use.key_id, use.used_at) for use in told.values())

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=self._every_s)
            await self.tell()


def told_to_accounts(stub: "access_pb2_grpc.AccessServiceAsyncStub") -> Report:
    """The report of every service but accounts."""

    async def report(uses: Sequence[KeyUse]) -> None:
        told = [
            access_pb2.KeyUse(key_id=use.key_id, brand_id=str(use.brand_id), used_at_us=to_us(use.used_at))
            for use in uses
        ]
        await stub.ReportUse(access_pb2.ReportUseRequest(uses=told), timeout=REPORT_DEADLINE_S)

    return report
