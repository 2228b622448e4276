"""A shop is tended: asked who it is, subscribed to, loaded, reconciled, and its old deliveries are forgotten."""

import random
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from vitrin.catalog.service_places import Places
from vitrin.catalog.shop import (
    metrics,
    outcome,
    repository_deliveries,
    repository_loads,
    repository_queues,
    repository_shops,
    subscribing,
)
from vitrin.catalog.shop.claiming import Lost, NextDue
from vitrin.catalog.shop.handlers import Effects
from vitrin.catalog.shop.loading import Loading, ShopNotReachable
from vitrin.catalog.shop.reconciling import Reconciling
from vitrin.catalog.shop.repository_queues import Claim
from vitrin.catalog.shop.repository_shops import NEEDS_ATTENTION, ShopRow
from vitrin.catalog.shop.secret_book import BookUnavailable, SecretBook
from vitrin.catalog.shop.settings import ShopSettings
from vitrin.catalog.shop.sources import REFUSALS, ShopAway, ShopClosedNow, Sources
from vitrin.catalog.shop.values import Shop
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import TokenCipher
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.errors import Unavailable
from vitrin.kit.ids import ConnectionId
from vitrin.kit.logs import get_logger
from vitrin.platforms.base import PlatformFailure
from vitrin.platforms.shop import ShopSource, ShopSpec

ASK_EVERY: Final = timedelta(days=1)
WEBHOOKS_EVERY: Final = timedelta(hours=1)
WEBHOOKS_AGAIN: Final = timedelta(minutes=5)
CLOSED_EVERY: Final = timedelta(days=1)
WRONG_EVERY: Final = timedelta(hours=1)
AWAY_PAUSE: Final = timedelta(seconds=5)
FAILURE_PAUSE: Final = timedelta(seconds=10)
FAILURE_PAUSE_MAX: Final = timedelta(minutes=10)
SLICE_S: Final = 5.0
_log = get_logger("vitrin.catalog.tending")


class Tending:
    """A session of the work `tending`."""

    def __init__(
        self,
        *,
        database: WorkerDatabase,
        specs: Mapping[str, ShopSpec],
        sources: Sources,
        book: SecretBook,
        effects: Effects,
        places: Places,
        loading: Loading | None,
        reconciling: Reconciling | None,
        settings: ShopSettings,
        cipher: TokenCipher,
        clock: Clock,
        chance: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._specs = specs
        self._sources = sources
        self._book = book
        self._kinds = effects.kinds()
        self._places = places
        self._loading = loading
        self._reconciling = reconciling
        self._settings = settings
        self._cipher = cipher
        self._clock = clock
        self._save_locations = effects.products.save_locations if effects.products else None
        self._chance = chance
        self._monotonic = monotonic
        self._failures: dict[ConnectionId, int] = {}

    async def __call__(self, claim: Claim, lost: Lost) -> NextDue:
        wait = await self._tend(claim, lost)
        due_at = self._clock() + wait

        async def next_due(_tx: WriteSession) -> datetime | None:
            return due_at

        return next_due

    async def _tend(self, claim: Claim, lost: Lost) -> timedelta:
        row = await self._house_keeping(claim)
        spec = None if row is None else self._specs.get(row.platform)
        if row is None or spec is None:
            return CLOSED_EVERY
        if not row.may_be_asked:
            await self._end_loads(row)
            return CLOSED_EVERY
        try:
            wait = await self._work(row, spec, lost)
        except ShopNotReachable:
            return timedelta(0)
        except (ShopAway, BookUnavailable, Unavailable):
            return AWAY_PAUSE
        except ShopClosedNow as closed:
            await self._end_loads(await self._change(row, state=NEEDS_ATTENTION, problem=closed.problem))
            return WRONG_EVERY
        except PlatformFailure as failure:
            return await self._failed(row, failure)
        self._failures.pop(row.connection_id, None)
        return wait

    async def _work(self, row: ShopRow, spec: ShopSpec, lost: Lost) -> timedelta:
        source = await self._sources.open(row)
        row = await self._asked(row, spec, source)
        if not row.reachable:
            await self._end_loads(row)
            return WRONG_EVERY
        row = await self._webhooks(row, spec, source)
        if self._loading is None or self._reconciling is None:
            return WRONG_EVERY
        until = self._monotonic() + SLICE_S
        while not lost:
            load = await self._load_due(row)
            if load is None:
                break
            pause = await self._loading.step(row, row.shop(spec), source, load)
            if pause:
                return pause
            if self._monotonic() >= until:
                return timedelta(0)
            row = await self._again(row)
            if not row.reachable:
                raise ShopNotReachable
        return await self._delta(self._reconciling, row, row.shop(spec), source, lost)

    async def _house_keeping(self, claim: Claim) -> ShopRow | None:
        now = self._clock()
        async with self._database.write([claim.brand]) as tx:
            if await repository_deliveries.wake_waiting(tx, claim.key, kinds=self._kinds, now=now):
                await repository_queues.wake(tx, [claim.key], work="deliveries", due_at=now)
            await repository_deliveries.retire(tx, claim.key, now=now)
            await repository_loads.retire(tx, claim.key, now=now)
            return await repository_shops.get(tx, claim.key)

    async def _asked(self, row: ShopRow, spec: ShopSpec, source: ShopSource) -> ShopRow:
        """Who the shop is, daily and after each change of its connection."""
        now = self._clock()
        if row.state == "ready" and row.asked_at is not None and now - row.asked_at < ASK_EVERY:
            return row
        info = await source.info()
        locations = await source.locations() if spec.has_locations and self._save_locations else []
        async with self._database.write([row.brand_id]) as tx:
            place = await self._places.of(tx, row.brand_id)
            problem = None
            if info.currency != place.currency:
                problem = outcome.problem(
                    "currency_differs",
                    f"The shop sells in {info.currency}, the brand's market {place.market} in {place.currency}.",
                    "Change the currency of the shop, or connect it to a brand with its currency.",
                )
            state = "ready" if problem is None else "refused"
            await repository_shops.change(
                tx,
                row.key,
                state=state,
                problem=problem,
                name=info.name,
                currency=info.currency,
                storefront_url=info.storefront_url,
                asked_at=now,
            )
            told = await repository_shops.get(tx, row.key)
            assert told is not None
            if problem is None and self._save_locations is not None and spec.has_locations:
                await self._save_locations(tx, told.shop(spec), locations)
        return told

    async def _webhooks(self, row: ShopRow, spec: ShopSpec, source: ShopSource) -> ShopRow:
        now, public_url = self._clock(), self._settings.public_url
        every = WEBHOOKS_EVERY if row.webhooks == "ready" else WEBHOOKS_AGAIN
        if row.webhooks_at is not None and now - row.webhooks_at < every:
            return row
        if not subscribing.reachable_for(row, public_url):
            return await self._change(
                row,
                webhooks=subscribing.NEEDS_PUBLIC_URL,
                webhooks_problem=subscribing.PUBLIC_URL_PROBLEM,
                webhooks_at=now,
            )
        secret = await self._secret(row) if spec.own_secret else ""
        try:
            await subscribing.ensure(
                row, spec, source, public_url=public_url, secret=secret, cipher=self._cipher
            )
        except PlatformFailure as failure:
            if failure.kind in REFUSALS:
                raise
            words = outcome.problem(
                failure.code, failure.message, failure.fix or "It is tried again every five minutes."
            )
            return await self._change(row, webhooks="failing", webhooks_problem=words, webhooks_at=now)
        return await self._change(row, webhooks="ready", webhooks_problem=None, webhooks_at=now)

    async def _secret(self, row: ShopRow) -> str:
        """Raises ShopAway, BookUnavailable."""
        known = self._book.get(row.connection_id) or await self._book.ask(row.connection_id)
        if known is None or not known.secrets:
            raise ShopAway("accounts has no secret for this shop yet")
        return known.secrets[0]

    async def _load_due(self, row: ShopRow) -> repository_loads.Load | None:
        """The open one, or a new one where it is time."""
        now = self._clock()
        async with self._database.write([row.brand_id]) as tx:
            found = await repository_loads.find_open(tx, row.key)
            if found is not None:
                return found
            if row.loaded_at is None and (row.full_at is None or row.full_at <= now):
                return await repository_loads.ensure(tx, row.key, kind="first", actor="vitrin", now=now)
            if row.loaded_at is not None and row.full_at is not None and row.full_at <= now:
                return await repository_loads.ensure(tx, row.key, kind="reconcile", actor="vitrin", now=now)
        return None

    async def _delta(
        self, reconciling: Reconciling, row: ShopRow, shop: Shop, source: ShopSource, lost: Lost
    ) -> timedelta:
        now = self._clock()
        full_every = timedelta(hours=self._settings.reconcile_full_h)
        delta_every = timedelta(seconds=self._settings.reconcile_delta_s)
        if row.loaded_at is None:
            return max(row.full_at - now, AWAY_PAUSE) if row.full_at else AWAY_PAUSE
        full_at = row.full_at or now + self._jittered(full_every)
        delta_at = row.delta_at or now + self._jittered(delta_every)
        if delta_at <= now:
            whole = await reconciling.delta(row, shop, source, lost)
            if lost:
                return timedelta(0)
            if not whole:
                full_at = self._clock()
            delta_at = self._clock() + self._jittered(delta_every)
        await self._change(row, full_at=full_at, delta_at=delta_at, problem=None)
        return max(min(full_at, delta_at) - self._clock(), timedelta(0))

    def _jittered(self, span: timedelta) -> timedelta:
        """Shops do not all come at once."""
        factor: float = 0.9 + 0.2 * self._chance()
        return span * factor

    async def _failed(self, row: ShopRow, failure: PlatformFailure) -> timedelta:
        words = outcome.problem(failure.code, failure.message, failure.fix or "It is tried again by itself.")
        if failure.kind in REFUSALS:
            await self._sources.report(row, failure)
            await self._end_loads(await self._change(row, state=NEEDS_ATTENTION, problem=words))
            return WRONG_EVERY
        _log.warning("shop_unwell", connection=str(row.connection_id), code=failure.code)
        await self._change(row, problem=words)
        if failure.retry_after_s is not None:
            return min(timedelta(seconds=max(1.0, failure.retry_after_s)), FAILURE_PAUSE_MAX)
        failures = self._failures[row.connection_id] = self._failures.get(row.connection_id, 0) + 1
        return min(
            timedelta(seconds=FAILURE_PAUSE.total_seconds() * 2.0 ** min(failures - 1, 10)), FAILURE_PAUSE_MAX
        )

    async def _end_loads(self, row: ShopRow) -> None:
        """A shop whose token ran out comes back as a rule: its load rests where it is. For all others it is over."""
        words = row.problem or outcome.problem(
            "connection_deleted", "The connection was deleted.", "Connect the shop again."
        )
        resting = row.state == NEEDS_ATTENTION
        ending = repository_loads.pause if resting else repository_loads.stop
        async with self._database.write([row.brand_id]) as tx:
            kinds = await ending(tx, row.key, problem=words, now=self._clock())
        for kind in kinds:
            metrics.LOADS.labels(row.platform, kind, "paused" if resting else "stopped").inc()

    async def _change(self, row: ShopRow, **values: object) -> ShopRow:
        async with self._database.write([row.brand_id]) as tx:
            await repository_shops.change(tx, row.key, **values)
        return await self._again(row)

    async def _again(self, row: ShopRow) -> ShopRow:
        async with self._database.read([row.brand_id]) as tx:
            now = await repository_shops.get(tx, row.key)
        if now is None:
            raise ShopNotReachable
        return now
