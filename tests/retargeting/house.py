"""A collector and its consumer in this process, on the real PostgreSQL and broker; accounts is a gRPC server that
gives keys of personal data."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import grpc
import httpx
from google.protobuf.message import Message as Payload
from pydantic import SecretStr
from sqlalchemy import text

from vitrin.events import topics
from vitrin.events.envelope import Message
from vitrin.events.registry import EVENT_TYPES
from vitrin.kit.access import ReplicaDirectory, access_handler
from vitrin.kit.access.tokens import KeyKind as TokenKind
from vitrin.kit.access.tokens import Token, new_token, parse_token
from vitrin.kit.clock import system_clock, to_us
from vitrin.kit.db.migrate import migrate
from vitrin.kit.embedded.ports import free_port
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.grpc.client import channel
from vitrin.kit.grpc.server import GrpcServer
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.kit.kafka.admin import ensure_topics
from vitrin.kit.kafka.declared import load_topics
from vitrin.kit.runtime import Role, Runtime
from vitrin.kit.seal import AccountsKeys, Sealer
from vitrin.kit.settings import (
    DatabaseSettings,
    GrpcSettings,
    HttpSettings,
    KafkaSettings,
    ProcessSettings,
)
from vitrin.protos.accounts.v1 import seal_pb2, seal_pb2_grpc
from vitrin.protos.accounts.v1.access_pb2_grpc import AccessServiceStub
from vitrin.protos.accounts.v1.events_pb2 import ApiKeyChanged, BrandChanged, KeyKind, KeyMode
from vitrin.retargeting.collector.wiring import EVENTS_GROUP, Collector, spool_of
from vitrin.retargeting.consumers import storing_handler
from vitrin.retargeting.main import build_app
from vitrin.retargeting.service.storing import Storing
from vitrin.retargeting.settings import SERVICE, CollectorSettings, RetargetingSettings

TOKEN = "a-service-token-of-the-tests"
RING = "r1:" + base64.b64encode(b"r" * 32).decode()
SETTLE_S = 60.0
STOREFRONT = "https://shop.example"
Seen = TypeVar("Seen")


async def until(look: Callable[[], Awaitable[Seen]], good: Callable[[Seen], bool]) -> Seen:
    """What `look` sees once it is good."""
    end = asyncio.get_running_loop().time() + SETTLE_S
    while not good(seen := await look()):
        assert asyncio.get_running_loop().time() < end, f"seen last: {seen}"
        await asyncio.sleep(0.05)
    return seen


class MovingClock:
    """The real time plus what a test adds."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return system_clock() + self.ahead


class FreshReplica:
    def age_s(self) -> float:
        return 0.0


@dataclass
class Accounts(seal_pb2_grpc.SealServiceServicer):
    """Its part that the carrier needs: keys of people and days, until they are destroyed."""

    keys: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    asked: int = 0

    def add_to(self, server: grpc.aio.Server) -> None:
        seal_pb2_grpc.add_SealServiceServicer_to_server(self, server)

    def _key(self, whose: str) -> seal_pb2.LeasedKey:
        if whose in self.erased:
            return seal_pb2.LeasedKey(
                state=seal_pb2.KEY_STATE_DESTROYED, key_id="gone", destroyed_at_us=to_us(system_clock())
            )
        key_id, key = self.keys.setdefault(whose, (uuid4().hex, os.urandom(32)))
        return seal_pb2.LeasedKey(state=seal_pb2.KEY_STATE_LIVE, key_id=key_id, key=key)

    async def LeaseKeys(self, request: Any, context: Any) -> seal_pb2.LeaseKeysResponse:  # noqa: N802
        self.asked += 1
        by_id = {key_id: whose for whose, (key_id, _) in self.keys.items()}
        return seal_pb2.LeaseKeysResponse(
            subjects=[self._key(f"{request.brand_id} {one.subject}") for one in request.subjects],
            days=[self._key(f"{request.brand_id} {one.day}") for one in request.days],
            key_ids=[self._key(by_id[one]) for one in request.key_ids],
            good_for_s=600,
        )


@dataclass
class House:
    """`url` is the collector's while it runs."""

    database: DatabaseSettings
    kafka: KafkaSettings
    folder: Path
    accounts_port: int
    accounts: Accounts
    clock: MovingClock = field(default_factory=MovingClock)
    brand: BrandId = field(default_factory=lambda: BrandId(new_uuid()))
    settings_more: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    body_s: float = 10.0
    versions: dict[str, int] = field(default_factory=dict)
    collector: Collector | None = None
    front: Runtime | None = None

    @property
    def settings(self) -> RetargetingSettings:
        return RetargetingSettings(
            process=ProcessSettings(instance="retargeting-test", log_level="error"),
            database=self.database,
            kafka=self.kafka,
            http=HttpSettings(service=SERVICE, port=free_port()),
            grpc=GrpcSettings(service=SERVICE, service_token=SecretStr(TOKEN)),
            collector=CollectorSettings(
                spool_keys=SecretStr(RING), spool_folder=self.folder, **self.settings_more
            ),
        )

    def runtime(self, role: Role) -> Runtime:
        settings = self.settings
        return Runtime(
            service=SERVICE,
            role=role,
            clock=self.clock,
            process=settings.process,
            database=settings.database,
            kafka=settings.kafka,
        )

    @asynccontextmanager
    async def door(self) -> AsyncIterator[httpx.AsyncClient]:
        """The collector as a process of the role `api` is made, without the replica of keys beside it."""
        settings, runtime = self.settings, self.runtime("api")
        self.front = runtime
        accounts = channel(f"127.0.0.1:{self.accounts_port}", TOKEN)
        nobody = channel("127.0.0.1:1", TOKEN)  # the replica is fresh, so nobody asks
        runtime.closing(accounts.close)
        runtime.closing(nobody.close)
        directory = ReplicaDirectory(runtime.app, FreshReplica(), AccessServiceStub(nobody), self.clock)
        async with AsyncExitStack() as stack:
            spool = await stack.enter_async_context(spool_of(settings.collector, self.clock))
            collector = self.collector = Collector(
                settings.collector,
                runtime,
                spool=spool,
                directory=directory,
                accounts=accounts,
                body_s=self.body_s,
            )
            app = build_app(
                settings,
                app=runtime.app,
                worker=runtime.worker,
                access=directory,
                sealer=Sealer(AccountsKeys(accounts)),
                clock=self.clock,
                readiness={},
            )
            runtime.http(app, settings.http, outer=collector.around)
            async with _running(runtime):
                self.url = f"http://127.0.0.1:{settings.http.port}"
                async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=30) as client:
                    await _answers(client)
                    yield client

    @asynccontextmanager
    async def consumer(self) -> AsyncIterator[None]:
        """The one of a worker that stores events."""
        runtime = self.runtime("worker")
        runtime.consumer(
            group=EVENTS_GROUP,
            topics=[topics.STOREFRONT_EVENT],
            handler=storing_handler(Storing(clock=self.clock)),
        )
        async with _running(runtime):
            yield

    def message(self, topic: str, key: str, payload: Payload) -> Message:
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
            occurred_at=now,
            received_at=now,
            payload=payload.SerializeToString(),
        )

    async def hear(self, handler: Any, *messages: Message) -> None:
        """One micro-batch in one transaction, as a consumer opens it."""
        runtime = self.runtime("api")
        async with runtime.worker.write([self.brand]) as tx:
            await handler(tx, messages)
        await runtime.close()

    async def new_key(
        self,
        kind: TokenKind = "secret",
        *,
        scopes: Sequence[str] = ("events:write", "events:read"),
        mode: str = "live",
        deleted: bool = False,
    ) -> str:
        token = new_token(kind, "test" if mode == "test" else "live")
        self.versions["brand"] = self.versions.get("brand", 0) + 1
        brand = BrandChanged(
            brand_id=str(self.brand),
            version=self.versions["brand"],
            name="Holm",
            slug=f"s{self.brand}",
            storefront_url=f"{STOREFRONT}/en",
            default_currency="EUR",
            default_market="DE",
            deleted=deleted,
        )
        await self.hear(
            access_handler,
            self.message(topics.BRAND, str(self.brand), brand),
            self.message(topics.API_KEY, token.key_id, self._key(token, kind, scopes, mode)),
        )
        return token.text()

    async def revoke(self, token_text: str) -> None:
        token = parse_token(token_text)
        changed = self._key(token, token.kind, ("events:write",), token.mode, version=2)
        changed.revoked_at_us = to_us(system_clock())
        await self.hear(access_handler, self.message(topics.API_KEY, token.key_id, changed))

    def _key(
        self, token: Token, kind: str, scopes: Sequence[str], mode: str, *, version: int = 1
    ) -> ApiKeyChanged:
        return ApiKeyChanged(
            key_id=token.key_id,
            brand_id=str(self.brand),
            version=version,
            kind=KeyKind.KEY_KIND_SECRET if kind == "secret" else KeyKind.KEY_KIND_PUBLISHABLE,
            mode=KeyMode.KEY_MODE_TEST if mode == "test" else KeyMode.KEY_MODE_LIVE,
            secret_hash=token.secret_hash(),
            scopes=scopes,
            role="owner",
        )

    async def rows(self, statement: str, **params: Any) -> Sequence[Any]:
        """In a transaction of the brand, by a connection of its own."""
        runtime = self.runtime("api")
        try:
            async with runtime.worker.read([self.brand]) as tx:
                return await tx.all(text(statement), {"brand": self.brand, **params})
        finally:
            await runtime.close()

    async def stored(self) -> list[str]:
        """Event ids in the order of their arrival numbers."""
        rows = await self.rows("select event_id from events where brand_id = :brand order by arrival")
        return [row.event_id for row in rows]


async def _answers(client: httpx.AsyncClient) -> None:
    async def look() -> int:
        try:
            return (await client.get("/livez")).status_code
        except httpx.TransportError:
            return 0

    await until(look, lambda status: status == 200)


@asynccontextmanager
async def _running(runtime: Runtime) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(runtime.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def house_of(
    postgres: EmbeddedPostgres, bootstrap: str, folder: Path, *, hints: bool = False
) -> AsyncIterator[House]:
    database = DatabaseSettings(url=SecretStr(postgres.url))
    await asyncio.to_thread(migrate, database, SERVICE)
    kafka = KafkaSettings(bootstrap=bootstrap, membership="lock", session_timeout_ms=1_000)
    specs = [spec for spec in load_topics() if spec.name == topics.STOREFRONT_EVENT]
    await asyncio.to_thread(ensure_topics, kafka, specs)
    accounts = Accounts()
    settings = GrpcSettings(service="accounts", host="127.0.0.1", port=0, VITRIN_SERVICE_TOKEN=TOKEN)
    server = GrpcServer(settings, [accounts.add_to], TOKEN)
    await server.start()
    try:
        yield House(database, kafka, folder, server.port, accounts)
    finally:
        await server.stop()


def event(number: int | str, **fields: Any) -> dict[str, Any]:
    """A shopper looks at a mug; `None` leaves a field out."""
    made = {
        "event_id": f"e-{number}",
        "name": "view_item",
        "visitor_id": f"v-{number}",
        "items": [{"item_id": "mug-1", "quantity": 1, "price": 12.99}],
        "value": 12.99,
        "currency": "EUR",
        **fields,
    }
    return {name: value for name, value in made.items() if value is not None}


async def send(
    client: httpx.AsyncClient, key: str, *events: dict[str, Any], **headers: str
) -> httpx.Response:
    return await client.post(
        "/v1/events",
        content=json.dumps({"events": events}),
        headers={"Authorization": f"Bearer {key}", **headers},
    )
