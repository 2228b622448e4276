"""The shop of a test: its brand, messages as the consumers get them, a dispatcher, a sandbox, and accounts' door."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import grpc
import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from tests.support.owners import nothing_of
from tests.support.sandbox import running_sandbox
from vitrin.events import topics
from vitrin.events.envelope import Message, to_us
from vitrin.events.registry import EVENT_TYPES
from vitrin.kit.access import ACCESS_TOPICS
from vitrin.kit.access.outgoing import Outgoing
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.migrate import migrate
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.grpc.client import channel as grpc_channel
from vitrin.kit.grpc.server import GrpcServer
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.kit.settings import DatabaseSettings, GrpcSettings, HttpSettings, KafkaSettings, ProcessSettings
from vitrin.kit.state.snapshots import SnapshotServicer
from vitrin.protos.accounts.v1.access_pb2_grpc import AccessServiceStub
from vitrin.protos.accounts.v1.connection_pb2 import (
    LeaseTokenRequest,
    LeaseTokenResponse,
    ReportStateRequest,
    ReportStateResponse,
)
from vitrin.protos.accounts.v1.connection_pb2_grpc import (
    ConnectionServiceServicer,
    ConnectionServiceStub,
    add_ConnectionServiceServicer_to_server,
)
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged, ConnectionMode
from vitrin.protos.catalog.v1.events_pb2 import ItemChanged, ItemContent, ItemDeleted, Money, OfferChanged
from vitrin.shop_sync.consumers import catalog_handler, connection_handler
from vitrin.shop_sync.main import Worker, build_worker
from vitrin.shop_sync.service.catalogs import Catalogs
from vitrin.shop_sync.service.reading import Reading
from vitrin.shop_sync.service.switching import Switching
from vitrin.shop_sync.service.waking import Waker
from vitrin.shop_sync.settings import SERVICE, DispatchSettings, ShopSyncSettings

SERVICE_TOKEN = "a-service-token-of-the-tests"
SETTLE_S = 12.0
CATALOG_TOPICS = (topics.ITEM, topics.OFFER)
TABLES = (
    "replica_items, replica_offers, replica_connections, channels, channel_ids, channel_items, channel_work,"
    " attempts, hunts, timeline, lag_samples, outbox, stocks, platform_items, adoption_keys, removal_requests,"
    " removal_items, removal_work, attentions"
)


class AccountsDoor(ConnectionServiceServicer):
    """accounts' gRPC contract for tokens, spoken by a real server; the tests decide what it knows."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.reports: list[ReportStateRequest] = []

    async def LeaseToken(  # noqa: N802
        self,
        request: LeaseTokenRequest,
        context: "grpc.aio.ServicerContext[LeaseTokenRequest, LeaseTokenResponse]",
    ) -> LeaseTokenResponse:
        token = self.tokens.get(request.connection_id)
        if token is None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the connection has no valid token")
        until = to_us(datetime.now(UTC)) + 900_000_000
        return LeaseTokenResponse(access_token=token, lease_until_us=until)

    async def ReportState(  # noqa: N802
        self,
        request: ReportStateRequest,
        context: "grpc.aio.ServicerContext[ReportStateRequest, ReportStateResponse]",
    ) -> ReportStateResponse:
        self.reports.append(request)
        return ReportStateResponse()


@pytest.fixture(scope="session")
def shop_database(embedded_postgres: EmbeddedPostgres) -> DatabaseSettings:
    settings = DatabaseSettings(url=SecretStr(embedded_postgres.url))
    migrate(settings, SERVICE)
    return settings


@pytest.fixture(scope="session")
def platforms_url() -> Iterator[str]:
    with running_sandbox(quota=False, batch_latency_ms=0, polls_before_finished=0) as url:
        yield url


class FreshReplica:
    """The consumer of accounts' switches as it is while Kafka is up. A test makes it old."""

    age = 0.0

    def age_s(self) -> float:
        return self.age


@dataclass
class Shop:
    """One brand on one or more sandbox accounts, and everything that a worker of shop_sync is made of."""

    settings: ShopSyncSettings
    database: WorkerDatabase
    app: AppDatabase
    accounts: AccountsDoor
    accounts_address: str
    sandbox: httpx.AsyncClient
    brand: BrandId = field(default_factory=lambda: BrandId(new_uuid()))
    versions: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.waker = Waker()
        self.http = PlatformHttp(read_timeout_s=1.0, rate_factor=1_000)  # the sandbox counts no calls
        self.channel = grpc_channel(self.accounts_address, SERVICE_TOKEN)
        self.catalogs = Catalogs(
            http=self.http,
            accounts=ConnectionServiceStub(self.channel),
            clock=system_clock,
        )
        self.outgoing = Outgoing(self.database, FreshReplica(), AccessServiceStub(self.channel))
        self.switching = Switching(waker=self.waker, clock=system_clock)
        self.reading = Reading(database=self.app, waker=self.waker, clock=system_clock)
        self.worker = self._build(self.settings.process.instance)

    def fresh_worker(self, name: str) -> Worker:
        """Another worker process of the service with the same database."""
        return self._build(name)

    def _build(self, instance: str) -> Worker:
        process = self.settings.process.model_copy(update={"instance": instance})
        return build_worker(
            settings=self.settings.model_copy(update={"process": process}),
            database=self.database,
            catalogs=self.catalogs,
            outgoing=self.outgoing,
            waker=self.waker,
            clock=system_clock,
        )

    async def close(self) -> None:
        await self.http.close()
        await self.channel.close()

    def next_version(self, lane: str) -> int:
        self.versions[lane] = self.versions.get(lane, 0) + 1
        return self.versions[lane]

    def message(self, topic: str, key: str, payload: Any, occurred_at: datetime | None = None) -> Message:
        now = system_clock()
        name = next(name for name, kind in EVENT_TYPES.items() if isinstance(payload, kind.message))
        return Message(
            topic=topic,
            partition=0,
            offset=0,
            key=key,
            type=name,
            brand_id=self.brand,
            event_id=new_uuid(),
            occurred_at=occurred_at or now,
            received_at=now,
            payload=payload.SerializeToString(),
        )

    def content(self, item_id: str, *, version: int | None = None, **fields: Any) -> Message:
        values = {
            "title": f"Linen shirt {item_id}",
            "description": "A shirt of washed linen.",
            "link": f"https://shop.example/p/{item_id}",
            "image_link": f"https://cdn.example/{item_id}.jpg",
            "brand": "Holm",
            "condition": "new",
            "status": "active",
            **fields,
        }
        payload = ItemChanged(
            content_version=version or self.next_version(f"content {item_id}"),
            content=ItemContent(item_id=item_id, **values),
            actor="key:test",
        )
        return self.message(topics.ITEM, f"{self.brand}/{item_id}", payload)

    def offer(
        self,
        item_id: str,
        price: int = 2499,
        *,
        version: int | None = None,
        quantity: int = 5,
        availability: str = "in_stock",
        market: str = "US",
    ) -> Message:
        payload = OfferChanged(
            item_id=item_id,
            market=market,
            offer_version=version or self.next_version(f"offer {item_id}"),
            price=Money(amount_minor=price, currency="USD"),
            availability=availability,
            quantity=quantity,
            inventory_policy="deny",
            actor="key:test",
        )
        return self.message(topics.OFFER, f"{self.brand}/{item_id}/{market}", payload)

    def deleted(self, item_id: str, *, versions: tuple[int, int] | None = None) -> Message:
        content, offer = versions or (
            self.next_version(f"content {item_id}"),
            self.versions.get(f"offer {item_id}", 0),
        )
        payload = ItemDeleted(item_id=item_id, content_version=content, offer_version=offer, actor="key:test")
        return self.message(topics.ITEM, f"{self.brand}/{item_id}", payload)

    async def hear(self, *messages: Message) -> None:
        """One micro-batch, in one transaction as the consumer opens it."""
        async with self.database.write([self.brand]) as tx:
            await catalog_handler(self.worker.replicas)(tx, messages)

    async def hear_connection(self, message: ConnectionChanged) -> None:
        async with self.database.write([self.brand]) as tx:
            record = self.message(topics.CONNECTION, message.connection_id, message)
            await connection_handler(self.worker.connections)(tx, [record])

    async def connect(self, platform: str = "meta", **changes: Any) -> "Connected":
        """A new account on the sandbox, and the connection to it."""
        made = (await self.sandbox.post("/_sandbox/accounts", json={"platform": platform})).json()
        connection = str(new_uuid())
        self.accounts.tokens[connection] = made["access_token"]
        fields: dict[str, Any] = {
            "connection_id": connection,
            "brand_id": str(self.brand),
            "version": 1,
            "platform": platform,
            "mode": ConnectionMode.CONNECTION_MODE_SANDBOX,
            "base_url": made["base_url"],
            "external_ids": made["external_ids"],
            "state": "active",
            "market": "US",
            "language": "en",
            "id_template": "{id}",
            "currency": "USD",
            **changes,
        }
        message = ConnectionChanged(**fields)
        await self.hear_connection(message)
        channels = await self.reading.channels(self.brand, sandbox_only=True)
        channel = next(one for one, _ in channels if str(one.connection_id) == connection)
        return Connected(self, message, channel.channel_id, made["access_token"])

    @asynccontextmanager
    async def dispatching(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.worker.dispatcher.run(stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def rows(self, statement: str, **params: Any) -> Sequence[Any]:
        async with self.database.read([self.brand]) as tx:
            return await tx.all(text(statement), {"brand": self.brand, **params})

    async def log(self, platform: str = "meta") -> list[dict[str, Any]]:
        answer = await self.sandbox.get("/_sandbox/log", params={"platform": platform, "limit": 1000})
        entries: list[dict[str, Any]] = answer.json()["entries"]
        return entries

    async def sends(self, platform: str = "meta") -> list[dict[str, Any]]:
        return [entry for entry in await self.log(platform) if entry["method"] == "POST"]

    async def fault(self, **spec: Any) -> None:
        (await self.sandbox.post("/_sandbox/faults", json=spec)).raise_for_status()


@dataclass
class Connected:
    """A connection, its channel and what the platform holds."""

    shop: Shop
    message: ConnectionChanged
    channel_id: UUID
    token: str

    async def change(self, **fields: Any) -> None:
        fresh = ConnectionChanged()
        fresh.CopyFrom(self.message)
        fresh.version += 1
        for name, value in fields.items():
            setattr(fresh, name, value)
        self.message = fresh
        await self.shop.hear_connection(fresh)

    async def states(self) -> dict[str, str]:
        rows = await self.shop.rows(
            "select item_id, state from channel_items where brand_id = :brand and channel_id = :channel",
            channel=self.channel_id,
        )
        return {row.item_id: row.state for row in rows}

    async def codes(self, item_id: str) -> list[str]:
        rows = await self.shop.rows(
            "select reasons from channel_items where brand_id = :brand and channel_id = :channel"
            " and item_id = :item",
            channel=self.channel_id,
            item=item_id,
        )
        return [reason["code"] for reason in rows[0].reasons]

    async def until(self, expected: dict[str, str]) -> None:
        try:
            await until(self.states, expected)
        except AssertionError as error:
            rows = await self.shop.rows(
                "select item_id, state, reasons from channel_items where brand_id = :brand"
                " and channel_id = :channel and reasons <> '[]'",
                channel=self.channel_id,
            )
            error.add_note("\n".join(map(str, rows)))
            raise

    async def shows(self) -> dict[str, dict[str, Any]]:
        """What the platform holds, by the platform's item id."""
        catalog = self.message.external_ids["catalog_id"]
        answer = await self.shop.sandbox.get(f"/_sandbox/state/{self.message.platform}/{catalog}")
        return {item["item_id"]: item for item in answer.json()["items"]}

    async def channel(self) -> Any:
        channel, _ = await self.shop.reading.channel(self.shop.brand, self.channel_id, sandbox_only=True)
        return channel

    async def stock(self) -> str:
        """What the channel knows of the items that its catalog held before."""
        return str((await self.channel()).stock)

    async def named(self) -> set[str]:
        """Items that go by an id on the platform."""
        rows = await self.shop.rows(
            "select item_id from channel_ids where brand_id = :brand and channel_id = :channel",
            channel=self.channel_id,
        )
        return {row.item_id for row in rows}


async def until(look: Callable[[], Awaitable[Any]], expected: Any) -> None:
    """Waits for an exact answer; a wrong one after SETTLE_S fails with what was there instead."""
    deadline = asyncio.get_running_loop().time() + SETTLE_S
    while (found := await look()) != expected:
        if asyncio.get_running_loop().time() > deadline:
            assert found == expected
        await asyncio.sleep(0.02)


@pytest.fixture
async def shop(shop_database: DatabaseSettings, platforms_url: str) -> AsyncIterator[Shop]:
    grpc_settings = GrpcSettings(
        service=SERVICE, host="127.0.0.1", port=0, service_token=SecretStr(SERVICE_TOKEN)
    )
    door = AccountsDoor()
    database = WorkerDatabase(settings=shop_database, service=SERVICE, clock=system_clock)
    snapshots = SnapshotServicer(database, nothing_of([*ACCESS_TOPICS, topics.CONNECTION, *CATALOG_TOPICS]))
    server = GrpcServer(
        grpc_settings,
        [lambda it: add_ConnectionServiceServicer_to_server(door, it), snapshots.add_to],
        SERVICE_TOKEN,
    )
    await server.start()
    settings = ShopSyncSettings(
        process=ProcessSettings(instance="shop_sync-test"),
        database=shop_database,
        kafka=KafkaSettings(),
        http=HttpSettings(service=SERVICE),
        grpc=grpc_settings,
        dispatch=DispatchSettings(window_ms=20, look_first_ms=100, alone_again_ms=100),
    )
    app = AppDatabase(settings=shop_database, service=SERVICE, clock=system_clock)
    async with httpx.AsyncClient(base_url=platforms_url, timeout=20) as sandbox:
        await sandbox.post("/_sandbox/reset")
        made = Shop(settings, database, app, door, f"127.0.0.1:{server.port}", sandbox)
        try:
            yield made
        finally:
            async with database.write() as tx:
                await tx.execute(text("delete from channel_work"))
            await made.close()
            await app.close()
            await database.close()
            await server.stop()
