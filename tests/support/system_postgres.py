"""The system's PostgreSQL 15 (Debian's), in a cluster of its own in a temporary directory, on a unix socket only.

The oldest version that production may run; the embedded one is 18.
"""

import os
import pwd
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psycopg

from vitrin.kit.embedded.process import log_tail, minimal_environment, spawn, stop

BINARIES = Path("/usr/lib/postgresql/15/bin")
START_DEADLINE_S = 30.0
STOP_S = 15.0
USERS = ("postgres", "nobody")


class PostgresMissing(Exception):
    """There is no PostgreSQL 15 on this machine; the message says what to install."""


class SystemPostgres:
    """`.url` is the superuser's, as that of EmbeddedPostgres."""

    def __init__(self, directory: Path) -> None:
        if not (BINARIES / "postgres").exists():
            raise PostgresMissing("PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)")
        self.directory = directory
        self.log_path = directory / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._user = _server_user()
        if self._user is not None:
            os.chown(directory, *self._user)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={quote(str(self.directory), safe='/')}"

    def start(self) -> None:
        """initdb, start, and wait until it answers. RuntimeError with the end of its log."""
        data_dir = self.directory / "data"
        made = subprocess.run(
            [
                BINARIES / "initdb",
                *("-D", data_dir, "-U", "postgres", "--auth=trust"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            check=False,
            env=minimal_environment(),
            cwd=self.directory,
            user=None if self._user is None else self._user[0],
            group=None if self._user is None else self._user[1],
            extra_groups=None if self._user is None else [],
        )
        if made.returncode != 0:
            raise RuntimeError(f"initdb failed: {made.stderr}")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.directory,
            "max_connections": "100",
            "fsync": "off",
            "full_page_writes": "off",
            "timezone": "UTC",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.process = spawn(
            [str(BINARIES / "postgres"), "-D", str(data_dir), *options],
            log_path=self.log_path,
            environment=minimal_environment(),
            user=self._user,
            cwd=self.directory,
        )
        end = time.monotonic() + START_DEADLINE_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError("\n".join(["PostgreSQL 15 did not start", *log_tail(self.log_path)]))
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process, signals=((signal.SIGINT, STOP_S),))
            self.process = None

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True


def _server_user() -> tuple[int, int] | None:
    """PostgreSQL refuses root: then the package's own user, or nobody."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = next(known[name] for name in USERS if name in known)
    return entry.pw_uid, entry.pw_gid
