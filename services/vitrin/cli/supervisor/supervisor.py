"""The life of `vitrin up`: start in order, watch, restart what dies, stop in reverse order.

Idle it sleeps: the kernel says when a child ends (SIGCHLD), and one tick every few seconds bounds the logs and
the broker's memory.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Any

import httpx

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.settings import demo_brand, write_private_json
from vitrin.cli.supervisor.draining import Answer, drain
from vitrin.cli.supervisor.parts import SERVICES
from vitrin.cli.supervisor.preparation import Preparation
from vitrin.cli.supervisor.readiness import Look
from vitrin.cli.supervisor.state import VarLock, stop_left_over
from vitrin.cli.supervisor.unit import State, Unit
from vitrin.kit.embedded.errors import EmbeddedFailure
from vitrin.kit.embedded.ports import port_is_free
from vitrin.kit.embedded.process import bound_log
from vitrin.kit.kafka.declared import load_topics

TICK_S = 10.0
DATA_PARTS = ("postgres", "broker")
PROBE_TIMEOUT_S = 2.0
SPINE = "/v1/ops/spine"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Say = Callable[[str], None]


class Supervisor:
    """Owns the processes. `say` gets one line per thing that a person should know."""

    def __init__(self, preparation: Preparation, *, clock: Callable[[], datetime], say: Say) -> None:
        self.settings = preparation.settings
        self.preparation = preparation
        self.stopping = asyncio.Event()
        self._clock = clock
        self._tell = say
        self._lock = VarLock(preparation.settings.var)
        self._http: httpx.AsyncClient | None = None
        self._watchers: list[asyncio.Task[None]] = []
        self._runs = False
        self._began_at = clock()
        self._ended_at: datetime | None = None
        self._refusals: dict[str, str] = {}

    @property
    def units(self) -> Sequence[Unit]:
        return self.preparation.units

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything is ready inside, and stopped after, however the block ends."""
        self._lock.take()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._on_child)
        try:
            async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as self._http:
                self._clear_the_place()
                try:
                    await self._start_all()
                    self._runs = True
                    yield
                finally:
                    await self._stop_all()
        finally:
            loop.remove_signal_handler(signal.SIGCHLD)
            self._lock.release()

    def _clear_the_place(self) -> None:
        """Stop what a killed supervisor left, then name every port that something else holds."""
        for name in stop_left_over(self.settings.var.state):
            self._say(f"[yellow]stopped {name}, left over from an earlier run that was killed[/yellow]")
        taken = [port for port in self.settings.ports if not port_is_free(port.number)]
        if taken:
            names = ", ".join(f"{port.number} ({port.setting})" for port in taken)
            raise CliFailure(
                f"in use by another program: port {names}",
                fix="stop that program, or set the named variable to another port",
                code="port_in_use",
            )

    async def _start_all(self) -> None:
        """Data first, then schema and topics beside the sandbox, which needs neither, then all services at once."""
        self.preparation.make_units()
        data = [unit for unit in self.units if unit.name in DATA_PARTS]
        free = [unit for unit in self.units if unit.name not in SERVICES and unit not in data]
        await self._together([self._start(unit) for unit in data])
        prepared = self._timed("schema and topics", self.preparation.prepare)
        await self._together([prepared, *(self._start(unit) for unit in free)])
        await self._together([self._start(unit) for unit in self.units if unit.name in SERVICES])
        self._watchers = [
            asyncio.create_task(self._keep(unit), name=f"the watcher of {unit.name}") for unit in self.units
        ]
        self._watchers.append(asyncio.create_task(self._tick(), name="the tick"))
        for watcher in self._watchers:
            watcher.add_done_callback(self._watched)

    def _watched(self, watcher: asyncio.Task[None]) -> None:
        """Nobody awaits a watcher before the end: one that broke has to be heard of now."""
        broke = None if watcher.cancelled() else watcher.exception()
        if broke is not None:
            self._say(
                f"[red]{watcher.get_name()} broke[/red], start `vitrin up` anew:"
                f" {type(broke).__name__}: {_plain(str(broke))}"
            )

    def _say(self, line: str) -> None:
        with suppress(OSError):  # where it is written to may be full, too
            self._tell(line)

    @contextmanager
    def _survived(self, what: str) -> Iterator[None]:
        """What the system refuses for now (a full disk, no descriptor left) is said once, and tried again later."""
        try:
            yield
        except OSError as refusal:
            if self._refusals.get(what) != str(refusal):
                self._refusals[what] = str(refusal)
                self._say(f"[yellow]{what} failed[/yellow], it is tried again: {_plain(str(refusal))}")
        else:
            self._refusals.pop(what, None)

    async def _together(self, starts: Sequence[Awaitable[None]]) -> None:
        """All of them, or the first failure after the others were given up."""
        tasks = [asyncio.ensure_future(start) for start in starts]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _timed(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await work()
        self._say(f"[green]✓[/green] {what} [dim]{loop.time() - began:.1f} s[/dim]")

    async def _start(self, unit: Unit) -> None:
        def told(progress: str) -> None:
            self._say(f"[yellow]{unit.name}[/yellow] {progress}")
            self.write_state()

        async def work() -> None:
            await unit.start(clock=self._clock, looks=self._readiness, say=told)

        try:
            await self._timed(unit.name, work)
        except EmbeddedFailure as failure:
            unit.state = State.FAILED
            unit.last_exit = unit.last_exit or str(failure).splitlines()[0]
            raise CliFailure(
                str(failure),
                fix=f"the whole log is {unit.part.log_path}",
                code="start_failed",
                exit_code=Exit.REFUSED,
            ) from failure
        finally:
            self.write_state()

    async def _readiness(self, url: str) -> Look:
        assert self._http is not None
        try:
            answer = await self._http.get(url)
            return Look.of(answer.status_code, answer.json() if answer.content else None)
        except (httpx.TransportError, ValueError):
            return Look()

    def _on_child(self) -> None:
        for unit in self.units:
            unit.note_exit()

    async def _keep(self, unit: Unit) -> None:
        """Restart the part whenever it ends, for as long as the supervisor runs."""
        while not self.stopping.is_set():
            unit.note_exit()  # it may have ended before this watcher began
            await unit.exited.wait()
            if self.stopping.is_set():
                return
            await self._restart(unit)

    async def _restart(self, unit: Unit) -> None:
        pause_s = unit.backoff_s(self._clock())
        unit.state = State.RESTARTING
        unit.restarts += 1
        self.write_state()
        self._say(f"[red]{unit.name} died[/red]: {unit.last_exit}; again in {pause_s:.2g} s")
        try:
            for line in unit.tail():
                self._say(f"  [dim]{_plain(line)}[/dim]")
            await asyncio.sleep(pause_s)
            await self._start(unit)
            if unit.name == "broker":
                await self._timed("topics on the new broker", self.preparation.create_topics)
        except (CliFailure, OSError) as failure:
            reason = failure.message if isinstance(failure, CliFailure) else str(failure)
            self._say(f"[red]{unit.name} did not come back[/red]: {_plain(reason)}")
            await unit.stop()
            unit.exited.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.write_state()  # its age says when a killed one was last alive
            for unit in self.units:
                with self._survived(f"the look after {unit.name}"):
                    bound_log(unit.part.log_path)
                    if unit.name == "broker" and unit.pid is not None:
                        await self._recycle_when_fat(unit, unit.pid)

    async def _recycle_when_fat(self, unit: Unit, pid: int) -> None:
        """The embedded broker never deletes: above a size it is stopped, after everything in it was read, and comes
        back empty. What could not be read in time is sent again from the outbox."""
        limit = self.settings.broker_memory_bytes_max
        if unit.state is not State.READY or resident_bytes(pid) <= limit:
            return
        self._say(f"[yellow]{unit.name} uses more than {limit // 2**20} MiB: recycled[/yellow]")
        await self._drain()
        if unit.pid == pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    async def _drain(self) -> None:
        """Before the embedded broker goes: markers, so that only what is newer is sent again. Says where it failed."""
        if not self.preparation.has_own_broker or not {unit.name for unit in self.units} >= set(SERVICES):
            return
        drained = await drain(load_topics(), look=self._look, mark=self._mark)
        for name, reason in sorted(drained.reasons.items()):
            self._say(
                f"[yellow]{name} is not drained[/yellow]: {_plain(reason)}; what it sent is sent again next time"
            )

    async def _look(self, service: str) -> Answer:
        answer: Answer = await self._operate("GET", service, SPINE)
        return answer

    async def _mark(self, service: str, at: str) -> None:
        await self._operate("POST", service, f"{SPINE}/marker", json={"drained_at": at})

    async def _operate(self, method: str, service: str, path: str, **request: Any) -> Any:
        """OSError when the service does not answer, or refuses."""
        assert self._http is not None
        headers = {"Authorization": f"Bearer {self.preparation.operator_token}"}
        url = self.preparation.urls[service]["base"] + path
        try:
            answer = await self._http.request(method, url, headers=headers, **request)
        except httpx.TransportError as silence:
            raise OSError(f"{service} does not answer ({type(silence).__name__})") from silence
        if not answer.is_success:
            raise OSError(f"{service} answers {answer.status_code}")
        return answer.json()

    async def _stop_all(self) -> None:
        if self._runs:
            await self._drain()
        self.stopping.set()
        for task in self._watchers:
            task.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for unit in reversed(self.units):
            if unit.may_run:
                await unit.stop()
        self._ended_at = self._clock()
        if self.units:
            self.write_state()

    def write_state(self) -> None:
        """`var/state.json`: every URL, every process, the demo brand. Secrets stay in their own file. Where it
        cannot be written for now, that is said, and everything else goes on."""
        with self._survived(f"writing {self.settings.var.state}"):
            write_private_json(self.settings.var.state, self.state())

    def state(self) -> dict[str, Any]:
        return {
            "supervisor": {
                "pid": os.getpid(),
                "started_at": self._began_at,
                "ended_at": self._ended_at,
            },
            "urls": self.preparation.urls,
            "database_url": self.preparation.public_database_url,
            "kafka_bootstrap": self.preparation.bootstrap,
            "processes": [unit.as_json() for unit in self.units],
            "demo": demo_brand(self.settings.var),
        }


def resident_bytes(pid: int) -> int:
    """Memory of a process; 0 where the system does not say (no /proc) or the process is gone."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0


def _plain(text: str) -> str:
    return text.replace("[", "\\[")
