"""A durable log on the local disk, for doors that must acknowledge while PostgreSQL or Kafka is down.

    spool = Spool(LocalFiles(folder), name="webhooks", consumers=["inbox"], clock=system_clock)
    async with spool:
        await spool.append(payload)                # durable when it returns
        reader = spool.reader("inbox")
        batch = await reader.read()                # waits for records
        ...                                        # handle them; each may come again after a crash
        await reader.commit(batch.end)             # and from here on it goes on after a restart

Appends that wait for the same sync share it. A refusal is an error of `errors.py` with status 503 or 413; nothing is
dropped to make room. Personal data is sealed before it comes here. One process has a spool.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, TypeVar

from vitrin.kit.clock import Clock
from vitrin.kit.logs import get_logger
from vitrin.kit.metrics import counter, gauge, histogram
from vitrin.kit.spool.errors import RecordTooLarge, SpoolFailing, SpoolFull
from vitrin.kit.spool.files import SpoolFiles
from vitrin.kit.spool.layout import RECORD_HEAD_BYTES
from vitrin.kit.spool.log import Batch, Recovery, SegmentLog, SpoolLimits

T = TypeVar("T")
TIDY_S: Final = 5.0
FULL_RETRY_AFTER_S: Final = 30
FAILING_RETRY_AFTER_S: Final = 5
RECORDS_MAX: Final = 500
BYTES_MAX: Final = 1024 * 1024
_log = get_logger("vitrin.spool")

_APPENDS = counter(
    "vitrin_spool_appends_total",
    "Records offered to a spool by what became of them: durable, full, failing, late (no sync in time), too_large.",
    ("spool", "outcome"),
)
_APPEND_SECONDS = histogram(
    "vitrin_spool_append_seconds", "Time from offering a record to its being durable.", ("spool",)
)
_SYNCS = counter("vitrin_spool_syncs_total", "Batches that were made durable, each by one sync.", ("spool",))
_BYTES = gauge("vitrin_spool_bytes", "Bytes of a spool's segments on the disk.", ("spool",))
_BYTES_MAX = gauge("vitrin_spool_bytes_max", "Bytes from which on a spool refuses.", ("spool",))
_LAG_BYTES = gauge(
    "vitrin_spool_lag_bytes", "Bytes that a consumer of a spool has not passed yet.", ("spool", "consumer")
)
_UNSAVED_BYTES = gauge(
    "vitrin_spool_unsaved_bytes",
    "Bytes that a consumer has passed while the disk did not take its position: after a restart they come again.",
    ("spool", "consumer"),
)
_CUT_BYTES = counter(
    "vitrin_spool_cut_bytes_total",
    "Bytes behind the last whole record that were cut off after a crash; nobody had been told that they were taken.",
    ("spool",),
)
_DAMAGED_BYTES = counter(
    "vitrin_spool_damaged_bytes_total",
    "Bytes that a reader had to step over because the disk changed them.",
    ("spool",),
)


@dataclass(slots=True)
class _Pending:
    at_ms: int
    payload: bytes
    bytes: int
    durable: asyncio.Future[int]


class Spool:
    """`consumers` are all whose positions hold segments back; one that is named for the first time begins with the
    earliest record that is there."""

    def __init__(
        self,
        files: SpoolFiles,
        *,
        name: str,
        consumers: Sequence[str],
        clock: Clock,
        limits: SpoolLimits | None = None,
        tidy_s: float = TIDY_S,
    ) -> None:
        self.name = name
        self.recovery = Recovery()
        self._limits = limits or SpoolLimits()
        self._clock = clock
        self._tidy_s = tidy_s
        self._log = SegmentLog(files, consumers=consumers, limits=self._limits, now_ms=self._now_ms)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"spool-{name}-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix=f"spool-{name}-reader")
        self._pending: deque[_Pending] = deque()
        self._pending_bytes = 0
        self._offered = asyncio.Event()
        self._grown = asyncio.Event()
        self._closing = False
        self._durable = _APPENDS.labels(name, "durable")
        self._seconds = _APPEND_SECONDS.labels(name)
        self._tasks: list[asyncio.Task[None]] = []

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)

    async def __aenter__(self) -> "Spool":
        """Recovers. Raises SpoolInUse, OSError."""
        try:
            self.recovery = await self._on(self._writer, self._log.open)
        except BaseException:
            self._stop_threads()
            raise
        _CUT_BYTES.labels(self.name).inc(self.recovery.cut_bytes)
        _DAMAGED_BYTES.labels(self.name).inc(0)
        _BYTES_MAX.labels(self.name).set(self._limits.total_bytes_max)
        self._measure()
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._tidy())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What was offered is made durable first."""
        writing, tidying = self._tasks
        self._closing = True
        self._offered.set()
        await writing
        tidying.cancel()
        with suppress(asyncio.CancelledError):
            await tidying
        await self._on(self._writer, self._log.close)
        self._stop_threads()

    def _stop_threads(self) -> None:
        self._writer.shutdown(wait=False)
        self._reader.shutdown(wait=False)

    @property
    def end(self) -> int:
        """The position behind the last durable record."""
        return self._log.end

    async def append(self, payload: bytes) -> int:
        """The position behind the record; it is durable. After a SpoolFailing it may be there all the same: whoever
        sends it again sends it twice, and it is told apart by its own id.

        Raises RecordTooLarge, SpoolFull, SpoolFailing.
        """
        started = asyncio.get_running_loop().time()
        pending = self._offer(payload)
        try:
            async with asyncio.timeout(self._limits.append_s):
                end = await pending.durable
        except TimeoutError:
            raise self._refused(
                "late", SpoolFailing("the disk did not answer in time", retry_after_s=FAILING_RETRY_AFTER_S)
            ) from None
        except SpoolFailing as failing:
            raise self._refused("failing", failing) from None
        self._durable.inc()
        self._seconds.observe(asyncio.get_running_loop().time() - started)
        return end

    def _offer(self, payload: bytes) -> _Pending:
        size = len(payload) + RECORD_HEAD_BYTES
        if not 0 < len(payload) <= self._limits.record_bytes_max:
            raise self._refused(
                "too_large",
                RecordTooLarge(
                    f"the record has {len(payload)} bytes; a spool takes 1 to {self._limits.record_bytes_max}"
                ),
            )
        if self._closing:
            raise self._refused("failing", SpoolFailing("the process is ending"))
        if self._log.total_bytes + self._pending_bytes + size > self._limits.total_bytes_max:
            raise self._refused(
                "full",
                SpoolFull(
                    f"the spool '{self.name}' has its {self._limits.total_bytes_max} bytes",
                    retry_after_s=FULL_RETRY_AFTER_S,
                ),
            )
        if self._pending_bytes + size > self._limits.pending_bytes_max:
            raise self._refused(
                "full", SpoolFull("the disk does not keep up", retry_after_s=FAILING_RETRY_AFTER_S)
            )
        pending = _Pending(self._now_ms(), payload, size, asyncio.get_running_loop().create_future())
        self._pending.append(pending)
        self._pending_bytes += size
        self._offered.set()
        return pending

    def _refused(self, outcome: str, error: T) -> T:
        _APPENDS.labels(self.name, outcome).inc()
        return error

    async def _write(self) -> None:
        while self._pending or not self._closing:
            if not self._pending:
                self._offered.clear()
                await self._offered.wait()
                continue
            batch = self._next_batch()
            if not batch:
                continue
            try:
                offered = [(one.at_ms, one.payload) for one in batch]
                ends = await self._on(self._writer, partial(self._log.append, offered))
            except SpoolFailing as failing:
                self._settle(batch, failing.detail)
            except Exception:
                _log.exception("spool_broke", spool=self.name)
                self._settle(batch, "what was sent could not be made durable")
            else:
                for one, end in zip(batch, ends, strict=True):
                    if not one.durable.done():
                        one.durable.set_result(end)
                _SYNCS.labels(self.name).inc()
                grown, self._grown = self._grown, asyncio.Event()
                grown.set()
            finally:
                self._pending_bytes -= sum(one.bytes for one in batch)
            self._measure()

    def _next_batch(self) -> list[_Pending]:
        """Those whose caller has gone before their turn are left out."""
        batch, size = [], 0
        while self._pending and size + self._pending[0].bytes <= self._limits.batch_bytes_max:
            one = self._pending.popleft()
            if one.durable.done():
                self._pending_bytes -= one.bytes
                continue
            batch.append(one)
            size += one.bytes
        return batch

    @staticmethod
    def _settle(batch: Sequence[_Pending], reason: str) -> None:
        for one in batch:
            if not one.durable.done():
                one.durable.set_exception(SpoolFailing(reason, retry_after_s=FAILING_RETRY_AFTER_S))

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(self._tidy_s)
            await self.tidy()

    async def tidy(self) -> int:
        """Removes what is covered and old enough, also without being asked every few seconds. Returns bytes freed."""
        try:
            freed = await self._on(self._writer, self._log.tidy)
        except OSError as error:
            _log.error("spool_tidy_failed", spool=self.name, reason=str(error))
            return 0
        self._measure()
        return freed

    def _measure(self) -> None:
        _BYTES.labels(self.name).set(self._log.total_bytes)
        for consumer, position in self._log.passed.items():
            _LAG_BYTES.labels(self.name, consumer).set(max(0, self._log.end_of_records - position))
            unsaved = max(0, position - self._log.positions[consumer])
            _UNSAVED_BYTES.labels(self.name, consumer).set(unsaved)

    async def _on(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    def reader(self, consumer: str) -> "SpoolReader":
        """From the position that the consumer committed last. Raises KeyError for one that was not named at opening."""
        return SpoolReader(self, consumer, self._log.passed[consumer])

    async def _read(self, position: int, *, records_max: int, bytes_max: int) -> Batch:
        batch = await self._on(
            self._reader, lambda: self._log.read(position, records_max=records_max, bytes_max=bytes_max)
        )
        _DAMAGED_BYTES.labels(self.name).inc(batch.skipped_bytes)
        return batch

    async def _commit(self, consumer: str, position: int) -> None:
        try:
            await self._on(self._writer, lambda: self._log.commit(consumer, position))
        except OSError as error:
            _log.error("spool_position_not_kept", spool=self.name, consumer=consumer, reason=str(error))
            raise
        finally:
            self._measure()


class SpoolReader:
    """One consumer's way through a spool; not for several tasks at once."""

    def __init__(self, spool: Spool, consumer: str, position: int) -> None:
        self.position = position
        """Where the next read begins."""
        self._spool = spool
        self._consumer = consumer

    async def read(
        self, *, records_max: int = RECORDS_MAX, bytes_max: int = BYTES_MAX, wait: bool = True
    ) -> Batch:
        """The next records, at least one; without `wait` perhaps none.

        Raises PositionGone, PositionUnknown, OSError."""
        while True:
            grown = self._spool._grown
            batch = await self._spool._read(self.position, records_max=records_max, bytes_max=bytes_max)
            self.position = batch.end
            if batch.records or not wait:
                return batch
            await grown.wait()

    def seek(self, position: int) -> None:
        """Go on from a position that the consumer keeps elsewhere, for example in the transaction of its work."""
        self.position = position

    async def commit(self, position: int) -> None:
        """Durable when it returns: what stands before it may be removed, and does not come again.

        Raises PositionUnknown, OSError. After an OSError it may be removed too, and comes again after a restart only:
        go on; the position is tried again every few seconds, and with the next one."""
        await self._spool._commit(self._consumer, position)
