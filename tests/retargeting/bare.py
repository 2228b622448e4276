"""The door alone, without PostgreSQL, Kafka and accounts: one key is known, the spool lies on any disk given."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.retargeting.house import RING
from vitrin.kit.access import Principal
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.http.rate_limit import Quota
from vitrin.kit.ids import BrandId, KeyId, new_uuid
from vitrin.kit.seal import SpoolSeal
from vitrin.kit.settings import DatabaseSettings
from vitrin.kit.spool import Spool, SpoolFiles
from vitrin.retargeting.collector import wire
from vitrin.retargeting.collector.door import DoorParts, EventDoor
from vitrin.retargeting.collector.keys import BrandOfKey, DoorKeys
from vitrin.retargeting.collector.packing import open_from_spool
from vitrin.retargeting.collector.recent import RecentIds
from vitrin.retargeting.collector.tally import Tally
from vitrin.retargeting.collector.wiring import spool_of
from vitrin.retargeting.settings import SERVICE, CollectorSettings

KEY = "vk_live_abcdefghijklmnop_" + "s" * 43


class OneKey:
    """KeyDirectory."""

    def __init__(self) -> None:
        self.principal = Principal(
            brand_id=BrandId(new_uuid()),
            key_id=KeyId("abcdefghijklmnop"),
            kind="secret",
            mode="live",
            role="owner",
            scopes=frozenset({"events:write"}),
        )

    async def authenticate(self, token: str) -> Principal:
        assert token == KEY
        return self.principal


async def _no_origins(caller: Principal) -> BrandOfKey:
    return BrandOfKey(())


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """The application behind the door."""
    raise AssertionError(scope["path"])


def settings_of(folder: Path) -> CollectorSettings:
    return CollectorSettings(spool_keys=SecretStr(RING), spool_folder=folder, spool_bytes_max=2**30)


@asynccontextmanager
async def bare_door(
    folder: Path, *, files: SpoolFiles | None = None, app: ASGIApp = nothing
) -> AsyncIterator[tuple[EventDoor, Spool]]:
    """Its counts go nowhere. On the way out what was offered is made durable, where the disk can."""
    nowhere = DatabaseSettings(url=SecretStr("postgresql://nobody@127.0.0.1:1/nothing"))
    database = WorkerDatabase(settings=nowhere, service=SERVICE, clock=system_clock)
    async with spool_of(settings_of(folder), system_clock, files) as spool:
        parts = DoorParts(
            keys=DoorKeys(directory=OneKey(), look=_no_origins, folder=folder, clock=system_clock),
            spool=spool,
            seal=SpoolSeal.parse(RING),
            recent=RecentIds(),
            tally=Tally(database=database, clock=system_clock),
            quota=Quota(requests_max=10**9, window_s=60),
            clock=system_clock,
        )
        yield EventDoor(app, parts), spool
    await database.close()


async def call(door: ASGIApp, events: Sequence[dict[str, Any]]) -> tuple[int, Any]:
    """One request, as the server hands it over."""
    body, said = json.dumps({"events": events}).encode(), list[Message]()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/events",
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [
            (b"authorization", f"Bearer {KEY}".encode()),
            (b"content-length", str(len(body)).encode()),
        ],
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        said.append(message)

    await door(scope, receive, send)
    return said[0]["status"], json.loads(said[1]["body"])


async def ids_in(spool: Spool) -> list[str]:
    """Of the accepted events in a spool, as the carrier reads them."""
    found: list[str] = []
    reader, seal = spool.reader("kafka"), SpoolSeal.parse(RING)
    while (batch := await reader.read(wait=False)).records:
        for record in batch.records:
            taken, body = open_from_spool(seal, record.payload)
            events = wire.decode(body).events
            indices = taken.indices if taken.indices is not None else range(len(events))
            found += [event.event_id for index in indices if (event := events[index]) is not None]
    return found
