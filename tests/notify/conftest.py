"""The shop of a test: a brand with keys on the real PostgreSQL, messages as the consumers get them, a dispatcher."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from tests.kit.serving import serving
from tests.notify.post_office import PostOffice, opened
from vitrin.events import topics
from vitrin.events.envelope import Message
from vitrin.events.registry import EVENT_TYPES
from vitrin.kit.access import ReplicaDirectory, access_handler
from vitrin.kit.access.tokens import new_token
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.migrate import migrate
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.grpc.client import channel as grpc_channel
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.kit.outbound import Outbound
from vitrin.kit.outbound.settings import OutboundSettings
from vitrin.kit.settings import DatabaseSettings, GrpcSettings, HttpSettings, KafkaSettings, ProcessSettings
from vitrin.notify.consumers import news_handler
from vitrin.notify.consumers_attention import attention_handler
from vitrin.notify.domain.schedule import Schedule
from vitrin.notify.main import Wakers, Worker, build_app, build_worker
from vitrin.notify.service.waking import Waker
from vitrin.notify.settings import (
    SERVICE,
    NotificationSettings,
    NotifySettings,
    SmtpSettings,
    WebhookSettings,
)
from vitrin.protos.accounts.v1.access_pb2_grpc import AccessServiceStub
from vitrin.protos.accounts.v1.events_pb2 import (
    ApiKeyChanged,
    BrandChanged,
    ConnectionChanged,
    ConnectionMode,
    KeyKind,
    KeyMode,
)
from vitrin.protos.shop_sync.v1.events_pb2 import ItemStatusChanged, Reason, RemovalCause, RemovalHeld

SERVICE_TOKEN = "a-service-token-of-the-tests"
SETTLE_S = 30.0
SCOPES = ("webhooks:read", "webhooks:write", "notifications:read", "notifications:write")
ADDRESS = "ops@shop.example"
QUICK = Schedule(
    pauses_s=(0.05, 0.05, 0.1, 0.1),
    try_for=timedelta(seconds=60),
    rest_from=50,
)
"""Five tries, a moment apart."""


class MovingClock:
    """The real time plus what a test adds."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return system_clock() + self.ahead


class FreshReplica:
    def age_s(self) -> float:
        return 0.0


@pytest.fixture(scope="session")
def post_office() -> Iterator[PostOffice]:
    with opened() as office:
        yield office


@pytest.fixture(scope="session")
def notify_settings(embedded_postgres: EmbeddedPostgres, post_office: PostOffice) -> NotifySettings:
    settings = NotifySettings(
        process=ProcessSettings(instance="notify-test"),
        database=DatabaseSettings(url=SecretStr(embedded_postgres.url)),
        kafka=KafkaSettings(),
        http=HttpSettings(service=SERVICE),
        grpc=GrpcSettings(service=SERVICE, service_token=SecretStr(SERVICE_TOKEN)),
        webhooks=WebhookSettings(
            secret_keys=SecretStr("n1:" + base64.b64encode(b"n" * 32).decode()), timeout_s=2
        ),
        outbound=OutboundSettings(allow="127.0.0.1"),
        smtp=SmtpSettings(
            host="127.0.0.1",
            port=post_office.port,
            tls="none",
            sender="Vitrin <vitrin@house.example>",
            timeout_s=5,
        ),
        notifications=NotificationSettings(slack_hosts="127.0.0.1"),
    )
    assert migrate(settings.database, SERVICE).startswith("notify_")
    return settings


@pytest.fixture(scope="session")
async def databases(notify_settings: NotifySettings) -> AsyncIterator[tuple[AppDatabase, WorkerDatabase]]:
    app = AppDatabase(settings=notify_settings.database, service=SERVICE, clock=system_clock)
    worker = WorkerDatabase(settings=notify_settings.database, service=SERVICE, clock=system_clock)
    yield app, worker
    await app.close()
    await worker.close()


@dataclass
class Shop:
    """One brand with a key, and everything that a worker of notify is made of. No test sees another's brand, but a
    dispatcher of one test delivers for all of them: each cleans up the queues before it begins."""

    settings: NotifySettings
    app: AppDatabase
    database: WorkerDatabase
    http: httpx.AsyncClient
    outbound: Outbound
    wakers: Wakers
    clock: MovingClock
    schedule: Schedule = QUICK
    brand: BrandId = field(default_factory=lambda: BrandId(new_uuid()))
    key: str = ""
    versions: dict[str, int] = field(default_factory=dict)

    def worker(self, name: str = "notify-0", **webhooks: Any) -> Worker:
        settings = self.settings.model_copy(
            update={
                "process": self.settings.process.model_copy(update={"instance": name}),
                "webhooks": self.settings.webhooks.model_copy(update=webhooks),
            }
        )
        return build_worker(
            settings=settings,
            database=self.database,
            outbound=self.outbound,
            wakers=self.wakers,
            clock=self.clock,
            schedule=self.schedule,
        )

    @asynccontextmanager
    async def delivering(self, **webhooks: Any) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.worker(**webhooks).dispatcher.run(stop))
        try:
            yield
        finally:
            stop.set()
            await task

    @asynccontextmanager
    async def posting(self, **notifications: Any) -> AsyncIterator[None]:
        """A poster at work."""
        chosen = self.settings.notifications.model_copy(update=notifications)
        stop = asyncio.Event()
        poster = self.with_settings(notifications=chosen).worker().poster
        task = asyncio.create_task(poster.run(stop))
        try:
            yield
        finally:
            stop.set()
            await task

    def with_settings(self, **groups: Any) -> "Shop":
        return replace(self, settings=self.settings.model_copy(update=groups))

    def message(
        self, topic: str, key: str, payload: Any, *, event_id: Any = None, type_: str = ""
    ) -> Message:
        now = system_clock()
        name = type_ or next(name for name, kind in EVENT_TYPES.items() if isinstance(payload, kind.message))
        return Message(
            topic=topic,
            partition=0,
            offset=0,
            key=key,
            type=name,
            brand_id=self.brand,
            event_id=event_id or new_uuid(),
            occurred_at=now,
            received_at=now,
            payload=payload.SerializeToString(),
        )

    def status(
        self, item: str, state: str = "live", *, version: int | None = None, code: str = ""
    ) -> Message:
        self.versions[item] = version or self.versions.get(item, 0) + 1
        payload = ItemStatusChanged(
            channel_id="ch-1",
            platform="meta",
            item_id=item,
            platform_item_id=item,
            state=state,
            version=self.versions[item],
            reasons=[Reason(code=code, field="title", message="Too long.", fix="Shorten it.")]
            if code
            else [],
        )
        return self.message(topics.ITEM_STATUS, f"{self.brand}/ch-1/{item}", payload)

    def held(self, request: str = "r-1") -> Message:
        payload = RemovalHeld(
            request_id=request,
            channel_id="ch-1",
            platform="meta",
            removals=50,
            passed=20,
            limit=20,
            shown=200,
            percent=10,
            causes=[RemovalCause(actor="key:abc", items=50)],
            opened_at_us=1_750_000_000_000_000,
            summary="50 items wait.",
        )
        return self.message(topics.ALERT, f"{self.brand}/ch-1", payload)

    def connection(
        self,
        state: str,
        *,
        version: int,
        deleted: bool = False,
        error: str = "",
        platform: str = "meta",
        shop: str = "",
    ) -> Message:
        payload = ConnectionChanged(
            connection_id="co-1",
            brand_id=str(self.brand),
            version=version,
            platform=platform,
            external_ids={"shop": shop} if shop else {},
            mode=ConnectionMode.CONNECTION_MODE_LIVE,
            state=state,
            deleted=deleted,
            last_error=error,
        )
        return self.message(topics.CONNECTION, "co-1", payload)

    async def hear(self, *messages: Message) -> None:
        """One micro-batch, in one transaction as the consumer opens it."""
        async with self.database.write([self.brand]) as tx:
            await news_handler(self.worker().intake)(tx, messages)

    async def heed(self, *messages: Message) -> None:
        """The same for what needs a person."""
        async with self.database.write([self.brand]) as tx:
            await attention_handler(self.worker().attending)(tx, messages)

    async def call(self, method: str, path: str, body: object = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {more.pop('key', self.key)}", **more.pop("headers", {})}
        return await self.http.request(method, path, json=body, headers=headers, **more)

    async def ok(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        answer = await self.call(method, path, body, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def endpoint(self, url: str, **fields: Any) -> Any:
        """Created; `secret` is its secret."""
        return await self.ok("POST", "/v1/webhook_endpoints", {"url": url, **fields})

    async def events(self, **params: Any) -> list[dict[str, Any]]:
        page = await self.ok("GET", "/v1/webhook_events", params={"order": "oldest", "limit": 500, **params})
        data: list[dict[str, Any]] = page["data"]
        return data

    async def deliveries(self) -> list[tuple[str, int]]:
        """State and tries, in the order of the events."""
        return [(one["state"], one["tries"]) for event in await self.events() for one in event["deliveries"]]

    async def attempts(self, endpoint: Any) -> list[dict[str, Any]]:
        """The oldest first."""
        page = await self.ok("GET", f"/v1/webhook_endpoints/{endpoint['id']}/attempts", params={"limit": 500})
        return list(reversed(page["data"]))

    async def move_to(self, endpoint: Any, url: str) -> None:
        """Past the check at the door, as a name whose owner points it elsewhere."""
        async with self.database.write([self.brand]) as tx:
            await tx.execute(
                text("update webhook_endpoints set url = :url where endpoint_id = :id"),
                {"url": url, "id": endpoint["id"]},
            )

    async def rows(self, statement: str, **params: Any) -> Sequence[Any]:
        async with self.database.read([self.brand]) as tx:
            return await tx.all(text(statement), {"brand": self.brand, **params})

    async def new_key(self, *, mode: str = "live", scopes: Sequence[str] = SCOPES, live: bool = False) -> str:
        """Of this brand. `live`: the brand has a live connection."""
        token = new_token("secret", "test" if mode == "test" else "live")
        self.versions["brand"] = self.versions.get("brand", 0) + 1
        brand = BrandChanged(
            brand_id=str(self.brand),
            version=self.versions["brand"],
            name="Holm",
            slug=f"s{self.brand}",
            has_live_connection=live,
        )
        made = ApiKeyChanged(
            key_id=token.key_id,
            brand_id=str(self.brand),
            version=1,
            kind=KeyKind.KEY_KIND_SECRET,
            mode=KeyMode.KEY_MODE_TEST if mode == "test" else KeyMode.KEY_MODE_LIVE,
            secret_hash=token.secret_hash(),
            scopes=scopes,
            role="owner",
        )
        async with self.database.write([self.brand]) as tx:
            await access_handler(
                tx,
                [
                    self.message(topics.BRAND, str(self.brand), brand),
                    self.message(topics.API_KEY, token.key_id, made),
                ],
            )
        return token.text()


async def until(look: Callable[[], Awaitable[Any]], expected: Any, *, within_s: float = SETTLE_S) -> None:
    """Waits for an exact answer; a wrong one after `within_s` fails with what was there instead."""
    deadline = asyncio.get_running_loop().time() + within_s
    while (found := await look()) != expected:
        if asyncio.get_running_loop().time() > deadline:
            assert found == expected
        await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def wakers() -> Wakers:
    return Wakers(Waker(), Waker())


@pytest.fixture(scope="session")
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture(autouse=True)
def clock_stands_right(clock: MovingClock) -> None:
    clock.ahead = timedelta()


@pytest.fixture(scope="session")
async def http(
    notify_settings: NotifySettings,
    databases: tuple[AppDatabase, WorkerDatabase],
    outbound: Outbound,
    wakers: Wakers,
    clock: MovingClock,
) -> AsyncIterator[httpx.AsyncClient]:
    channel = grpc_channel("127.0.0.1:1", SERVICE_TOKEN)  # nobody there: the replica is fresh, so nobody asks
    directory = ReplicaDirectory(databases[0], FreshReplica(), AccessServiceStub(channel), clock)
    app = build_app(
        notify_settings,
        app=databases[0],
        worker=databases[1],
        access=directory,
        outbound=outbound,
        wakers=wakers,
        clock=clock,
        readiness={},
    )
    async with serving(app, notify_settings.http) as client:
        yield client
    await channel.close()


@pytest.fixture(scope="session")
async def outbound(notify_settings: NotifySettings) -> AsyncIterator[Outbound]:
    async with Outbound(notify_settings.outbound.policy, purpose="webhook") as outbound:
        yield outbound


@dataclass
class Parts:
    """What all shops of a session share."""

    settings: NotifySettings
    app: AppDatabase
    database: WorkerDatabase
    outbound: Outbound


@pytest.fixture(scope="session")
async def parts(
    notify_settings: NotifySettings, databases: tuple[AppDatabase, WorkerDatabase], outbound: Outbound
) -> Parts:
    return Parts(notify_settings, *databases, outbound)


@pytest.fixture
async def make_shop(
    parts: Parts, http: httpx.AsyncClient, wakers: Wakers, clock: MovingClock
) -> Callable[[], Awaitable[Shop]]:
    async with parts.database.write() as tx:
        await tx.execute(
            text("update webhook_queues set due_at = null, claim_id = null, claimed_until = null")
        )
        await tx.execute(
            text("update notification_queues set due_at = null, claim_id = null, claimed_until = null")
        )

    async def make() -> Shop:
        shop = Shop(
            settings=parts.settings,
            app=parts.app,
            database=parts.database,
            http=http,
            outbound=parts.outbound,
            wakers=wakers,
            clock=clock,
        )
        shop.key = await shop.new_key()
        return shop

    return make


@pytest.fixture
async def shop(make_shop: Callable[[], Awaitable[Shop]]) -> Shop:
    return await make_shop()


@pytest.fixture
async def other(make_shop: Callable[[], Awaitable[Shop]]) -> Shop:
    return await make_shop()
