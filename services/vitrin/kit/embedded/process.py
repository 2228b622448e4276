"""Child processes and their log files."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

LOG_BYTES_MAX = 8 * 1024 * 1024
TAIL_BYTES_MAX = 64 * 1024
MINIMAL_PATH = "/usr/local/bin:/usr/bin:/bin"


def minimal_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nothing of the caller's environment that could change what a vendored binary does."""
    environment = {"PATH": os.environ.get("PATH", MINIMAL_PATH), "LC_ALL": "C", "TZ": "UTC"}
    return environment | dict(extra or {})


def spawn(
    command: Sequence[str],
    *,
    log_path: Path,
    environment: Mapping[str, str],
    user: tuple[int, int] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in its own session, so that a Ctrl-C in the terminal reaches only its parent.

    Output is appended to `log_path`, which `bound_log` may cut at any time. `user` is (uid, gid).
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
            user=None if user is None else user[0],
            group=None if user is None else user[1],
            extra_groups=None if user is None else [],
        )


def stop(
    process: subprocess.Popen[bytes],
    *,
    signals: Sequence[tuple[signal.Signals, float]],
) -> int:
    """Send each signal in turn and wait its number of seconds; SIGKILL at the end. Returns the exit code."""
    for number, patience_s in signals:
        if process.poll() is not None:
            break
        process.send_signal(number)
        try:
            return process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
    if process.poll() is None:
        process.kill()
    return process.wait()


def exit_reason(code: int) -> str:
    """`exit code 3`, or the signal's name when one ended the process."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


def log_tail(path: Path, *, lines: int = 10) -> list[str]:
    """The last non-empty lines of a log file; empty when there is none."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - TAIL_BYTES_MAX))
            text = log.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


def bound_log(path: Path, *, bytes_max: int = LOG_BYTES_MAX) -> bool:
    """Move a log that has grown too long to `<name>.1` and empty it in place. True when it was cut.

    The writer keeps its descriptor (it appends), so what it writes between copy and cut is lost.
    """
    try:
        if path.stat().st_size <= bytes_max:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(path, path.with_name(path.name + ".1"))
    os.truncate(path, 0)
    return True
