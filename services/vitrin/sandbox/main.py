"""Starts the sandbox: ``run(settings)`` serves until it is told to stop."""

from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from vitrin.sandbox.app import create_app
from vitrin.sandbox.gate import DROP_EXTENSION
from vitrin.sandbox.settings import SandboxSettings

SHUTDOWN_SECONDS_MAX = 2


class DroppingProtocol(HttpToolsProtocol):
    """HTTP that can close a connection without an answer, for the time-out faults."""

    def on_message_begin(self) -> None:
        """Offer the drop to the application with every request."""
        super().on_message_begin()
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
        extensions[DROP_EXTENSION] = self._drop

    def _drop(self) -> None:
        if self.transport is not None:
            self.transport.abort()


def server(settings: SandboxSettings) -> uvicorn.Server:
    """The server, not yet started."""
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http=DroppingProtocol,
        loop="uvloop",
        ws="none",
        lifespan="auto",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
    )
    return uvicorn.Server(config)


def run(settings: SandboxSettings) -> None:
    """Serve until SIGINT or SIGTERM."""
    server(settings).run()


async def serve(settings: SandboxSettings) -> None:
    """Serve inside a running loop until cancelled."""
    await server(settings).serve()


def main() -> None:
    """Run with settings from the environment."""
    run(SandboxSettings())


if __name__ == "__main__":
    main()
