"""The worker's loop over addresses: fetches the next file and stages it, tries again what may go better, gives up the
rest with the reason."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from vitrin.catalog import attention, repository_fetches, repository_imports
from vitrin.catalog.errors import FetchRefused
from vitrin.catalog.import_loop import IMPORTS
from vitrin.catalog.repository_fetches import FetchLease
from vitrin.catalog.service_fetches import Fetch
from vitrin.catalog.service_import_run import LeaseLost, Stopped
from vitrin.catalog.settings import ImportSettings
from vitrin.catalog.work_loop import WorkLoop
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.errors import VitrinError
from vitrin.kit.logs import get_logger
from vitrin.kit.outbound import Outbound, OutboundFailure, OutboundPolicy, Timeouts

REST_MAX_S: Final = 3_600.0
_log = get_logger("vitrin.catalog.fetches")


class FetchLoop(WorkLoop):
    """`owner` is stable across restarts of this process. `staged` wakes the loops that apply."""

    def __init__(
        self,
        *,
        database: WorkerDatabase,
        outbound: Outbound,
        clock: Clock,
        settings: ImportSettings,
        owner: str,
        wake: asyncio.Event,
        staged: Sequence[asyncio.Event],
    ) -> None:
        super().__init__(name="fetch", log=_log, wake=wake, poll_s=settings.import_poll_s)
        self._database = database
        self._outbound = outbound
        self._clock = clock
        self._settings = settings
        self._owner = owner
        self._staged = staged
        self._lease_time = timedelta(seconds=settings.import_lease_s)

    async def work_once(self, stop: asyncio.Event) -> bool:
        """One attempt at one address; False when there is none to make."""
        async with self._database.write() as tx:
            lease = await repository_fetches.claim(
                tx,
                owner=self._owner,
                now=self._clock(),
                lease=self._lease_time,
                pause_s=self._settings.import_retry_pause_s,
            )
        if lease is None:
            return False
        if lease.attempts > self._settings.import_attempts_max:
            await self._give_up(lease, FetchRefused(f"its fetch was broken off {lease.attempts - 1} times"))
            return True
        _log.info("fetch_begins", import_id=str(lease.import_id), attempt=lease.attempts)
        fetch = Fetch(
            lease,
            database=self._database,
            outbound=self._outbound,
            clock=self._clock,
            stop=stop,
            lease_time=self._lease_time,
            bytes_max=self._settings.import_bytes_max,
            rate_min=self._settings.import_fetch_rate_min,
        )
        try:
            await fetch.run()
        except LeaseLost:
            _log.warning("fetch_taken_over", import_id=str(lease.import_id))
        except Stopped:
            await self._release(lease, {"attempts": 0})
            return False
        except VitrinError as error:
            await self._failed(lease, error)
        except (SQLAlchemyError, OSError):
            raise
        except Exception:
            _log.exception("fetch_broke", import_id=str(lease.import_id))
            return False
        else:
            _log.info("fetch_staged", import_id=str(lease.import_id))
            for event in self._staged:
                event.set()
        return True

    async def _failed(self, lease: FetchLease, error: VitrinError) -> None:
        again = error.again if isinstance(error, OutboundFailure | FetchRefused) else False
        _log.warning("fetch_failed", import_id=str(lease.import_id), code=error.code, again=again)
        if not again or lease.attempts >= self._settings.import_fetch_attempts_max:
            await self._give_up(lease, error)
        else:
            pause = rest(
                self._settings.import_fetch_pause_s,
                lease.attempts,
                error.retry_after_s if isinstance(error, FetchRefused) else None,
            )
            again_at = self._clock() + timedelta(seconds=pause)
            await self._release(lease, {"problem": _problem(error), "lease_until": again_at})

    async def _release(self, lease: FetchLease, values: dict[str, object]) -> None:
        now = self._clock()
        async with self._database.write([lease.brand]) as tx:
            await repository_fetches.hold(
                tx, lease, {"lease_owner": "", "lease_until": None, "updated_at": now, **values}
            )

    async def _give_up(self, lease: FetchLease, error: VitrinError) -> None:
        async with self._database.write([lease.brand]) as tx:
            if not await repository_fetches.hold(tx, lease, {"updated_at": self._clock()}):
                return
            await repository_imports.finish(
                tx,
                brand=lease.brand,
                import_id=lease.import_id,
                state="aborted",
                only_from=repository_fetches.FETCHING,
                problem=_problem(error),
                now=self._clock(),
            )
            row = await repository_imports.get(tx, brand=lease.brand, import_id=lease.import_id)
            await attention.import_ended(tx, row, problem=_problem(error), clock=self._clock)
        IMPORTS.labels("aborted").inc()


def rest(pause_s: float, attempts: int, asked_s: float | None) -> float:
    """Seconds until the next attempt: four times longer each, or as long as the server asked for; an hour at most."""
    return min(max(pause_s * 4.0 ** (attempts - 1), asked_s or 0.0), REST_MAX_S)


def _problem(error: VitrinError) -> dict[str, object]:
    return {"code": error.code, "message": error.detail, "fix": error.fix}


def fetcher(settings: ImportSettings, policy: OutboundPolicy) -> Outbound:
    """The guard with the limits of files."""
    limits = Timeouts(
        connect_s=settings.import_fetch_connect_s,
        read_s=settings.import_fetch_silence_s,
        total_s=settings.import_fetch_total_s,
    )
    return Outbound(policy, purpose="import", timeouts=limits)
