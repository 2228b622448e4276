"""The way in from shops on the real PostgreSQL, sockets and a real spool folder; accounts is a gRPC server."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import grpc
import httpx
from pydantic import SecretStr
from sqlalchemy import text
from starlette.responses import PlainTextResponse

from tests.catalog.shop.corner import CornerShop, corner_spec, headers
from tests.catalog.support import RING, admin_execute, admin_rows, migrated, new_brand, words_of_any_brand
from vitrin.catalog.service_places import Place, Places
from vitrin.catalog.shop.connections import connection_handler
from vitrin.catalog.shop.handlers import Effects, Products
from vitrin.catalog.shop.parts import DoorParts, Wakes, WorkerParts, cipher_of, spool_of
from vitrin.catalog.shop.secret_book import SecretBook
from vitrin.catalog.shop.settings import ShopSettings
from vitrin.catalog.shop.sources import Sources
from vitrin.catalog.shop.subscribing import marks_of
from vitrin.catalog.shop.values import Applied, Shop
from vitrin.events import topics
from vitrin.events.envelope import Message
from vitrin.kit.clock import system_clock, to_us
from vitrin.kit.crypto import TokenCipher
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.grpc.client import channel
from vitrin.kit.grpc.server import GrpcServer
from vitrin.kit.http.server import serve
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.ids import BrandId, ConnectionId, new_uuid
from vitrin.kit.settings import DatabaseSettings, GrpcSettings, HttpSettings
from vitrin.platforms.shop import ShopProduct, ShopSpec, StockLevel
from vitrin.protos.accounts.v1 import connection_pb2, connection_pb2_grpc
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged, ConnectionMode

TOKEN = "a-service-token-of-the-tests"
SETTLE_S = 60.0
SECRET = "the-secret-of-the-corner"
Seen = TypeVar("Seen")


async def until(look: Callable[[], Awaitable[Seen]], good: Callable[[Seen], bool]) -> Seen:
    """What `look` sees once it is good."""
    end = asyncio.get_running_loop().time() + SETTLE_S
    while not good(seen := await look()):
        assert asyncio.get_running_loop().time() < end, f"seen last: {seen}"
        await asyncio.sleep(0.05)
    return seen


@dataclass
class Accounts(connection_pb2_grpc.ConnectionServiceServicer):
    """Its part that shops need: secrets, tokens, and what it is told."""

    shops: dict[UUID, tuple[BrandId, str, tuple[str, ...]]] = field(default_factory=dict)
    platform: str = "corner"
    shop_id: str = "shop"
    reported: list[str] = field(default_factory=list)
    asked: int = 0

    def add_to(self, server: grpc.aio.Server) -> None:
        connection_pb2_grpc.add_ConnectionServiceServicer_to_server(self, server)

    async def LeaseToken(self, request: Any, context: Any) -> connection_pb2.LeaseTokenResponse:  # noqa: N802
        later = system_clock() + timedelta(hours=1)
        return connection_pb2.LeaseTokenResponse(access_token="t", lease_until_us=to_us(later))

    async def ReportState(self, request: Any, context: Any) -> connection_pb2.ReportStateResponse:  # noqa: N802
        if request.state == "uninstalled":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such state")
        self.reported.append(f"{request.state}: {request.code}")
        return connection_pb2.ReportStateResponse()

    async def LeaseShopSecrets(  # noqa: N802
        self, request: Any, context: Any
    ) -> AsyncIterator[connection_pb2.LeaseShopSecretsResponse]:
        self.asked += 1
        wanted = {UUID(one) for one in request.connection_ids} or set(self.shops)
        shops = [
            connection_pb2.ShopSecrets(
                brand_id=str(brand),
                connection_id=str(connection),
                platform=self.platform,
                external_ids={self.shop_id: shop},
                secrets=secrets,
            )
            for connection, (brand, shop, secrets) in self.shops.items()
            if connection in wanted
        ]
        yield connection_pb2.LeaseShopSecretsResponse(shops=shops, good_for_s=600)


class CornerApplying:
    """An `Applying` whose effect is a row: how often a product was applied, and as what it stands."""

    async def apply_product(
        self,
        tx: WriteSession,
        shop: Shop,
        product: ShopProduct,
        levels: Sequence[StockLevel],
        *,
        place: Place,
        received_at: datetime,
    ) -> Applied:
        row = await tx.one_or_none(
            text(
                "select updated_at, title from corner.effects where brand_id = :b and product_id = :p for update"
            ),
            {"b": shop.brand, "p": product.product_id},
        )
        if row is not None and row.updated_at >= product.updated_at:
            return Applied(unchanged=1) if row.updated_at == product.updated_at else Applied(stale=True)
        await tx.execute(
            text(
                "insert into corner.effects values (:b, :p, :t, :u, 1) on conflict (brand_id, product_id) do update"
                " set title = :t, updated_at = :u, times = effects.times + 1"
            ),
            {"b": shop.brand, "p": product.product_id, "t": product.title, "u": product.updated_at},
        )
        return Applied(created=int(row is None), updated=int(row is not None))

    async def delete_product(
        self,
        tx: WriteSession,
        shop: Shop,
        product_id: str,
        *,
        at: datetime,
        place: Place,
        received_at: datetime,
    ) -> Applied:
        done = await tx.execute(
            text("delete from corner.effects where brand_id = :b and product_id = :p"),
            {"b": shop.brand, "p": product_id},
        )
        return Applied(deleted=done.rowcount)

    async def apply_stock(
        self,
        tx: WriteSession,
        shop: Shop,
        levels: Sequence[StockLevel],
        *,
        place: Place,
        received_at: datetime,
    ) -> Applied:
        (level,) = levels
        return await self._stock(tx, shop, level, times=1)

    async def apply_stocks(
        self,
        tx: WriteSession,
        shop: Shop,
        levels: Sequence[StockLevel],
        *,
        place: Place,
        received_at: datetime,
    ) -> dict[str, Applied]:
        """Times are counted in thousands here, so that a test sees which way they went."""
        return {one.inventory_item_id: await self._stock(tx, shop, one, times=1_000) for one in levels}

    async def _stock(self, tx: WriteSession, shop: Shop, level: StockLevel, *, times: int) -> Applied:
        done = await tx.execute(
            text(
                "insert into corner.effects values (:b, :p, :t, :u, :n) on conflict (brand_id, product_id)"
                " do update set title = :t, updated_at = :u, times = effects.times + :n where effects.updated_at < :u"
            ),
            {
                "b": shop.brand,
                "p": level.inventory_item_id,
                "t": str(100 // (level.available or 0)),
                "u": level.updated_at,
                "n": times,
            },
        )
        return Applied(updated=1) if done.rowcount else Applied(stale=True)


async def known(tx: ReadSession, shop: Shop, *, after: str, limit: int) -> list[str]:
    rows = await tx.all(
        text(
            "select product_id from corner.effects where brand_id = :b and product_id > :a"
            " order by product_id limit :l"
        ),
        {"b": shop.brand, "a": after, "l": limit},
    )
    return [row.product_id for row in rows]


def prepared(postgres: EmbeddedPostgres) -> DatabaseSettings:
    settings = migrated(postgres)
    admin_execute(
        settings, "create schema if not exists corner"
    )  # the service's own tables are declared, all of them
    admin_execute(
        settings,
        'create table if not exists corner.effects (brand_id uuid, product_id text collate "C", title text,'
        " updated_at timestamptz, times integer, primary key (brand_id, product_id))",
    )
    admin_execute(settings, "grant usage on schema corner to public")
    admin_execute(settings, "grant all on corner.effects to public")
    return settings


@dataclass
class House:
    database: DatabaseSettings
    folder: Path
    accounts: Accounts = field(default_factory=Accounts)
    shop: CornerShop = field(default_factory=CornerShop)
    brand: BrandId = field(default_factory=new_brand)
    connection: ConnectionId = field(default_factory=lambda: ConnectionId(new_uuid()))
    accounts_port: int = 0
    url: str = ""
    worker: WorkerDatabase | None = None
    parts: WorkerParts | None = None
    book: SecretBook | None = None
    version: int = 0
    own_secret: bool = True
    spec: ShopSpec | None = None
    """Another kind of shop than the corner's; it is the corner shop that answers for it."""
    address: str = "corner.example"
    effects_of: Callable[[WorkerDatabase, grpc.aio.Channel], Effects] | None = None
    more_servicers: Sequence[Callable[[grpc.aio.Server], None]] = ()
    settings_more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.spec is not None:
            self.accounts.platform = self.spec.name
            self.accounts.shop_id = self.spec.required_external_ids[0]

    @property
    def path(self) -> str:
        return self.path_of(self.connection, self.accounts.platform)

    @staticmethod
    def path_of(connection: UUID, platform: str = "corner") -> str:
        """With the mark that the address of every connection has."""
        mark = marks_of(TokenCipher.parse(RING), ConnectionId(connection))[0]
        return f"/v1/webhooks/{platform}/{connection}/{mark}"

    @property
    def settings(self) -> ShopSettings:
        return ShopSettings(
            spool_keys=SecretStr(RING),
            spool_folder=self.folder,
            **{"public_url": "http://127.0.0.1:1", **self.settings_more},
        )

    @asynccontextmanager
    async def accounts_up(self) -> AsyncIterator[None]:
        grpc_settings = GrpcSettings(
            service="accounts", host="127.0.0.1", port=self.accounts_port, VITRIN_SERVICE_TOKEN=TOKEN
        )
        server = GrpcServer(grpc_settings, [self.accounts.add_to, *self.more_servicers], TOKEN)
        await server.start()
        self.accounts_port = server.port
        try:
            yield
        finally:
            await server.stop()

    def connect_secrets(self, *secrets: str, connection: ConnectionId | None = None) -> None:
        self.accounts.shops[connection or self.connection] = (
            self.brand,
            self.address,
            secrets or (SECRET,),
        )

    @asynccontextmanager
    async def running(self, *, door: bool = True, work: bool = True) -> AsyncIterator[None]:
        """A process of the role `all`, or a part of it."""
        async with AsyncExitStack() as stack:
            stop = asyncio.Event()
            spec = self.spec or corner_spec(self.shop, own_secret=self.own_secret)
            specs, clock, wakes, cipher = {spec.name: spec}, system_clock, Wakes(), cipher_of(self.settings)
            database = WorkerDatabase(settings=self.database, service="catalog", clock=clock)
            self.worker = database
            stack.push_async_callback(database.close)
            accounts = channel(f"127.0.0.1:{self.accounts_port}", TOKEN)
            stack.push_async_callback(accounts.close)
            stub = connection_pb2_grpc.ConnectionServiceStub(accounts)
            book = self.book = SecretBook(stub)
            http = await stack.enter_async_context(PlatformHttp())
            loops: list[Callable[[asyncio.Event], Awaitable[None]]] = [book.run]
            places = Places(brands=words_of_any_brand, clock=clock)
            self.parts = WorkerParts(
                settings=self.settings,
                instance="catalog-test",
                database=database,
                specs=specs,
                sources=Sources(http=http, accounts=stub, specs=specs, clock=clock),
                book=book,
                effects=self.effects_of(database, accounts)
                if self.effects_of is not None
                else Effects(Products(CornerApplying(), known)),
                places=places,
                cipher=cipher,
                wakes=wakes,
                clock=clock,
            )
            self.handler = connection_handler(specs, clock=clock, changed=self.parts.connection_changed)
            if work:
                loops += [loop for _, loop in self.parts.loops]
            if door:
                spool = await stack.enter_async_context(spool_of(self.settings, clock))
                front = DoorParts(
                    spool=spool,
                    database=database,
                    specs=specs,
                    book=book,
                    cipher=cipher,
                    wakes=wakes,
                    clock=clock,
                )
                loops.append(front.mover.run)
                port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
                app = front.around(PlainTextResponse("the application"))
                loops.append(
                    lambda stop: serve(
                        app, HttpSettings(service="catalog"), stop, on_listening=port.set_result
                    )
                )
            tasks = [asyncio.ensure_future(loop(stop)) for loop in loops]
            try:
                if door:
                    self.url = f"http://127.0.0.1:{await port}"
                yield
            finally:
                stop.set()
                for result in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(result, Exception):
                        raise result

    async def connect(self, *, state: str = "active", deleted: bool = False, mode: str = "sandbox") -> None:
        """As accounts' event says it."""
        self.version += 1
        changed = ConnectionChanged(
            connection_id=str(self.connection),
            brand_id=str(self.brand),
            version=self.version,
            platform=self.accounts.platform,
            mode=ConnectionMode.CONNECTION_MODE_LIVE
            if mode == "live"
            else ConnectionMode.CONNECTION_MODE_SANDBOX,
            external_ids={self.accounts.shop_id: self.address},
            state=state,
            market="DE",
            deleted=deleted,
        )
        now = system_clock()
        message = Message(
            topic=topics.CONNECTION,
            partition=0,
            offset=self.version,
            key=str(self.connection),
            type="accounts.connection_changed",
            event_id=new_uuid(),
            brand_id=self.brand,
            payload=changed.SerializeToString(),
            occurred_at=now,
            received_at=now,
        )
        assert self.worker is not None
        async with self.worker.write([self.brand]) as tx:
            await self.handler(tx, [message])

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False)

    async def informed(self) -> None:
        """The secrets are known."""
        assert self.book is not None
        await self.book.complete.wait()

    async def post(
        self,
        client: httpx.AsyncClient,
        body: bytes,
        *,
        delivery_id: str,
        topic: str = "products",
        secret: str = SECRET,
        path: str | None = None,
        shop: str = "",
    ) -> httpx.Response:
        sent = headers(body, secret=secret, delivery_id=delivery_id, topic=topic, shop=shop)
        return await client.post(path or self.path, content=body, headers=sent)

    def rows(self, query: str, *params: object) -> list[tuple[Any, ...]]:
        return admin_rows(self.database, query, *params)

    async def states(self) -> dict[str, str]:
        """State of each delivery."""
        found = await asyncio.to_thread(
            self.rows, "select delivery_id, state from shop_deliveries where brand_id = %s", self.brand
        )
        return {str(name): str(state) for name, state in found}

    async def effects(self) -> dict[str, tuple[str, int]]:
        found = await asyncio.to_thread(
            self.rows, "select product_id, title, times from corner.effects where brand_id = %s", self.brand
        )
        return {name: (title, times) for name, title, times in found}

    async def shop_state(self) -> tuple[str, str]:
        with suppress(IndexError):
            found = await asyncio.to_thread(
                self.rows, "select state, webhooks from shops where connection_id = %s", self.connection
            )
            return found[0][0], found[0][1]
        return "", ""

    async def loads(self) -> list[tuple[str, str]]:
        found = await asyncio.to_thread(
            self.rows,
            "select kind, state from shop_loads where connection_id = %s order by created_at",
            self.connection,
        )
        return [(kind, state) for kind, state in found]


@asynccontextmanager
async def house_of(database: DatabaseSettings, folder: Path, **more: Any) -> AsyncIterator[House]:
    """With accounts up."""
    house = House(database, folder / os.urandom(4).hex(), **more)
    async with house.accounts_up():
        yield house
