"""The table of processes, in the order of their start, and what each of them is."""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vitrin.cli.settings import HOST
from vitrin.cli.supervisor.settings import UpSettings
from vitrin.kit.embedded.process import spawn, stop

SERVICES = ("accounts", "catalog", "shop_sync", "notify", "retargeting")
STOP_S = 15.0


class Part(Protocol):
    """One process. `start` returns once it runs; parts with a `ready_url` are ready when that answers 200."""

    name: str
    log_path: Path
    ready_url: str | None

    @property
    def process(self) -> subprocess.Popen[bytes] | None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Startable(Protocol):
    process: subprocess.Popen[bytes] | None

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(slots=True)
class EmbeddedPart:
    """PostgreSQL or the broker: ready when `start` returns."""

    name: str
    log_path: Path
    server: Startable
    ready_url: str | None = None

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self.server.process

    def start(self) -> None:
        self.server.start()

    def stop(self) -> None:
        self.server.stop()


@dataclass(slots=True)
class CommandPart:
    """A Python process of ours: `arguments` are those of the interpreter."""

    name: str
    log_path: Path
    arguments: Sequence[str]
    environment: Callable[[], dict[str, str]]
    ready_url: str | None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        command = [sys.executable, *self.arguments]
        self.process = spawn(command, log_path=self.log_path, environment=self.environment())

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process, signals=((signal.SIGTERM, STOP_S),))
            self.process = None


def urls_of(settings: UpSettings) -> dict[str, dict[str, str]]:
    """Every address a person or a program may want, by part."""
    bases = {
        "accounts": settings.accounts_http.number,
        "catalog": settings.catalog_http.number,
        "shop_sync": settings.shop_sync_http.number,
        "notify": settings.notify_http.number,
        "retargeting": settings.retargeting_http.number,
    }
    urls = {
        name: {
            "base": f"http://{HOST}:{port}",
            "docs": f"http://{HOST}:{port}/docs",
            "metrics": f"http://{HOST}:{port}/metrics",
            "ready": f"http://{HOST}:{port}/readyz",
        }
        for name, port in bases.items()
    }
    sandbox = f"http://{HOST}:{settings.sandbox_http.number}"
    urls["sandbox"] = {
        "base": sandbox,
        "page": f"{sandbox}/",
        "metrics": f"{sandbox}/metrics",
        "ready": f"{sandbox}/readyz",
    }
    return urls
