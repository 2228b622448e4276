"""One watched process: its state, why it last ended, and when it may be started again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from vitrin.cli.supervisor.parts import Part
from vitrin.kit.embedded.errors import StartFailed
from vitrin.kit.embedded.process import exit_reason, log_tail

READY_DEADLINE_S = 60.0
READY_POLL_S = 0.2
BACKOFF_FIRST_S = 0.25
BACKOFF_MAX_S = 30.0
STEADY_AFTER = timedelta(seconds=60)
TAIL_LINES = 6

Answers = Callable[[str], Awaitable[bool]]
"""Whether a URL answers 200."""


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
    it dies, the next start is not later than this."""

    part: Part
    state: State = State.WAITING
    pid: int | None = None
    started_at: datetime | None = None
    ready_at: datetime | None = None
    restarts: int = 0
    last_exit: str | None = None
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    backoff_max_s: float = BACKOFF_MAX_S
    _quick_deaths: int = 0

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

    async def start(self, *, clock: Callable[[], datetime], answers: Answers) -> None:
        """Start and wait until ready. Raises StartFailed with the last lines of the log."""
        self.state = State.STARTING if self.restarts == 0 else State.RESTARTING
        self.exited.clear()
        await asyncio.to_thread(self.part.start)
        self.started_at = clock()
        process = self.part.process
        assert process is not None
        self.pid = process.pid
        if self.part.ready_url is not None:
            await self._until_ready(self.part.ready_url, answers)
        if self.note_exit() or self.exited.is_set():
            raise StartFailed(part=self.name, reason=self.last_exit or "ended", log_lines=self.tail())
        self.ready_at = clock()
        self.state = State.READY

    async def _until_ready(self, url: str, answers: Answers) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + READY_DEADLINE_S
        while loop.time() < end:
            if self.note_exit() or self.exited.is_set():
                raise StartFailed(part=self.name, reason=self.last_exit or "ended", log_lines=self.tail())
            if await answers(url):
                return
            await asyncio.sleep(READY_POLL_S)
        reason = f"{url} did not answer 200 within {READY_DEADLINE_S:.0f} s"
        raise StartFailed(part=self.name, reason=reason, log_lines=self.tail())

    def backoff_s(self, now: datetime) -> float:
        """Pause before the next start: short after a steady life, longer with every quick death."""
        steady = self.ready_at is not None and now - self.ready_at >= STEADY_AFTER
        self._quick_deaths = 0 if steady else self._quick_deaths + 1
        return float(min(BACKOFF_FIRST_S * 2 ** max(0, self._quick_deaths - 1), self.backoff_max_s))

    async def stop(self) -> None:
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
            "log": str(self.part.log_path),
        }
