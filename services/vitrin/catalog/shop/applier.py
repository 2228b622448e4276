"""One delivery, from its sealed body to its effect, which is saved together with the mark on it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.catalog.service_places import Places
from vitrin.catalog.shop import metrics, outcome, repository_deliveries, repository_queues, repository_shops
from vitrin.catalog.shop.handlers import Effects
from vitrin.catalog.shop.outcome import Ending
from vitrin.catalog.shop.packing import unpack
from vitrin.catalog.shop.repository_deliveries import Delivery
from vitrin.catalog.shop.repository_shops import ShopRow
from vitrin.catalog.shop.sources import REFUSALS, UNINSTALLED, ShopAway, ShopClosedNow, Sources
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import CannotOpen, TokenCipher
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.errors import Unavailable
from vitrin.kit.logs import get_logger
from vitrin.kit.seal import SealRefused, SealUnavailable
from vitrin.platforms.base import PlatformFailure
from vitrin.platforms.shop import BodyInvalid, HeadInvalid, News, NewsKind, ShopProduct, ShopSpec, StockLevel

CONNECT_AGAIN: Final = "Connect the shop again; then it is applied at once."
PRIVACY: Final = frozenset(
    {NewsKind.PERSON_EXPORT.value, NewsKind.PERSON_ERASE.value, NewsKind.SHOP_ERASE.value}
)
"""Asked for people, so also of a shop that is closed: the shop's erasure comes 48 hours after its app was removed."""
_log = get_logger("vitrin.catalog.appliers")
Fetched = tuple[ShopProduct, tuple[StockLevel, ...]] | None


class Unreadable(Exception):
    """Its words are in `args[0]`; repeating cannot help."""


class Applier:
    def __init__(
        self,
        *,
        database: WorkerDatabase,
        specs: Mapping[str, ShopSpec],
        effects: Effects,
        sources: Sources,
        places: Places,
        cipher: TokenCipher,
        clock: Clock,
    ) -> None:
        self._database = database
        self._specs = specs
        self._effects = effects
        self._products = effects.products
        self._handlers = effects.handlers()
        self._kinds = frozenset(effects.kinds())
        self._sources = sources
        self._places = places
        self._cipher = cipher
        self._clock = clock

    async def apply(self, delivery: Delivery) -> Ending | None:
        """None: somebody else has finished it. Raises what says that the database is away."""
        kind = delivery.kind
        row: ShopRow | None = None
        try:
            async with self._database.read([delivery.key[0]]) as tx:
                row = await repository_shops.get(tx, delivery.key)
                packed = await repository_deliveries.body(tx, delivery, cipher=self._cipher)
            early = not_yet(row, delivery, self._clock())
            if early is not None or row is None:
                return await self._mark(delivery, kind, early or Ending("nothing", delivery.tries))
            spec, news = read(self._specs, packed, row, delivery)
            kind = news.kind.value
            return await self._follow(delivery, row, spec, news)
        except (DBAPIError, PoolTimeout, OSError):
            raise
        except (Unreadable, CannotOpen) as error:
            words = outcome.problem(
                "unreadable", str(error), "Replay it with a release that reads it, or load the shop anew."
            )
            return await self._mark(delivery, kind, Ending("dead", delivery.tries + 1, words))
        except SealUnavailable:
            words = outcome.problem(
                "keys_away",
                "The keys of personal data cannot be had at the moment.",
                "It waits for accounts, and is tried again by itself.",
            )
            ending = outcome.without_keys(
                delivery.tries, words, now=self._clock(), received_at=delivery.received_at
            )
            return await self._mark(delivery, kind, ending)
        except SealRefused as refused:
            words = outcome.problem(
                "seal_refused", f"Accounts gives no key: {refused}", "It is tried again by itself."
            )
            return await self._mark(delivery, kind, self._again(delivery, words))
        except (ShopAway, Unavailable) as error:
            words = outcome.problem("not_ready", str(error), "It is tried again by itself.")
            return await self._mark(delivery, kind, self._again(delivery, words))
        except ShopClosedNow as closed:
            ending = outcome.unasked(delivery.tries, closed.problem, now=self._clock())
            return await self._mark(delivery, kind, ending)
        except PlatformFailure as failure:
            if failure.kind in REFUSALS and row is not None:
                await self._sources.report(row, failure)
                words = outcome.problem(failure.code, failure.message, failure.fix or CONNECT_AGAIN)
                ending = outcome.unasked(delivery.tries, words, now=self._clock())
                return await self._mark(delivery, kind, ending)
            ending = outcome.of_failure(failure, delivery.tries, now=self._clock())
            return await self._mark(delivery, kind, ending)
        except Exception as error:
            _log.exception("delivery_broke", delivery=delivery.delivery_id, topic=delivery.topic)
            words = outcome.problem(
                "broke", f"{type(error).__name__} on our side", "It is tried again; the log has the reason."
            )
            return await self._mark(delivery, kind, self._again(delivery, words))

    def _again(self, delivery: Delivery, words: outcome.Problem) -> Ending:
        return outcome.again(delivery.tries, words, now=self._clock())

    async def _follow(self, delivery: Delivery, row: ShopRow, spec: ShopSpec, news: News) -> Ending | None:
        if news.kind is NewsKind.NOTHING:
            words = outcome.problem("nothing", news.reason or "Nothing to do.", "Nothing.")
            return await self._mark(delivery, news.kind.value, Ending("nothing", delivery.tries, words))
        if news.kind is NewsKind.UNINSTALLED:
            return await self._mark(delivery, news.kind.value, await self._uninstalled(delivery, row))
        if news.kind.value not in self._kinds:
            words = outcome.problem(
                "no_handler",
                f"This release does nothing with {news.kind.value} yet.",
                "It waits for one that does.",
            )
            return await self._mark(delivery, news.kind.value, Ending("waiting", delivery.tries, words))
        if news.kind is NewsKind.SHOP_ERASE:
            await self._look_whether_gone(delivery, row, spec)
        fetched: Fetched = None
        if news.kind is NewsKind.PRODUCT_TOUCHED:
            fetched = await (await self._sources.open(row)).product(news.product_id)
        return await self._effect(delivery, row, spec, news, fetched)

    async def _effect(
        self, delivery: Delivery, row: ShopRow, spec: ShopSpec, news: News, fetched: Fetched
    ) -> Ending | None:
        shop, received_at = row.shop(spec), delivery.received_at
        prepared = await self._effects.prepare(shop, news)
        async with self._database.write([row.brand_id]) as tx:
            if not await repository_deliveries.hold(tx, delivery):
                return None
            place = await self._places.of(tx, row.brand_id)
            if news.kind is NewsKind.PRODUCT_TOUCHED:
                assert self._products is not None
                applying = self._products.applying
                if fetched is not None:
                    applied = await applying.apply_product(
                        tx, shop, *fetched, place=place, received_at=received_at
                    )
                else:
                    applied = await applying.delete_product(
                        tx, shop, news.product_id, at=news.at, place=place, received_at=received_at
                    )
            else:
                applied = await self._handlers[news.kind](
                    tx, shop, news, place=place, received_at=received_at, prepared=prepared
                )
            ending = outcome.of_applied(applied, delivery.tries)
            await self._finish(tx, delivery, news.kind.value, ending)
        count(delivery, news.kind.value, ending, now=self._clock())
        return ending

    async def _uninstalled(self, delivery: Delivery, row: ShopRow) -> Ending:
        """Never believed by itself: it may be a replay, or older than the consent that came after it. The shop is
        asked; what it sells stays on the shopfronts whatever it says."""
        self._sources.forget(row.connection_id)
        try:
            await (await self._sources.open(row)).info()
        except PlatformFailure as failure:
            if failure.kind not in REFUSALS:
                raise
            await self._sources.report(row, failure, state=UNINSTALLED)
            await self._close(row)
            words = outcome.problem(
                "uninstalled",
                "The app was removed at the shop.",
                "Connect the shop again; its items stay as they are.",
            )
            return Ending("applied", delivery.tries, words)
        except ShopClosedNow as closed:
            await self._close(row)
            return Ending("applied", delivery.tries, closed.problem)
        words = outcome.problem("still_installed", "The app is still installed.", "Nothing.")
        return Ending("nothing", delivery.tries, words)

    async def _look_whether_gone(self, delivery: Delivery, row: ShopRow, spec: ShopSpec) -> None:
        """Each connection of the brand to this shop: they share the keys of its customers."""
        name = spec.required_external_ids[0]
        async with self._database.read([row.brand_id]) as tx:
            connected = await repository_shops.connected_to(
                tx, row.brand_id, platform=row.platform, name=name, address=row.external_ids[name]
            )
        for one in connected:
            await self._uninstalled(delivery, one)

    async def _close(self, row: ShopRow) -> None:
        problem = outcome.problem(
            "uninstalled",
            "The app was removed at the shop, or its key deleted.",
            "Connect the shop again. Its items stay as they are until then.",
        )
        async with self._database.write([row.brand_id]) as tx:
            await repository_shops.change(tx, row.key, state="uninstalled", problem=problem)
            await repository_queues.wake(tx, [row.key], work="tending", due_at=self._clock())

    async def _mark(self, delivery: Delivery, kind: str, ending: Ending) -> Ending | None:
        async with self._database.write([delivery.key[0]]) as tx:
            if not await repository_deliveries.hold(tx, delivery):
                return None
            await self._finish(tx, delivery, kind, ending)
        count(delivery, kind, ending, now=self._clock())
        return ending

    async def _finish(self, tx: WriteSession, delivery: Delivery, kind: str, ending: Ending) -> None:
        await repository_deliveries.finish(
            tx,
            delivery,
            state=ending.state,
            kind=kind,
            tries=ending.tries,
            now=self._clock(),
            due_at=ending.again_at,
            problem=ending.problem,
        )


def read(
    specs: Mapping[str, ShopSpec], packed: bytes, row: ShopRow, delivery: Delivery
) -> tuple[ShopSpec, News]:
    """Raises Unreadable."""
    spec = specs.get(row.platform)
    if spec is None:
        raise Unreadable(f"this release does not know the shop {row.platform!r}")
    arrival = unpack(packed)
    try:
        head = spec.read_head(arrival.headers, arrival.body)
        return spec, spec.read_news(
            head, arrival.body, currency=row.currency, received_at=delivery.received_at
        )
    except (HeadInvalid, BodyInvalid) as invalid:
        raise Unreadable(str(invalid)) from None


def count(delivery: Delivery, kind: str, ending: Ending, *, now: datetime) -> None:
    if ending.state == "pending":
        return
    metrics.DELIVERIES.labels(delivery.platform, kind, ending.state).inc()
    if ending.state == "applied":
        seconds = (now - delivery.received_at).total_seconds()
        metrics.DELIVERY_SECONDS.labels(delivery.platform).observe(max(0.0, seconds))


def not_yet(row: ShopRow | None, delivery: Delivery, now: datetime) -> Ending | None:
    """What stands against reading it now."""
    if row is None or (row.state == "new" and not row.currency and not row.deleted):
        words = outcome.problem(
            "shop_not_ready", "The shop has not told its currency yet.", "It is tried again by itself."
        )
        return outcome.unprepared(delivery.tries, words, now=now)
    if delivery.kind in PRIVACY:
        return None
    if row.deleted:
        words = outcome.problem(
            "connection_deleted", "The connection was deleted.", "Connect the shop again."
        )
        return Ending("nothing", delivery.tries, words)
    if row.state == "refused":
        return Ending("nothing", delivery.tries, dict(row.problem or {}))
    return None
