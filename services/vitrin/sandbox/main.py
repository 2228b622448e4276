"""Starts the sandbox: ``run(settings)`` serves until it is told to stop."""

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from vitrin.sandbox.app import create_app
from vitrin.sandbox.delivery import DROP_EXTENSION, RESET_EXTENSION
from vitrin.sandbox.settings import SandboxSettings

SHUTDOWN_SECONDS_MAX = 2


class DroppingProtocol(HttpToolsProtocol):
    """HTTP that can close or reset a connection whenever a fault says so."""

    def on_message_begin(self) -> None:
        """Offer both to the application with every request."""
        super().on_message_begin()
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
        extensions[DROP_EXTENSION] = self._drop
        extensions[RESET_EXTENSION] = self._reset

    def _reset(self) -> None:
        """With no time to linger the system sends RST instead of FIN when the socket is closed."""
        if self.transport is not None:
            descriptor = self.transport.get_extra_info("socket").fileno()
            with socket.socket(fileno=os.dup(descriptor)) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._drop()

    def _drop(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class SandboxServer(uvicorn.Server):
    """Leaves signals to whoever owns the process; uvicorn's own way raises them again after a clean stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def server(settings: SandboxSettings) -> SandboxServer:
    """The server, not yet started."""
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http=DroppingProtocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
    )
    return SandboxServer(config)


def run(settings: SandboxSettings) -> None:
    """Serve until SIGINT or SIGTERM, finish what was begun, write the state and return.

    A second SIGINT cuts open requests off. The handlers stay, so that a signal that comes late changes nothing.
    """
    running = server(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, running.handle_exit)
    running.run()


def main() -> None:
    """Run with settings from the environment."""
    run(SandboxSettings())


if __name__ == "__main__":
    main()
