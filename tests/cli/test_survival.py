"""What the system refuses for a while (a full disk, no descriptors) does not end the supervisor's care, and a start
that was given up leaves nothing behind."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.cli.test_supervisor import DataAndSandbox, settings_in
from vitrin.cli.supervisor.parts import CommandPart
from vitrin.cli.supervisor.supervisor import Supervisor
from vitrin.cli.supervisor.unit import State, Unit
from vitrin.kit.clock import system_clock

WAIT_S = 60.0


class OnePart(DataAndSandbox):
    """A process that only lives."""

    def make_units(self) -> None:
        part = CommandPart(
            name="sleeper",
            log_path=self.settings.var.root / "sleeper" / "sleeper.log",
            arguments=["-c", "import time; time.sleep(600)"],
            environment=dict,
            ready_url=None,
        )
        self.units = [Unit(part, backoff_max_s=0.3)]

    async def prepare(self) -> None:
        """It needs nothing."""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_part_comes_back_after_the_system_refused_its_start_and_its_state(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(OnePart(settings_in(tmp_path)), clock=system_clock, say=said.append)
    async with supervisor.running():
        (unit,) = supervisor.units
        state, logs = tmp_path / "state.json", tmp_path / "sleeper"
        state.unlink()
        state.mkdir()  # nothing can be written in its place, also by root
        logs.rename(tmp_path / "moved")
        logs.write_text("no directory")
        assert unit.pid is not None
        os.kill(unit.pid, signal.SIGKILL)
        await until(lambda: sum("did not come back" in line for line in said) >= 2)
        assert sum(f"writing {state} failed" in line for line in said) == 1
        logs.unlink()
        state.rmdir()
        await until(lambda: unit.state is State.READY and state.is_file())
        assert unit.restarts >= 3
    assert unit.part.process is None


async def test_a_watcher_that_breaks_is_heard_of(tmp_path: Path) -> None:
    said: list[str] = []
    works = True

    def clock() -> datetime:
        if not works:
            raise ValueError("who could know")
        return system_clock()

    supervisor = Supervisor(OnePart(settings_in(tmp_path)), clock=clock, say=said.append)
    async with supervisor.running():
        (unit,) = supervisor.units
        works = False
        assert unit.pid is not None
        os.kill(unit.pid, signal.SIGKILL)
        await until(lambda: any("the watcher of sleeper broke" in line for line in said))
        works = True
    assert any("ValueError: who could know" in line for line in said)


@dataclass(slots=True)
class Slow(CommandPart):
    """As PostgreSQL the first time: there is work before there is a process."""

    begun: threading.Event = field(default_factory=threading.Event)
    may: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self.begun.set()
        assert self.may.wait(WAIT_S)
        CommandPart.start(self)


class OneSlowPart(OnePart):
    def make_units(self) -> None:
        super().make_units()
        sleeper = self.units[0].part
        assert isinstance(sleeper, CommandPart)
        slow = Slow("slow", sleeper.log_path, sleeper.arguments, dict, None)
        self.units.append(Unit(slow))


async def test_a_start_that_is_given_up_before_its_process_leaves_none(tmp_path: Path) -> None:
    supervisor = Supervisor(OneSlowPart(settings_in(tmp_path)), clock=system_clock, say=lambda _: None)

    async def run() -> None:
        async with supervisor.running():
            raise AssertionError("it must not run")

    running = asyncio.create_task(run())
    await until(lambda: len(supervisor.units) == 2)
    unit = supervisor.units[1]
    assert isinstance(unit.part, Slow)
    await until(unit.part.begun.is_set)
    running.cancel()
    await until(supervisor.stopping.is_set)
    assert unit.part.process is None
    unit.part.may.set()
    await asyncio.wait({running}, timeout=WAIT_S)
    assert running.cancelled()
    assert unit.part.process is None
    assert unit.state is State.STOPPED
