"""A process that posts bodies over keep-alive connections as fast as they are answered, and the server it posts to.

Server and sender have a core each where there are two; the sender writes prepared bytes and reads to the end of the
head and its body, so that it costs less than what it measures.
"""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

import uvloop
from starlette.types import ASGIApp

from vitrin.kit.embedded.ports import free_port
from vitrin.kit.http import serve
from vitrin.kit.settings import HttpSettings

_CONTEXT: Final = multiprocessing.get_context("spawn")
Serve = Callable[[], AbstractAsyncContextManager[ASGIApp]]
"""Made in the server's own process."""
Bodies = Callable[[int, int], Sequence[bytes]]
"""Request bodies of one lane in one round."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second, and how long the median and the slowest hundredth took, in ms."""

    per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_s: float


def pin(core: int) -> None:
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})


class Server:
    """An application behind uvicorn and uvloop, in a process of its own on core 0."""

    def __init__(self, make: Serve) -> None:
        self.port = free_port()
        self._here, there = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(make, self.port, there), daemon=True)

    def __enter__(self) -> "Server":
        self._process.start()
        assert self._here.recv() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._here.send("stop")
        self._process.join(30)
        self._process.kill()

    def cpu_s(self) -> float:
        self._here.send("cpu")
        used: float = self._here.recv()
        return used


def _serve(make: Serve, port: int, pipe: Connection) -> None:
    pin(0)

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        async with make() as app:
            settings = HttpSettings(service="bench", port=port)
            serving = asyncio.create_task(
                serve(app, settings, stop, on_listening=lambda _: pipe.send("ready"))
            )
            while not stop.is_set():
                word = await loop.run_in_executor(None, pipe.recv)
                if word == "cpu":
                    pipe.send(time.process_time())
                else:
                    stop.set()
            await serving

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def post(server: Server, path: str, headers: str, bodies: Sequence[Sequence[bytes]]) -> Rate:
    """One lane per list of bodies. Every answer must be 200."""
    pin(1)
    before = server.cpu_s()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seconds, times = runner.run(_post(server.port, path, headers, bodies))
    ordered = sorted(times)
    return Rate(
        len(times) / seconds,
        ordered[len(ordered) // 2] * 1000,
        ordered[int(len(ordered) * 0.99)] * 1000,
        server.cpu_s() - before,
    )


async def _post(
    port: int, path: str, headers: str, bodies: Sequence[Sequence[bytes]]
) -> tuple[float, list[float]]:
    times: list[float] = []
    began = time.perf_counter()
    lanes: list[Awaitable[None]] = [_lane(port, path, headers, mine, times) for mine in bodies]
    await asyncio.gather(*lanes)
    return time.perf_counter() - began, times


async def _lane(port: int, path: str, headers: str, bodies: Sequence[bytes], times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in bodies:
        begun = time.perf_counter()
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        times.append(time.perf_counter() - begun)
    writer.close()
