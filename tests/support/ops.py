"""The operator's door of the spine: a kit application with the messages router, on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from fastapi import FastAPI

from tests.support.spine import Spine
from vitrin.kit.clock import system_clock
from vitrin.kit.http import serve
from vitrin.kit.http.app import create_app
from vitrin.kit.ops.desk import MessageDesk
from vitrin.kit.ops.messages import router
from vitrin.kit.settings import HttpSettings

TOKEN = "an-operator-token-of-the-tests"


@dataclass(frozen=True)
class Door:
    """`client` sends the operator token; `url` is for whoever brings another one."""

    url: str
    client: httpx.AsyncClient


def ops_app(spine: Spine, settings: HttpSettings, token: str | None = TOKEN) -> FastAPI:
    return create_app(
        title="Spine",
        description="",
        version="0",
        settings=settings,
        routers=[router],
        readiness={},
        state={
            "operator_token": token,
            "message_desk": MessageDesk(database=spine.worker, clock=system_clock),
        },
    )


@asynccontextmanager
async def open_door(spine: Spine) -> AsyncIterator[Door]:
    settings = HttpSettings(service="spine")
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(ops_app(spine, settings), settings, stop, on_listening=port.set_result))
    url = f"http://127.0.0.1:{await port}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
            yield Door(url, client)
    finally:
        stop.set()
        await task
