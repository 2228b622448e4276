"""The spine with its operator's door: a kit application with the messages router on a real socket, and dead letters."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI

from tests.support.spine import Spine, database_settings, install
from vitrin.kit.clock import system_clock
from vitrin.kit.consumer.parking import Limits
from vitrin.kit.embedded.broker import EmbeddedBroker
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.http import serve
from vitrin.kit.http.app import create_app
from vitrin.kit.kafka.admin import ensure_topics
from vitrin.kit.ops.desk import MessageDesk
from vitrin.kit.ops.messages import router
from vitrin.kit.settings import HttpSettings, KafkaSettings

WITHIN_S = 30.0
QUICK = Limits(back_off=timedelta(milliseconds=50), back_off_max=timedelta(milliseconds=200))
LETTERS = "/v1/ops/dead-letters"
Document = dict[str, Any]
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


@dataclass(frozen=True)
class Operated:
    spine: Spine
    door: Door


@asynccontextmanager
async def operating(postgres: EmbeddedPostgres, broker: EmbeddedBroker) -> AsyncIterator[Operated]:
    """A running spine on a fresh database and topics of its own, with its door."""
    database = database_settings(postgres.url)
    install(database)
    prefix = f"t{uuid4().hex[:8]}."
    kafka = KafkaSettings(
        bootstrap=broker.bootstrap, membership="lock", session_timeout_ms=1000, topic_prefix=prefix
    )
    await asyncio.to_thread(ensure_topics, kafka)
    spine = Spine(database, kafka, limits=QUICK)
    async with spine.running(), open_door(spine) as door:
        yield Operated(spine, door)


async def until(look: Callable[[], Awaitable[Any]], good: Callable[[Any], bool]) -> Any:
    end = asyncio.get_running_loop().time() + WITHIN_S
    while not good(seen := await look()):
        assert asyncio.get_running_loop().time() < end, f"seen last: {seen}"
        await asyncio.sleep(0.02)
    return seen


async def poisoned(spine: Spine, door: Door, brand: UUID, names: list[str]) -> list[Document]:
    """Dead letters of these things, one after the other: keys of different partitions have no order of their own."""
    spine.poison |= set(names)

    async def look() -> list[Document]:
        answer = await door.client.get(LETTERS, params={"brand": str(brand)})
        found: list[Document] = answer.json()["data"]
        return found

    found: list[Document] = []
    for number, name in enumerate(names, start=1):
        await spine.change(brand, name)
        found = await until(look, lambda seen, number=number: len(seen) >= number)
    assert [one["key"] for one in found] == [f"{brand}/{name}" for name in names]
    return found


async def post(door: Door, letter: Document, verb: str, status: int, **body: str) -> Document:
    answer = await door.client.post(f"{LETTERS}/{letter['id']}/{verb}", json={"operator": "ada", **body})
    assert answer.status_code == status, answer.text
    document: Document = answer.json()
    return document


async def ended(door: Door, letter: Document) -> Document:
    async def look() -> Document:
        found: Document = (await door.client.get(f"{LETTERS}/{letter['id']}")).json()
        return found

    found: Document = await until(look, lambda seen: seen["state"] != "replaying")
    return found
