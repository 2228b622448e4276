"""From the spool into the table: verify what was taken on trust, keep each delivery once, tell the appliers.

The spool's position is committed after the transaction: what a crash in between repeats, the table knows already. While
PostgreSQL is away nothing moves and nothing is lost; what was taken unverified waits for the secrets."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from vitrin.catalog.shop import metrics, repository_deliveries, repository_queues
from vitrin.catalog.shop.binding import app_shop, is_about
from vitrin.catalog.shop.packing import Arrival, ShopKey, open_from_spool, pack
from vitrin.catalog.shop.repository_deliveries import NewDelivery
from vitrin.catalog.shop.secret_book import BookUnavailable, SecretBook
from vitrin.catalog.shop.unverified import Unverified
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import CannotOpen, KeyUnknown, TokenCipher
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.logs import get_logger
from vitrin.kit.spool import Batch, PositionGone, PositionUnknown, Record, Spool
from vitrin.platforms.shop import BodyInvalid, HeadInvalid, NewsKind, ShopSpec

CONSUMER: Final = "table"
RECORDS_MAX: Final = 200
BYTES_MAX: Final = 8 * 1024 * 1024
RETRY_S: Final = 0.5
RETRY_MAX_S: Final = 5.0
LAG_EVERY_S: Final = 1.0
ANY_CURRENCY: Final = "USD"
"""Reading for the subject alone: what a price means is asked when it is applied."""
AWAY: Final = (DBAPIError, PoolTimeout, OSError)
_log = get_logger("vitrin.catalog.mover")


class Mover:
    """One per spool. `moved` is called after each commit that brought something."""

    def __init__(
        self,
        *,
        spool: Spool,
        database: WorkerDatabase,
        specs: Mapping[str, ShopSpec],
        book: SecretBook,
        cipher: TokenCipher,
        unverified: Unverified,
        clock: Clock,
        moved: Callable[[], None],
    ) -> None:
        self._spool = spool
        self._reader = spool.reader(CONSUMER)
        self._database = database
        self._specs = specs
        self._book = book
        self._cipher = cipher
        self._unverified = unverified
        self._clock = clock
        self._moved = moved
        self._in_hand: Batch | None = None

    async def run(self, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        measuring = asyncio.create_task(self._measure())
        working = asyncio.create_task(self._work())
        try:
            await asyncio.wait({stopping, working, measuring}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stopping, measuring, working):
                task.cancel()
            results = await asyncio.gather(stopping, measuring, working, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _measure(self) -> None:
        while True:
            batch = self._in_hand
            lag_s = 0.0
            if batch is not None and batch.records:
                lag_s = max(0.0, self._clock().timestamp() - batch.records[0].at_ms / 1000)
            metrics.MOVER_LAG_SECONDS.set(lag_s)
            await asyncio.sleep(LAG_EVERY_S)

    async def _work(self) -> None:
        while True:
            try:
                batch = await self._reader.read(records_max=RECORDS_MAX, bytes_max=BYTES_MAX)
            except PositionGone as gone:
                _log.error("spool_position_gone", position=gone.position, earliest=gone.earliest)
                self._reader.seek(gone.earliest)
                continue
            except PositionUnknown:
                _log.error("spool_position_unknown", end=self._spool.end)
                self._reader.seek(0)
                continue
            except OSError as error:
                _log.error("spool_unreadable", reason=str(error))
                await asyncio.sleep(RETRY_MAX_S)
                continue
            self._in_hand = batch
            await self.move(batch)
            with suppress(OSError):  # told and tried again by the spool; what comes again the table knows
                await self._reader.commit(batch.end)
            self._in_hand = None

    async def move(self, batch: Batch) -> None:
        """Returns when all of it is in the table, or counted as nobody's."""
        news: list[NewDelivery] = []
        for record in batch.records:
            arrival = await self._opened(record)
            if arrival is None:
                continue
            news += await self._deliveries(arrival)
        if news:
            await self._steadily(lambda: self._save(news))
            self._moved()

    async def _steadily(self, step: Callable[[], Awaitable[None]]) -> None:
        """A database that is away ends nothing: the step is tried until it is done."""
        pause_s = RETRY_S
        while True:
            try:
                await step()
            except AWAY as error:
                _log.warning("mover_waits", reason=str(error).splitlines()[0])
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)
            else:
                return

    async def _opened(self, record: Record) -> Arrival | None:
        told = False
        while True:
            try:
                return open_from_spool(self._cipher, record.payload)
            except KeyUnknown as error:  # with the right ring it can be opened: dropping it would lose it
                if not told:
                    _log.error("spool_key_missing", reason=str(error), setting="CATALOG_SPOOL_KEYS")
                    told = True
                await asyncio.sleep(RETRY_MAX_S)
            except CannotOpen as error:
                _log.error("spool_record_unreadable", position=record.position, reason=str(error))
                metrics.MOVED.labels("unreadable").inc()
                return None

    async def _deliveries(self, arrival: Arrival) -> list[NewDelivery]:
        spec = self._specs.get(arrival.platform)
        if spec is None:
            metrics.MOVED.labels("unknown").inc()
            return []
        keys: Sequence[ShopKey] = arrival.signed_for
        if not keys:
            try:
                keys = await self._verify(arrival, spec)
            finally:
                self._unverified.release(len(arrival.body))
        return [one for one in (_delivery(arrival, spec, key) for key in keys) if one is not None]

    async def _verify(self, arrival: Arrival, spec: ShopSpec) -> list[ShopKey]:
        """Once the secrets are known."""
        await self._book.complete.wait()
        try:
            head = spec.read_head(arrival.headers, arrival.body)
        except HeadInvalid:
            metrics.MOVED.labels("forged").inc()
            return []
        if arrival.connection is None:
            candidates = self._book.named(spec.name, app_shop(spec, head=head, body=arrival.body))
        else:
            known = self._book.get(arrival.connection)
            if known is None:
                with suppress(BookUnavailable):
                    known = await self._book.ask(arrival.connection)
            candidates = [known] if known is not None and known.platform == spec.name else []
        if not candidates:
            metrics.MOVED.labels("unknown").inc()
            return []
        signing = [one for one in candidates if spec.signed(arrival.headers, arrival.body, one.secrets)]
        if not signing:
            metrics.MOVED.labels("forged").inc()
            return []
        meant = [one for one in signing if is_about(spec, one.names, head=head, body=arrival.body)]
        if not meant:
            metrics.MOVED.labels("another_shop").inc()
        return [(one.brand, one.connection) for one in meant]

    async def _save(self, news: Sequence[NewDelivery]) -> None:
        now = self._clock()
        brands = sorted({one.key[0] for one in news})
        async with self._database.write(brands) as tx:
            added = await repository_deliveries.add(tx, news, cipher=self._cipher, now=now)
            keys = {key for key, _ in added}
            if keys:
                await repository_queues.wake(tx, list(keys), work="deliveries", due_at=now)
        metrics.MOVED.labels("moved").inc(len(added))
        metrics.MOVED.labels("repeated").inc(len(news) - len(added))


def _delivery(arrival: Arrival, spec: ShopSpec, key: ShopKey) -> NewDelivery | None:
    try:
        head = spec.read_head(arrival.headers, arrival.body)
    except HeadInvalid:  # the door read it: another release did
        metrics.MOVED.labels("unreadable").inc()
        return None
    kind, subject = _subject(arrival, spec, head.delivery_id)
    return NewDelivery(
        key=key,
        delivery_id=head.delivery_id,
        platform=spec.name,
        topic=head.topic,
        kind=kind,
        subject=subject,
        received_at=arrival.received_at,
        packed=pack(arrival),
        body_bytes=len(arrival.body),
    )


def _subject(arrival: Arrival, spec: ShopSpec, delivery_id: str) -> tuple[str, str]:
    """A body that cannot be read is in nobody's way: it is its own subject, and told when it is applied."""
    head = spec.read_head(arrival.headers, arrival.body)
    try:
        news = spec.read_news(head, arrival.body, currency=ANY_CURRENCY, received_at=arrival.received_at)
    except BodyInvalid:
        return NewsKind.NOTHING.value, f"delivery:{delivery_id}"
    return news.kind.value, news.subject.replace("\x00", "") or f"delivery:{delivery_id}"
