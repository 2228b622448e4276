"""Keeps a world in its state file: loaded at the start, written while it changes and at a clean stop."""

import asyncio
from contextlib import suppress
from pathlib import Path

import structlog

from vitrin.sandbox.saving import StateUnreadable, capture, restore, write
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.timing import Clock
from vitrin.sandbox.world import World, build_world, empty_world

logger = structlog.get_logger(__name__)

SAVE_EVERY_S = 1.0
"""Pause between two writings: what a kill can lose, beside the time of writing itself."""

NEVER = -1


def load_world(settings: SandboxSettings, path: Path, *, clock: Clock) -> World:
    """The world that the file holds, or a fresh one.

    A file that cannot be used is moved to ``<file>.unreadable``. Raises ``OSError`` when that fails too, because the
    next writing would replace it.
    """
    world = empty_world(settings, clock=clock)
    try:
        restore(world, path)
    except FileNotFoundError:
        return build_world(settings, clock=clock)
    except StateUnreadable as reason:
        aside = path.with_name(f"{path.name}.unreadable")
        path.replace(aside)
        logger.warning(
            "sandbox.state_unreadable",
            file=str(path),
            reason=str(reason),
            moved_to=str(aside),
            consequence="the platforms start empty",
        )
        return build_world(settings, clock=clock)
    world.open_first_accounts()
    return world


class StateKeeper:
    """Writes the file when something changed, at most once per ``SAVE_EVERY_S``; sleeps while nothing does.

    The world is one that ``load_world`` gave and nobody has changed since.
    """

    def __init__(self, world: World, *, path: Path) -> None:
        self._world = world
        self._path = path
        self._written_count = world.changes.count if path.exists() else NEVER
        self._failing = False
        self._lock = asyncio.Lock()
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._changed.set()
        world.changes.listen(self._changed.set)

    async def run(self) -> None:
        """Until ``stop``; what changed until then is in the file. A writing that fails is tried again."""
        while not self._stop.is_set():
            await self._changed.wait()
            self._changed.clear()
            await self.flush()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), SAVE_EVERY_S)
        await self.flush()

    def stop(self) -> None:
        """Let ``run`` end."""
        self._stop.set()
        self._changed.set()

    async def flush(self) -> None:
        """Write now unless nothing changed since the last time. Who waits may be cancelled, the writing is not."""
        await asyncio.shield(asyncio.ensure_future(self._write()))

    async def _write(self) -> None:
        async with self._lock:
            count = self._world.changes.count
            if count == self._written_count:
                return
            try:
                await asyncio.to_thread(write, capture(self._world), self._path)
            except Exception as error:
                if not self._failing:
                    logger.exception("sandbox.state_not_written", file=str(self._path), reason=str(error))
                self._failing = True
                self._changed.set()
            else:
                self._written_count = count
                self._failing = False
