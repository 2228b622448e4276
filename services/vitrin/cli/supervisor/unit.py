"""One watched process: its state, why it last ended, and when it may be started again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from vitrin.cli.supervisor.parts import Part
from vitrin.cli.supervisor.readiness import Look, Patience
from vitrin.cli.supervisor.settings import START_NO_PROGRESS_S
from vitrin.kit.embedded.errors import StartFailed
from vitrin.kit.embedded.process import exit_reason, log_tail

READY_POLL_S = 0.2
BACKOFF_FIRST_S = 0.25
BACKOFF_MAX_S = 30.0
STEADY_AFTER = timedelta(seconds=60)
TAIL_LINES = 6

Looks = Callable[[str], Awaitable[Look]]
"""What a URL of readiness answers."""


class State(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(slots=True)
class Unit:
    """A part and its life. `exited` is set by the supervisor when the process is gone; `backoff_max_s`: however often
    it dies, the next start is not later than this; `no_progress_s`: so long it may move nothing before it is ready."""

    part: Part
    state: State = State.WAITING
    pid: int | None = None
    started_at: datetime | None = None
    ready_at: datetime | None = None
    restarts: int = 0
    last_exit: str | None = None
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    backoff_max_s: float = BACKOFF_MAX_S
    no_progress_s: float = START_NO_PROGRESS_S
    progress: str = ""
    """While it starts: how far it has caught up."""
    _quick_deaths: int = 0
    _starting: asyncio.Future[None] | None = None

    @property
    def name(self) -> str:
        return self.part.name

    def note_exit(self) -> bool:
        """True when the process was running and is gone now; remembers why."""
        process = self.part.process
        code = None if process is None else process.poll()
        if code is None or self.pid is None:
            return False
        self.last_exit = exit_reason(code)
        self.pid = None
        self.exited.set()
        return True

    def tail(self) -> list[str]:
        return log_tail(self.part.log_path, lines=TAIL_LINES)

    async def start(
        self,
        *,
        clock: Callable[[], datetime],
        looks: Looks,
        say: Callable[[str], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start and wait until ready, for as long as it makes progress; `say` gets a line about it now and then. Raises
        StartFailed with the last lines of the log when it ends, or moves nothing for too long."""
        self.state = State.STARTING if self.restarts == 0 else State.RESTARTING
        self.exited.clear()
        self.ready_at = None  # a start that fails is no steady life
        # Who gives the start up leaves a thread that goes on, and may still make the process: see `stop`.
        self._starting = asyncio.ensure_future(asyncio.to_thread(self.part.start))
        await asyncio.shield(self._starting)
        self.started_at = clock()
        process = self.part.process
        assert process is not None
        self.pid = process.pid
        if self.part.ready_url is not None:
            try:
                await self._until_ready(self.part.ready_url, looks, say, monotonic_s)
            finally:
                self.progress = ""
        if self.note_exit() or self.exited.is_set():
            raise StartFailed(part=self.name, reason=self.last_exit or "ended", log_lines=self.tail())
        self.ready_at = clock()
        self.state = State.READY

    async def _until_ready(
        self, url: str, looks: Looks, say: Callable[[str], None], monotonic_s: Callable[[], float]
    ) -> None:
        patience = Patience(monotonic_s(), self.no_progress_s)
        while not patience.is_over(monotonic_s()):
            if self.note_exit() or self.exited.is_set():
                raise StartFailed(part=self.name, reason=self.last_exit or "ended", log_lines=self.tail())
            look = await looks(url)
            if look.ready:
                return
            if line := patience.hear(look, monotonic_s()):
                self.progress = line
                say(line)
            await asyncio.sleep(READY_POLL_S)
        raise StartFailed(part=self.name, reason=f"{patience.reason()} ({url})", log_lines=self.tail())

    def backoff_s(self, now: datetime) -> float:
        """Pause before the next start: short after a steady life, longer with every quick death."""
        steady = self.ready_at is not None and now - self.ready_at >= STEADY_AFTER
        self._quick_deaths = 0 if steady else self._quick_deaths + 1
        return float(min(BACKOFF_FIRST_S * 2 ** max(0, self._quick_deaths - 1), self.backoff_max_s))

    @property
    def may_run(self) -> bool:
        """There is a process to stop, or a start under way that may make one."""
        starting = self._starting is not None and not self._starting.done()
        return starting or self.part.process is not None

    async def stop(self) -> None:
        if self._starting is not None:
            await asyncio.wait({self._starting})
        await asyncio.to_thread(self.part.stop)
        self.pid = None
        self.state = State.STOPPED

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "state": self.state.value,
            "pid": self.pid,
            "started_at": self.started_at,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "progress": self.progress,
            "log": str(self.part.log_path),
        }
