"""Applying one import: a pass that verifies the whole file, then a pass that applies it in transactions of 1,000 rows.

Progress is saved in the transaction of its rows, so that a worker that is killed is followed by one that goes on with
the next row: no row is applied twice or left out. Memory is bounded by one chunk and one batch of records.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final

from vitrin.catalog import attention
from vitrin.catalog import repository_imports as repository
from vitrin.catalog.changes import Change, Outcome, Verb
from vitrin.catalog.domain import FieldProblem, check_item_id
from vitrin.catalog.importing import OF_A_SHOP, FileRefused, ImportDefaults, ImportFile, ImportRecord
from vitrin.catalog.repository_imports import Lease, RowReport
from vitrin.catalog.schemas import problem_documents
from vitrin.catalog.service_places import BrandSource, Place, Places
from vitrin.catalog.service_uploads import AUTO
from vitrin.catalog.service_write import CHANGES_PER_TRANSACTION_MAX, write_changes
from vitrin.catalog.shop.files import meet
from vitrin.kit import metrics
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import WriteSession

VERIFY_RECORDS: Final = 2_000
CHUNK_WAIT_S: Final = 60.0
IMAGE: Final = "image"

ROWS = metrics.counter(
    "vitrin_catalog_import_rows_total",
    "Rows of imported files that were committed, by outcome.",
    ("outcome",),
)


class LeaseLost(Exception):
    """Another worker has this import now."""


class Stopped(Exception):
    """The process is asked to end; the import goes on elsewhere or later."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one record."""

    record: ImportRecord
    outcome: str
    problems: tuple[FieldProblem, ...]


class ImportRun:
    """One import under its lease."""

    def __init__(
        self,
        lease: Lease,
        *,
        database: WorkerDatabase,
        places: Places,
        brands: BrandSource,
        clock: Clock,
        stop: asyncio.Event,
        lease_time: timedelta,
    ) -> None:
        self._lease = lease
        self._database = database
        self._places = places
        self._brands = brands
        self._clock = clock
        self._stop = stop
        self._lease_time = lease_time
        self._default_currency: str | None = None
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """To its end state. Raises LeaseLost, Stopped, and database errors; after any of them it can be resumed."""
        async with self._database.write([self._lease.brand]) as tx:
            place = await self._places.of(tx, self._lease.brand)
            words = await self._brands(tx, self._lease.brand)
        defaults = ImportDefaults(currency=place.currency, storefront_url=words.storefront_url)
        try:
            if self._lease.state != "applying":
                await self._verify(defaults)
            await self._apply(defaults, place)
        except FileRefused as refused:
            await self._end("refused", _file_problem(refused))
            return
        await self._end("done", None)

    async def _end(self, state: str, problem: dict[str, object] | None) -> None:
        async with self._database.write([self._lease.brand]) as tx:
            row = await repository.hold(tx, self._lease)
            if row is None:
                raise LeaseLost
            await repository.finish(
                tx,
                brand=self._lease.brand,
                import_id=self._lease.import_id,
                state=state,
                problem=problem,
                now=self._clock(),
            )
            await attention.import_ended(tx, row, problem=problem, clock=self._clock)

    def _chunks(self) -> Iterator[bytes]:
        """Runs in the parser's thread; each chunk is fetched by the loop when the parser wants it."""
        seq = 0
        while True:
            data = asyncio.run_coroutine_threadsafe(self._chunk(seq), self._loop).result(CHUNK_WAIT_S)
            if data is None:
                return
            yield data
            seq += 1

    async def _chunk(self, seq: int) -> bytes | None:
        async with self._database.read([self._lease.brand]) as tx:
            return await repository.chunk(
                tx, brand=self._lease.brand, import_id=self._lease.import_id, seq=seq
            )

    def _open(self, defaults: ImportDefaults) -> ImportFile:
        """That all bytes arrived says nothing of a file that was cut off before it was sent: only a digest that its
        sender named proves its end, else its last row must end in a line break."""
        requested = self._lease.requested_format
        return ImportFile(
            self._chunks(),
            defaults=defaults,
            claimed_format=None if requested == AUTO else requested,
            announced_bytes=self._lease.bytes if self._lease.end_proven else None,
        )

    async def _verify(self, defaults: ImportDefaults) -> None:
        """Raises FileRefused. Nothing is applied before this has seen the end of the file."""
        file = await asyncio.to_thread(self._open, defaults)
        records, rows, renewed_at = iter(file), 0, time.monotonic()
        while True:
            count = await asyncio.to_thread(lambda: sum(1 for _ in islice(records, VERIFY_RECORDS)))
            rows += count
            self._raise_if_stopped()
            if count < VERIFY_RECORDS:
                break
            if time.monotonic() - renewed_at > self._lease_time.total_seconds() / 3:
                await self._renew({"rows_total": rows})
                renewed_at = time.monotonic()
        await self._renew({"state": "applying", "format": str(file.format), "rows_total": rows})

    async def _renew(self, values: dict[str, object]) -> None:
        async with self._database.write([self._lease.brand]) as tx:
            if await repository.hold(tx, self._lease) is None:
                raise LeaseLost
            now = self._clock()
            await repository.advance(
                tx, self._lease, {**values, "updated_at": now, "lease_until": now + self._lease_time}
            )

    def _raise_if_stopped(self) -> None:
        if self._stop.is_set():
            raise Stopped

    async def _apply(self, defaults: ImportDefaults, place: Place) -> None:
        file = await asyncio.to_thread(self._open, defaults)
        records = iter(file)
        # A shop's export names no currency, it is the shop's; a common feed has to name it in each price.
        self._default_currency = place.currency if file.format in OF_A_SHOP else None
        async with self._database.read() as tx:
            row = await repository.get(tx, brand=self._lease.brand, import_id=self._lease.import_id)
        done = 0 if row is None else int(row.records_done)
        await asyncio.to_thread(lambda: sum(1 for _ in islice(records, done)))
        while True:
            self._raise_if_stopped()
            batch = await asyncio.to_thread(lambda: list(islice(records, CHANGES_PER_TRANSACTION_MAX)))
            if not batch:
                return
            await self._apply_batch(batch, done, place)
            done += len(batch)

    async def _apply_batch(self, batch: Sequence[ImportRecord], done: int, place: Place) -> None:
        async with self._database.write([self._lease.brand]) as tx:
            row = await repository.hold(tx, self._lease)
            if row is None or row.records_done != done:
                raise LeaseLost
            outcomes = await self._write(tx, batch, place)
            await repository.add_rows(tx, self._lease, [_report(one) for one in outcomes])
            counts = Counter(one.outcome for one in outcomes)
            now = self._clock()
            await repository.advance(
                tx,
                self._lease,
                {
                    "records_done": done + len(batch),
                    "rows_done": row.rows_done + len(batch),
                    "created": row.created + counts[Outcome.CREATED],
                    "updated": row.updated + counts[Outcome.UPDATED],
                    "unchanged": row.unchanged + counts[Outcome.UNCHANGED],
                    "refused": row.refused + counts[Outcome.REFUSED],
                    "images": row.images + counts[IMAGE],
                    "attempts": 0,
                    "updated_at": now,
                    "lease_until": now + self._lease_time,
                },
            )
        for outcome, count in counts.items():
            ROWS.labels(str(outcome)).inc(count)

    async def _write(self, tx: WriteSession, batch: Sequence[ImportRecord], place: Place) -> list[_Outcome]:
        """One outcome per record, in order. Of rows with the same id only the first of the file counts."""
        batch = await meet(tx, place.brand, batch)
        ids = {record.item_id for record in batch if record.item_id}
        first_rows = await repository.seen(tx, self._lease, ids) if ids else {}
        outcomes: list[_Outcome | None] = []
        changes: list[Change] = []
        for record in batch:
            refused = _refused(record, first_rows)
            outcomes.append(refused)
            if refused is None:
                assert record.item_id is not None
                values = {"id": record.item_id, **record.values}
                changes.append(
                    Change(Verb.UPSERT, record.item_id, values, self._lease.created_at, record.refs)
                )
        decisions = iter(
            await write_changes(
                tx,
                changes,
                place=place,
                actor=self._lease.actor,
                received_at=self._clock(),
                default_currency=self._default_currency,
            )
            if changes
            else ()
        )
        result = []
        for record, outcome in zip(batch, outcomes, strict=True):
            if outcome is None:
                decision = next(decisions)
                outcome = _Outcome(record, decision.outcome, decision.problems)  # noqa: PLW2901
            result.append(outcome)
        return result


def _refused(record: ImportRecord, first_rows: dict[str, int]) -> _Outcome | None:
    """None: the record goes to the write path. Notes the first row of each id."""
    if record.kind == IMAGE:
        return _Outcome(record, Outcome.REFUSED if record.problems else IMAGE, record.problems)
    problems = record.problems
    first = None
    if record.item_id:
        first = first_rows.setdefault(record.item_id, record.row_first)
    if not problems:
        wrong = check_item_id(record.item_id)
        problems = () if wrong is None else (wrong,)
    if not problems and first is not None and first != record.row_first:
        problems = (_duplicate(record.item_id, first),)
    return _Outcome(record, Outcome.REFUSED, problems) if problems else None


def _duplicate(item_id: str | None, first: int) -> FieldProblem:
    return FieldProblem(
        "id",
        "duplicate_id",
        f"row {first} already has the id {item_id}",
        "Give every item its own id; only the first one was taken.",
    )


def _report(one: _Outcome) -> RowReport:
    item_id = (one.record.item_id or "")[:200].replace("\x00", "")
    return RowReport(one.record.row_first, item_id, str(one.outcome), problem_documents(one.problems))


def _file_problem(refused: FileRefused) -> dict[str, object]:
    return {
        "code": refused.code,
        "message": refused.message,
        "fix": refused.fix,
        "line": refused.line,
        "byte": refused.byte,
    }
