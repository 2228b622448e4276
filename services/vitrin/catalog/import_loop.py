"""The worker's loop over imports: takes the next one, runs it, and keeps the house clean."""

import asyncio
import time
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from vitrin.catalog import attention
from vitrin.catalog import repository_imports as repository
from vitrin.catalog.repository_imports import Lease
from vitrin.catalog.service_import_run import ImportRun, LeaseLost, Stopped
from vitrin.catalog.service_places import BrandSource, Places
from vitrin.catalog.settings import ImportSettings
from vitrin.catalog.work_loop import WorkLoop
from vitrin.kit import metrics
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.errors import VitrinError
from vitrin.kit.logs import get_logger

HOUSEKEEPING_S: Final = 60.0
OLD_IMPORTS_PER_ROUND: Final = 20

IMPORTS = metrics.counter(
    "vitrin_catalog_imports_total", "Imports that came to an end, by state.", ("state",)
)
SECONDS = metrics.histogram(
    "vitrin_catalog_import_seconds",
    "Time from the begin of an import's verification to its end, in seconds.",
    buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200),
)
_log = get_logger("vitrin.catalog.imports")


class ImportLoop(WorkLoop):
    """`owner` is stable across restarts of this process, so that it takes its own imports back at once. Several
    loops may run, each with its own owner."""

    def __init__(
        self,
        *,
        database: WorkerDatabase,
        places: Places,
        brands: BrandSource,
        clock: Clock,
        settings: ImportSettings,
        owner: str,
        wake: asyncio.Event,
    ) -> None:
        super().__init__(name="import", log=_log, wake=wake, poll_s=settings.import_poll_s)
        self._database = database
        self._places = places
        self._brands = brands
        self._clock = clock
        self._settings = settings
        self._owner = owner
        self._lease_time = timedelta(seconds=settings.import_lease_s)
        self._cleaned_at_s = float("-inf")

    async def work_once(self, stop: asyncio.Event) -> bool:
        """Take one import and run it; False when there is none."""
        async with self._database.write() as tx:
            lease = await repository.claim(
                tx,
                owner=self._owner,
                now=self._clock(),
                lease=self._lease_time,
                pause_s=self._settings.import_retry_pause_s,
            )
        if lease is None:
            return False
        if lease.attempts > self._settings.import_attempts_max:
            await self._fail(lease)
            return True
        _log.info("import_begins", import_id=str(lease.import_id), state=lease.state, attempt=lease.attempts)
        run = ImportRun(
            lease,
            database=self._database,
            places=self._places,
            brands=self._brands,
            clock=self._clock,
            stop=stop,
            lease_time=self._lease_time,
        )
        try:
            await run.run()
        except LeaseLost:
            _log.warning("import_taken_over", import_id=str(lease.import_id))
            return True
        except Stopped:
            await self._release(lease)
            return False
        except VitrinError as error:
            _log.warning("import_waits", import_id=str(lease.import_id), reason=error.detail)
            return False
        except (SQLAlchemyError, OSError):
            raise
        except Exception:
            _log.exception("import_broke", import_id=str(lease.import_id))
            return False
        await self._note(lease)
        return True

    async def _note(self, lease: Lease) -> None:
        async with self._database.read([lease.brand]) as tx:
            row = await repository.get(tx, brand=lease.brand, import_id=lease.import_id)
        if row is None:
            return
        seconds = (row.finished_at - lease.started_at).total_seconds()
        IMPORTS.labels(row.state).inc()
        SECONDS.observe(seconds)
        _log.info(
            "import_ended",
            import_id=str(lease.import_id),
            state=row.state,
            rows=row.rows_done,
            refused=row.refused,
            seconds=round(seconds, 3),
            rows_per_s=round(row.rows_done / seconds) if seconds > 0 else None,
        )

    async def _release(self, lease: Lease) -> None:
        """Asked to stop: whoever looks next may go on with it, and this was no failed attempt."""
        async with self._database.write([lease.brand]) as tx:
            if await repository.hold(tx, lease) is not None:
                await repository.advance(tx, lease, {"lease_until": self._clock(), "attempts": 0})

    async def _fail(self, lease: Lease) -> None:
        problem = {
            "code": "import_failed",
            "message": f"it broke {self._settings.import_attempts_max} times at the same place",
            "fix": "What was applied stays. Tell us the import's id, or send the file again.",
        }
        async with self._database.write([lease.brand]) as tx:
            await repository.finish(
                tx,
                brand=lease.brand,
                import_id=lease.import_id,
                state="failed",
                problem=problem,
                now=self._clock(),
            )
            row = await repository.get(tx, brand=lease.brand, import_id=lease.import_id)
            await attention.import_ended(tx, row, problem=problem, clock=self._clock)
        IMPORTS.labels("failed").inc()
        _log.error("import_failed", import_id=str(lease.import_id))

    async def prepare(self) -> None:
        """Uploads that fell silent are aborted; reports of old imports are removed."""
        now_s = time.monotonic()
        if now_s - self._cleaned_at_s < HOUSEKEEPING_S:
            return
        self._cleaned_at_s = now_s
        now = self._clock()
        problem = {
            "code": "upload_silent",
            "message": f"no byte arrived for {self._settings.import_upload_silence_s} s",
            "fix": "Send the file again. Nothing of it was applied.",
        }
        async with self._database.write() as tx:
            silent = await repository.abort_silent(
                tx,
                silent_since=now - timedelta(seconds=self._settings.import_upload_silence_s),
                problem=problem,
                now=now,
            )
        for brand, import_id in silent:
            IMPORTS.labels("aborted").inc()
            async with self._database.write([brand]) as tx:
                await repository.delete_chunks(tx, brand=brand, import_id=import_id)
        async with self._database.read() as reading:
            old = await repository.finished_before(
                reading,
                moment=now - timedelta(days=self._settings.import_rows_keep_days),
                limit=OLD_IMPORTS_PER_ROUND,
            )
        for brand, import_id in old:
            async with self._database.write([brand]) as tx:
                await repository.remove(tx, brand=brand, import_id=import_id)
