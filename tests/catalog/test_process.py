"""The whole process on the real PostgreSQL and the real broker: a key arrives, a file goes in, events come out."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from tests.catalog.support import RING, emptied, migrated, new_brand
from tests.support.owners import nothing_of, owner_of
from vitrin.catalog.main import run
from vitrin.catalog.settings import CatalogSettings, ImportSettings
from vitrin.catalog.shop.settings import ShopSettings
from vitrin.events import topics
from vitrin.events.envelope import Event, Message
from vitrin.kit.access import ACCESS_TOPICS
from vitrin.kit.access.tokens import Token, new_token
from vitrin.kit.clock import system_clock
from vitrin.kit.consumer.loop import Consumer
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.embedded.broker import EmbeddedBroker
from vitrin.kit.embedded.ports import free_port
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.ids import BrandId
from vitrin.kit.kafka.admin import ensure_topics
from vitrin.kit.kafka.client import Probe
from vitrin.kit.kafka.hints import HintListener
from vitrin.kit.settings import DatabaseSettings, GrpcSettings, HttpSettings, KafkaSettings, ProcessSettings
from vitrin.protos.accounts.v1 import events_pb2

ROWS = 1_500


@pytest.fixture
async def settings(
    embedded_postgres: EmbeddedPostgres, embedded_broker: EmbeddedBroker, tmp_path: Path
) -> AsyncIterator[CatalogSettings]:
    """With accounts' snapshots: of a house without brands."""
    kafka = KafkaSettings(
        VITRIN_KAFKA_BOOTSTRAP=embedded_broker.bootstrap,
        VITRIN_KAFKA_MEMBERSHIP="lock",
        VITRIN_KAFKA_TOPIC_PREFIX="catalog_process.",
    )
    await asyncio.to_thread(ensure_topics, kafka)
    database = migrated(embedded_postgres)
    emptied(database)
    worker = WorkerDatabase(settings=database, service="catalog", clock=system_clock)
    async with owner_of(nothing_of([*ACCESS_TOPICS, topics.CONNECTION]), worker, token="t" * 16) as accounts:
        yield settings_of(database, kafka, f"127.0.0.1:{accounts.port}", tmp_path)
    await worker.close()


def settings_of(
    database: DatabaseSettings, kafka: KafkaSettings, accounts: str, spool: Path
) -> CatalogSettings:
    return CatalogSettings(
        process=ProcessSettings(instance="catalog-test"),
        database=database,
        kafka=kafka,
        http=HttpSettings(service="catalog", port=free_port()),
        grpc=GrpcSettings(
            service="catalog",
            port=0,
            VITRIN_SERVICE_TOKEN="t" * 16,
            VITRIN_ACCOUNTS_GRPC=accounts,
        ),
        imports=ImportSettings(import_poll_s=60),
        shops=ShopSettings(spool_keys=SecretStr(RING), spool_folder=spool),
    )


async def publish_access(settings: CatalogSettings, brand: BrandId, token: Token) -> None:
    """What accounts publishes of a new brand and its key; the catalog's own relay carries it here."""
    now = datetime.now(UTC)
    changed = events_pb2.BrandChanged(
        brand_id=str(brand),
        version=1,
        name="Shop",
        slug=str(brand),
        storefront_url="https://shop.example",
        default_currency="EUR",
        default_market="DE",
        language="de",
        time_zone="Europe/Berlin",
    )
    key = events_pb2.ApiKeyChanged(
        key_id=token.key_id,
        brand_id=str(brand),
        version=1,
        kind=events_pb2.KEY_KIND_SECRET,
        mode=events_pb2.KEY_MODE_LIVE,
        secret_hash=token.secret_hash(),
        scopes=["catalog:read", "catalog:write"],
        role="owner",
    )
    database = AppDatabase(settings=settings.database, service="catalog", clock=system_clock)
    async with database.write(brand) as tx:
        for kind, event_key, message in (
            ("accounts.brand_changed", str(brand), changed),
            ("accounts.api_key_changed", token.key_id, key),
        ):
            tx.publish(
                Event.of(
                    key=event_key,
                    type=kind,
                    brand_id=brand,
                    message=message,
                    occurred_at=now,
                    received_at=now,
                )
            )
    await database.close()


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await what():
            await asyncio.sleep(0.05)


async def test_from_the_first_key_to_events_on_the_topics(settings: CatalogSettings) -> None:
    brand, token, stop = new_brand(), new_token("secret", "live"), asyncio.Event()
    running = asyncio.create_task(run(settings, role="all", stop=stop))
    received: list[Message] = []

    async def keep(_tx: WriteSession, messages: object) -> None:
        assert isinstance(messages, list | tuple)
        received.extend(message for message in messages if message.brand_id == brand)

    database = WorkerDatabase(settings=settings.database, service="catalog", clock=system_clock)
    probe = Probe(settings.kafka)
    reader = Consumer(
        group="catalog.test",
        topics=[topics.ITEM, topics.OFFER],
        handler=keep,
        database=database,
        settings=settings.kafka,
        probe=probe,
        hints=HintListener(settings.database),
        clock=system_clock,
    )
    reading = asyncio.create_task(reader.run(stop))
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{settings.http.port}",
        headers={"authorization": f"Bearer {token.text()}"},
        trust_env=False,
    ) as client:

        async def ready() -> bool:
            assert not running.done(), running.result()
            try:
                return (await client.get("/readyz")).status_code == 200
            except httpx.ConnectError:
                return False

        async def knows_the_key() -> bool:
            return (await client.get("/v1/items")).status_code == 200

        await until(ready)
        await publish_access(settings, brand, token)
        await until(knows_the_key)
        rows = "".join(f"i{number},Item {number},1.00 EUR\n" for number in range(ROWS))
        answer = await client.post("/v1/imports", content="id,title,price\n" + rows)
        assert answer.status_code == 202, answer.text

        async def done() -> bool:
            found = await client.get(f"/v1/imports/{answer.json()['id']}")
            return bool(found.json()["state"] == "done")

        async def all_arrived() -> bool:
            return len(received) >= 2 * ROWS

        await until(done)
        await until(all_arrived)
        exposition = (await client.get("/metrics")).text
        assert 'vitrin_catalog_imports_total{state="done"}' in exposition
        assert 'vitrin_catalog_import_rows_total{outcome="created"}' in exposition
    stop.set()
    await asyncio.wait_for(asyncio.gather(running, reading), 30)
    await probe.close()
    await database.close()
    assert Counter(message.type for message in received) == {
        "catalog.item_changed": ROWS,
        "catalog.offer_changed": ROWS,
    }
    assert {message.key for message in received if message.topic == topics.ITEM} == {
        f"{brand}/i{number}" for number in range(ROWS)
    }
