"""A kit application and a kit gRPC server on loopback sockets, for the tests of this folder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.types import ASGIApp

from vitrin.kit.http import serve
from vitrin.kit.settings import HttpSettings


@asynccontextmanager
async def serving(app: ASGIApp, settings: HttpSettings) -> AsyncIterator[httpx.AsyncClient]:
    """The app behind a real socket; the client speaks to it without any proxy."""
    stop = asyncio.Event()
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(app, settings, stop, on_listening=listening.set_result))
    running.add_done_callback(lambda task: listening.done() or listening.cancel())
    port = await listening
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        try:
            yield client
        finally:
            stop.set()
            await running
