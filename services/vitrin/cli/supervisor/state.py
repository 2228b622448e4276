"""One `vitrin up` per var directory, what it says about itself, and what a killed one left behind."""

import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path

from vitrin.cli.failures import CliFailure
from vitrin.cli.settings import Var, read_json

LEFT_OVER_STOP_S = 10.0
START_TOLERANCE_S = 2.0


class VarLock:
    """Held for the life of the process; the kernel frees it, also after kill -9."""

    def __init__(self, var: Var) -> None:
        self._var = var
        self._descriptor: int | None = None

    def take(self) -> None:
        self._var.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._var.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise CliFailure(
                f"another `vitrin up` (process {holder}) already runs on {self._var.root}",
                fix="stop it first, or give this one a directory of its own with VITRIN_VAR (and other ports)",
                code="already_running",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

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
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


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
        if isinstance(entry, dict) and entry.get("pid") and entry.get("started_at"):
            started_at = datetime.fromisoformat(str(entry["started_at"]))
            if _stop_same(pid=int(entry["pid"]), started_at=started_at):
                stopped.append(str(entry.get("name")))
    return stopped


def _stop_same(*, pid: int, started_at: datetime) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        created_at = datetime.fromtimestamp(process.create_time(), tz=UTC)
        if abs((created_at - started_at).total_seconds()) > START_TOLERANCE_S or process.status() == "zombie":
            return False
        process.terminate()
        try:
            process.wait(LEFT_OVER_STOP_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(LEFT_OVER_STOP_S)
    except psutil.NoSuchProcess:
        return False
    return True
