"""One `vitrin up` per var directory, what it says about itself, and what a killed one left behind."""

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.settings import Var, read_json

if TYPE_CHECKING:
    import psutil

LEFT_OVER_STOP_S = 10.0
START_TOLERANCE_S = 2.0
LOCK_TRIES = 10
LOCK_PAUSE_S = 0.05


class VarLock:
    """Held for the life of the process; the kernel frees it, also after kill -9. Who only asks whether it is held
    (`up_is_running`) holds it for a moment: `pause` waits that out."""

    def __init__(self, var: Var, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._var = var
        self._pause = pause
        self._descriptor: int | None = None

    def take(self) -> None:
        self._var.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._var.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self._locked(descriptor):
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise CliFailure(
                f"another `vitrin up` (process {holder}) already runs on {self._var.root}",
                fix="stop it first, or give this one a directory of its own with VITRIN_VAR (and other ports)",
                code="already_running",
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def _locked(self, descriptor: int) -> bool:
        for attempt in range(LOCK_TRIES):
            if attempt:
                self._pause(LOCK_PAUSE_S)
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
        return False

    def release(self) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def up_is_running(var: Var) -> bool:
    """True while some process holds the lock."""
    try:
        descriptor = os.open(var.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who ask do not see each other
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def running_state(var: Var) -> dict[str, object]:
    """What the `vitrin up` of this directory says of itself. Raises CliFailure (exit code 3) when none runs, which a
    killed one could not write down, and while a new one has not replaced what its predecessor said."""
    state = read_json(var.state)
    told = state.get("supervisor")
    supervisor = told if isinstance(told, dict) else {}
    if up_is_running(var):
        if _wrote(supervisor, holder=_holder(var)):
            return state
        raise CliFailure(
            f"a `vitrin up` is starting on {var.root}, and has not said anything yet",
            fix="ask again in a moment",
            code="starting",
            exit_code=Exit.UNREACHABLE,
        )
    if supervisor.get("pid") and not supervisor.get("ended_at"):
        raise _killed(var, supervisor, state)
    raise CliFailure(
        f"no `vitrin up` runs on {var.root}",
        fix="start one, or set VITRIN_VAR to the directory of the one that runs",
        code="not_running",
        exit_code=Exit.UNREACHABLE,
    )


def _holder(var: Var) -> int:
    """The process that the lock file names; 0 when it names none (yet)."""
    try:
        return int(var.lock.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _wrote(supervisor: dict[str, object], *, holder: int) -> bool:
    """Whether the state is that of the process which holds the lock. It may have been given the number of a killed
    one: then it began after that one had written."""
    import psutil

    if supervisor.get("pid") != holder or not supervisor.get("started_at"):
        return False
    try:
        began_s = psutil.Process(holder).create_time()
    except psutil.NoSuchProcess:
        return False
    said_s = datetime.fromisoformat(str(supervisor["started_at"])).timestamp()
    return bool(began_s <= said_s + START_TOLERANCE_S)


def _killed(var: Var, supervisor: dict[str, object], state: dict[str, object]) -> CliFailure:
    seen = datetime.fromtimestamp(var.state.stat().st_mtime, tz=UTC)
    processes = state.get("processes")
    left = [
        str(entry.get("name"))
        for entry in (processes if isinstance(processes, list) else [])
        if isinstance(entry, dict) and _same_process(entry) is not None
    ]
    over = f"; without it still run: {', '.join(left)}" if left else ""
    return CliFailure(
        f"no `vitrin up` runs on {var.root}: process {supervisor['pid']} was killed,"
        f" last seen {seen:%Y-%m-%d %H:%M:%S} UTC{over}",
        fix="start one: it stops what the killed one left, and goes on with its data",
        code="not_running",
        exit_code=Exit.UNREACHABLE,
    )


def stop_left_over(state_path: Path) -> list[str]:
    """Stop the children of a supervisor that was killed; returns their names.

    A process id alone proves nothing, since it may belong to somebody else by now: the process must also have
    been started at the recorded time.
    """
    processes = read_json(state_path).get("processes")
    if not isinstance(processes, list):
        return []
    stopped = []
    for entry in reversed(processes):
        process = _same_process(entry) if isinstance(entry, dict) else None
        if process is not None and _stop(process):
            stopped.append(str(entry.get("name")))
    return stopped


def _same_process(entry: dict[str, object]) -> "psutil.Process | None":
    """The living process of this entry of the state, unless its number belongs to somebody else by now."""
    import psutil

    if not entry.get("pid") or not entry.get("started_at"):
        return None
    started_s = datetime.fromisoformat(str(entry["started_at"])).timestamp()
    try:
        process = psutil.Process(int(str(entry["pid"])))
        if abs(process.create_time() - started_s) > START_TOLERANCE_S or process.status() == "zombie":
            return None
    except psutil.NoSuchProcess:
        return None
    return process


def _stop(process: "psutil.Process") -> bool:
    import psutil

    try:
        process.terminate()
        try:
            process.wait(LEFT_OVER_STOP_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(LEFT_OVER_STOP_S)
    except psutil.NoSuchProcess:
        return False
    return True
