"""Carrying out what was decided about held removals, saying again what waits, and forgetting what is long over.

A loop over the work of all brands. A decided request is carried out in chunks, each a transaction of its own that sets
the desired states of its items anew: killed in between, the next chunk goes on with the items that still wait.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId
from vitrin.kit.logs import get_logger
from vitrin.shop_sync.domain.guard import Kind
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.repository import channels, removals, replica, shelf, stocks, work
from vitrin.shop_sync.repository import guard as memory
from vitrin.shop_sync.service import metrics
from vitrin.shop_sync.service.desired import Desires
from vitrin.shop_sync.service.guarding import ALERT_AGAIN_AFTER, say_held, withdraw
from vitrin.shop_sync.service.waking import Waker

LOOK_EVERY_S: Final = 1.0
REQUESTS_PER_LOOK: Final = 20
CHUNK_ITEMS: Final = 500
TROUBLE_PAUSE: Final = timedelta(seconds=60)
_log = get_logger("vitrin.shop_sync.releasing")


class Releasing:
    """`remind_every`: an open request says so again; `keep`: so long a request is kept after its end."""

    def __init__(
        self,
        *,
        database: WorkerDatabase,
        desires: Desires,
        waker: Waker,
        clock: Clock,
        remind_every: timedelta,
        keep: timedelta,
        chunk_items: int = CHUNK_ITEMS,
    ) -> None:
        self._database = database
        self._desires = desires
        self._waker = waker
        self._clock = clock
        self._remind_every = remind_every
        self._keep = keep
        self._chunk_items = chunk_items

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                busy = await self.look()
            except (DBAPIError, PoolTimeout, OSError) as error:
                _log.warning("database_away", reason=str(error).splitlines()[0])
                busy = False
            if not busy:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), timeout=LOOK_EVERY_S)

    async def look(self) -> bool:
        """One step of every request that is due; True when something was done."""
        now = self._clock()
        async with self._database.read() as tx:
            due = await removals.due(tx, now=now, limit=REQUESTS_PER_LOOK)
            waiting, oldest = await removals.overview(tx)
        metrics.REMOVAL_REQUESTS.set(waiting)
        metrics.REMOVAL_WAIT.set((now - oldest).total_seconds() if oldest else 0)
        for brand, request_id in due:
            await self._try(brand, request_id)
        return bool(due)

    async def _try(self, brand: BrandId, request_id: UUID) -> None:
        """A request that breaks waits a while, and holds up no other."""
        try:
            async with self._database.write([brand]) as tx:
                await self._step(tx, brand, request_id)
        except (DBAPIError, PoolTimeout, OSError):
            raise
        except Exception:
            _log.exception("removal_broke", request=str(request_id))
            until = self._clock() + TROUBLE_PAUSE
            async with self._database.write([brand]) as tx:
                await removals.postpone(tx, brand, request_id, until, waits=None)

    async def _step(self, tx: WriteSession, brand: BrandId, request_id: UUID) -> None:
        now = self._clock()
        due_at = await removals.claim(tx, brand, request_id)
        request = await removals.get(tx, brand, request_id)
        if due_at is None or due_at > now or request is None:
            return
        channel = await channels.get(tx, brand, request.channel_id)
        assert channel is not None
        if request.finished_at is None and request.state != "open" and request.subject == "strangers":
            await self._let_strangers_go(tx, channel, request)
            return
        if request.finished_at is None and request.state != "open":
            await self._carry_out(tx, channel, request)
            return
        await memory.lock_window(tx, brand, channel.channel_id)
        request = await removals.get(tx, brand, request_id)
        if request is not None and request.state == "open":
            await self._remind(tx, channel, request)
        elif request is not None and request.finished_at is not None:
            await self._put_away(tx, brand, request)

    async def _put_away(self, tx: WriteSession, brand: BrandId, request: "Row[Any]") -> None:
        until = request.finished_at + self._keep
        if until <= self._clock():
            await removals.forget(tx, brand, request.request_id)
        else:
            await removals.postpone(tx, brand, request.request_id, until, waits=False)

    async def _remind(self, tx: WriteSession, channel: Channel, request: "Row[Any]") -> None:
        """A request that has grown says so soon, one that only waits says so from time to time."""
        now, brand, request_id = self._clock(), channel.brand_id, request.request_id
        if channel.state == "closed":
            await withdraw(tx, channel, request, note="the channel was closed", now=now)
            return
        grown = request.waiting_removals + request.waiting_zeroings > request.alerted_items
        if grown or now - request.alerted_at >= self._remind_every:
            await say_held(tx, channel, request_id, await memory.policy(tx, brand), now)
            again = now + (ALERT_AGAIN_AFTER if grown else self._remind_every)
        else:
            again = request.alerted_at + self._remind_every
        await removals.postpone(tx, brand, request_id, again, waits=True)

    async def _carry_out(self, tx: WriteSession, channel: Channel, request: "Row[Any]") -> None:
        brand, request_id, now = channel.brand_id, request.request_id, self._clock()
        found = await removals.next_waiting(tx, brand, request_id, limit=self._chunk_items)
        if found and channel.state != "closed":
            await replica.share_brands(tx, [brand])
            held = await replica.lock(tx, [(brand, item) for item, _ in found])
            due = await self._desires.set(tx, channels=[channel], replicas=held, now=now)
            left = await removals.next_waiting(tx, brand, request_id, limit=self._chunk_items)
            stuck = {item for item, _ in found} & {item for item, _ in left}
            await work.make_due(tx, due, now)
            self._waker.after(tx, due)
            if stuck:
                _log.warning("removal_stuck", request=str(request_id), items=len(stuck))
                await removals.postpone(tx, brand, request_id, now + TROUBLE_PAUSE, waits=False)
                return
        elif found:
            await self._drop(tx, request, found)
        if len(found) < self._chunk_items:
            done = await removals.finish(tx, brand, request_id, now, state=request.state)
            until = now + self._keep if done else now
            await removals.postpone(tx, brand, request_id, until, waits=False)

    async def _let_strangers_go(self, tx: WriteSession, channel: Channel, request: "Row[Any]") -> None:
        """Approved, the channel's session deletes them; rejected, they are strangers as before. What an item of ours
        took over meanwhile stays."""
        brand, request_id, now = channel.brand_id, request.request_id, self._clock()
        await stocks.lock(tx, channel)
        found = await removals.next_waiting(tx, brand, request_id, limit=self._chunk_items)
        goes = request.state == "approved" and channel.state != "closed"
        moved = await shelf.change(
            tx,
            channel,
            [item for item, _ in found],
            was=["removal"],
            state="removing" if goes else "stranger",
            now=now,
            by=request.decided_by,
        )
        ends = {item: ("gone" if goes else "kept") if item in moved else "back" for item, _ in found}
        await removals.settle(
            tx, brand, [(request_id, item, kind.value, ends[item]) for item, kind in found], now=now
        )
        counts = Counter(ends.values())
        await removals.recount(
            tx,
            brand,
            request_id,
            waiting_removals=-len(found),
            gone=counts["gone"],
            kept=counts["kept"],
            back=counts["back"],
            causes=request.causes,
            now=now,
        )
        if len(found) < self._chunk_items:
            await removals.finish(tx, brand, request_id, now, state=request.state)
            await removals.postpone(tx, brand, request_id, now + self._keep, waits=False)
        if goes:
            await stocks.wake(tx, channel, now)
            await work.make_due(tx, [channel.channel_id], now)
            self._waker.after(tx, [channel.channel_id])

    async def _drop(self, tx: WriteSession, request: "Row[Any]", found: Sequence[tuple[str, Kind]]) -> None:
        """The channel was closed before the decision was carried out: nothing is sent or taken down any more."""
        now, brand = self._clock(), request.brand_id
        rows = [(request.request_id, item, kind.value, "kept") for item, kind in found]
        await removals.settle(tx, brand, rows, now=now)
        removed = sum(1 for _, kind in found if kind is Kind.REMOVAL)
        await removals.recount(
            tx,
            brand,
            request.request_id,
            waiting_removals=-removed,
            waiting_zeroings=removed - len(found),
            kept=len(found),
            causes=request.causes,
            now=now,
        )
