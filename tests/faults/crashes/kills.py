"""Killers: each ends one process again and again at random moments, and knows what was in flight when it did.

A process is stopped (SIGSTOP) while the databases are asked what it has begun and not finished; then it is
killed, or it goes on and the next moment is tried. What is counted as in flight is so at the kill, not a moment before.
PostgreSQL is asked while it runs. Some are killed again while they start or catch up (`early`): what was in flight then
may have been left by the process before, so that it does not count.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from time import monotonic

import psutil
import psycopg

from tests.e2e.system import SERVICES, Document, System
from tests.faults.crashes.load import Writer

BACK_S = 120.0
POLL_S = 0.02
TRIES_MAX = 60
EARLY_S = (0.2, 4.0)
BUSY_SHARE = 0.85
"""So many of the kills wait for a moment with work in flight; the others take the moment that comes."""
Flight = Counter[str]

_UNSENT = "select count(*) from outbox where sent_at is null"
_IMPORTS = "select count(*) from imports where state in ('verifying', 'applying')"
_CALLS = "select count(*) from attempts where stage = 'sending'"
_HANDLES = "select count(*) from attempts where stage in ('polling', 'unknown')"
_OPEN = (
    "select count(*) from pg_stat_activity where xact_start is not null and pid <> pg_backend_pid()"
    " and backend_type = 'client backend'"
)
_ENDS = "select topic, topic_id, partition, next_offset from outbox_ends"
_OFFSETS = "select topic, topic_id, partition, next_offset from consumer_offsets"


class Eyes:
    """Looks into the databases, as their superuser; who asks while PostgreSQL is down sees nothing."""

    def __init__(self, database_url: str, writers: Sequence[Writer]) -> None:
        self._url = database_url
        self._writers = writers
        self._open: dict[str, psycopg.Connection] = {}

    def flight(self, target: str) -> Flight:
        """What the process has begun and not finished: kind -> how much. Raises OperationalError."""
        found: Flight = Counter()
        if target == "postgres":
            found["transactions"] = self._count("postgres", _OPEN)
            return +found
        owners = SERVICES if target == "broker" else (target,)
        for service in owners:
            found["unsent"] += self._count(f"vitrin_{service}", _UNSENT)
        if target == "broker":
            found["unread"] = self._unread()
        if target == "catalog":
            found["imports"] = self._count("vitrin_catalog", _IMPORTS)
        if target == "shop_sync":
            found["calls"] = self._count("vitrin_shop_sync", _CALLS)
            found["handles"] = self._count("vitrin_shop_sync", _HANDLES)
            found["unread"] = self._unread()
        if target in ("catalog", "accounts"):
            found["requests"] = sum(
                one.open for one in self._writers if (one.name == "accounts") == (target == "accounts")
            )
        return +found

    def _unread(self) -> int:
        """Records of the catalog that shop_sync has not handled."""
        read = {row[:3]: row[3] for row in self._rows("vitrin_shop_sync", _OFFSETS)}
        return sum(max(0, row[3] - read.get(row[:3], 0)) for row in self._rows("vitrin_catalog", _ENDS))

    def _count(self, database: str, query: str) -> int:
        return int(self._rows(database, query)[0][0])

    def _rows(self, database: str, query: str) -> list[tuple]:
        connection = self._open.get(database)
        if connection is None or connection.closed:
            url = self._url.replace("/postgres?", f"/{database}?", 1)
            connection = psycopg.connect(url, autocommit=True, connect_timeout=2)
            self._open[database] = connection
        try:
            return connection.execute(query).fetchall()
        except psycopg.Error:
            connection.close()
            raise

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()


@dataclass
class Kill:
    """`flight` None: PostgreSQL was down, or nobody looked. `back_s` None: killed again before it was ready."""

    target: str
    at_s: float
    flight: Flight | None
    early: bool = False
    back_s: float | None = None

    @property
    def hit(self) -> bool:
        return bool(self.flight)


@dataclass
class Killer:
    """A thread with one target. `quiet_s`: the pause between its being ready again and the next attack; `early_share`
    of the kills do not wait for that."""

    target: str
    times: int
    quiet_s: tuple[float, float]
    system: System
    eyes: Eyes
    random: Random
    began: float
    stop: threading.Event
    early_share: float = 0.0
    kills: list[Kill] = field(default_factory=list)
    failure: BaseException | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"kill-{self.target}", daemon=True)
        self._thread.start()

    def join(self, within_s: float) -> None:
        assert self._thread is not None
        self._thread.join(max(0.0, within_s))
        assert not self._thread.is_alive(), f"{self.target}: {len(self.kills)} of {self.times} kills in time"
        self.eyes.close()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        restarts = -1
        try:
            for number in range(self.times):
                if number and self.random.random() < self.early_share:
                    restarts = self._strike_early(restarts)
                    continue
                self._until_back(restarts)
                if self.stop.wait(self.random.uniform(*self.quiet_s)):
                    return
                restarts = self._strike()
            self._until_back(restarts)
        except BaseException as failure:
            self.failure = failure

    def _until_back(self, restarts: int) -> None:
        self._until(lambda now: now["restarts"] > restarts and now["state"] == "ready" and now["pid"])
        if self.kills:
            self.kills[-1].back_s = monotonic() - self.began - self.kills[-1].at_s

    def _strike(self) -> int:
        """Answers how often it had been restarted before."""
        wants_busy = self.random.random() < BUSY_SHARE
        for left in reversed(range(TRIES_MAX)):
            part = self._until(lambda part: part["state"] == "ready" and part["pid"])
            flight = self._stopped_look(part["pid"])
            if flight or not wants_busy or left == 0:
                break
            self._go_on(part["pid"])
            threading.Event().wait(self.random.uniform(0.0, 0.05))
        self._kill(part["pid"], flight)
        return int(part["restarts"])

    def _strike_early(self, restarts: int) -> int:
        """As soon as there is a process again, and a random moment more."""
        part = self._until(lambda now: now["restarts"] > restarts and (now["pid"] or self._starting()))
        threading.Event().wait(self.random.uniform(*EARLY_S))
        part = self.system.part(self.target)
        pid = part["pid"] or self._starting()
        if pid is not None:
            self._kill(pid, None, early=True)
        return int(part["restarts"])

    def _kill(self, pid: int, flight: Flight | None, *, early: bool = False) -> None:
        at_s = monotonic() - self.began
        os.kill(pid, signal.SIGKILL)
        self.kills.append(Kill(self.target, at_s, flight, early))

    def _starting(self) -> int | None:
        """The process of a service that is not ready yet, which the status does not name."""
        for child in psutil.Process(self.system.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                command = child.cmdline()
                if "vitrin.cli.serving" in command and self.target in command:
                    return int(child.pid)
        return None

    def _stopped_look(self, pid: int) -> Flight | None:
        """PostgreSQL cannot be asked while it is stopped."""
        if self.target != "postgres":
            os.kill(pid, signal.SIGSTOP)
        try:
            return self.eyes.flight(self.target)
        except psycopg.Error:
            return None

    def _go_on(self, pid: int) -> None:
        if self.target != "postgres":
            os.kill(pid, signal.SIGCONT)

    def _until(self, good: Callable[[Document], object]) -> Document:
        end = monotonic() + BACK_S
        while not good(part := self.system.part(self.target)):
            assert monotonic() < end, f"{self.target} does not come back: {part}\n{self.system.log()[-3000:]}"
            threading.Event().wait(POLL_S)
        return part
