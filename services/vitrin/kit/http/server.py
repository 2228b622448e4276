"""uvicorn in the loop that is already running; signals stay with whoever owns the process."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from vitrin.kit.logs import get_logger
from vitrin.kit.settings import HttpSettings

_log = get_logger("vitrin.http")
BACKLOG = 512


class CannotListen(Exception):
    """The address is taken or not ours; the message names it."""


class StartFailed(Exception):
    """The application's lifespan raised."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            raise StartFailed("the application did not start; its log says why") from None
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A bound TCP socket. Raises CannotListen. It names TCP as its protocol: asyncio switches Nagle's algorithm off
    only on such sockets, and with it every answer of two segments waits 40 ms for the client's acknowledgement."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return sock


async def serve(
    app: ASGIApp,
    settings: HttpSettings,
    stop: asyncio.Event,
    *,
    on_listening: Callable[[int], None] | None = None,
) -> None:
    """Serves until `stop` is set, lets open requests end (`shutdown_grace_s`), then returns.

    `on_listening` gets the real port once requests are answered (port 0 lets the system choose one).
    """
    sock = listen(settings.host, settings.port)
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[sock]), name=f"{settings.service}-http")
    stopping = asyncio.create_task(stop.wait())
    try:
        listening = asyncio.create_task(server.listening.wait())
        await asyncio.wait({running, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if server.listening.is_set():
            port = sock.getsockname()[1]
            _log.info("http_listening", host=settings.host, port=port)
            if on_listening is not None:
                on_listening(port)
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await running
    finally:
        stopping.cancel()
        if not running.done():
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        sock.close()
