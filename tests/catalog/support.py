"""A migrated catalog database, brands with a place in it, and the outbox as events."""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import psycopg
from google.protobuf.message import Message as ProtobufMessage
from pydantic import SecretStr

from vitrin.catalog.import_loop import ImportLoop
from vitrin.catalog.main import brand_source, build_app
from vitrin.catalog.orders.reading import OrderReading
from vitrin.catalog.service_fetches import FetchService
from vitrin.catalog.service_imports import ImportService
from vitrin.catalog.service_items import ItemService
from vitrin.catalog.service_places import Places
from vitrin.catalog.service_uploads import UploadService
from vitrin.catalog.settings import CatalogSettings, ImportSettings
from vitrin.catalog.shop.desk import ShopDesk
from vitrin.catalog.shop.locations import LocationService
from vitrin.catalog.shop.settings import ShopSettings
from vitrin.catalog.tables import TABLES
from vitrin.events.registry import EVENT_TYPES
from vitrin.kit.access import ReplicaDirectory
from vitrin.kit.access.tokens import KeyMode, new_token
from vitrin.kit.brand_data import BrandExport
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.migrate import migrate
from vitrin.kit.db.session import ReadSession
from vitrin.kit.db.urls import database_name
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.grpc.client import channel
from vitrin.kit.http import serve
from vitrin.kit.idempotency import Once
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.kit.ops.desk import MessageDesk
from vitrin.kit.outbound import OutboundSettings
from vitrin.kit.seal import AccountsKeys, Sealer
from vitrin.kit.settings import (
    DatabaseSettings,
    GrpcSettings,
    HttpSettings,
    KafkaSettings,
    ProcessSettings,
)
from vitrin.protos.accounts.v1.access_pb2_grpc import AccessServiceStub
from vitrin.protos.kit.v1.outbox_pb2 import OutboxBatch

NOW = system_clock().replace(microsecond=0)
"""Today: the outbox has partitions for the days around it only."""
ACTOR = "key:test"
RING = "k1:" + base64.b64encode(b"s" * 32).decode()


@dataclass(frozen=True)
class Words:
    default_currency: str = "EUR"
    default_market: str = "DE"
    storefront_url: str = "https://shop.example"


async def words_of_any_brand(_tx: ReadSession, _brand: BrandId) -> Words:
    return Words()


def new_brand() -> BrandId:
    return BrandId(new_uuid())


def migrated(postgres: EmbeddedPostgres) -> DatabaseSettings:
    settings = DatabaseSettings(VITRIN_DATABASE_URL=postgres.url)
    migrate(settings, "catalog")
    return settings


def admin_rows(settings: DatabaseSettings, query: str, *params: object) -> list[tuple[object, ...]]:
    """Rows as the superuser sees them: past row-level security."""
    url = settings.url.get_secret_value().replace("/postgres?", f"/{database_name('catalog')}?")
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query, params).fetchall()


def admin_execute(settings: DatabaseSettings, statement: str, *params: object) -> int:
    """Rows changed, as the superuser."""
    url = settings.url.get_secret_value().replace("/postgres?", f"/{database_name('catalog')}?")
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement, params).rowcount


def emptied(settings: DatabaseSettings) -> None:
    """Takes away what the tests before have left, for a test that sees the rows of all brands, or whose relay carries
    every event that waits: files of 20,000 items were imported here."""
    admin_execute(
        settings,
        """
        do $$ begin
            execute (
                select 'truncate ' || string_agg(c.oid::regclass::text, ', ') || ' cascade'
                from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'brand_id'
                where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
            );
        end $$
        """,
    )


@dataclass(frozen=True)
class Published:
    """One event of the outbox, decoded."""

    row: int
    type: str
    key: str
    message: ProtobufMessage


def published(settings: DatabaseSettings, brand: BrandId) -> list[Published]:
    """Events of a brand in the order of the outbox."""
    found: list[Published] = []
    rows: Sequence[tuple[object, ...]] = admin_rows(
        settings, "select id, payload from outbox where brand_id = %s order by id", brand
    )
    for row_id, payload in rows:
        assert isinstance(payload, bytes)
        assert isinstance(row_id, int)
        for event in OutboxBatch.FromString(payload).events:
            message = EVENT_TYPES[event.type].message.FromString(event.payload)
            found.append(Published(row_id, event.type, event.key, message))
    return found


class AlwaysFresh:
    """Age of a replica that the test has filled itself."""

    def age_s(self) -> float:
        return 0.0


def add_key(
    settings: DatabaseSettings,
    brand: BrandId,
    *,
    scopes: Sequence[str] = ("catalog:read", "catalog:write"),
    mode: KeyMode = "live",
    has_live_connection: bool = False,
) -> str:
    """A brand with a key in the replica, as accounts' events would put them there."""
    token = new_token("secret", mode)
    admin_execute(
        settings,
        "insert into access_brands values (%s, 1, 'Shop', %s, 'https://shop.example', 'EUR', 'DE', 'de',"
        " 'Europe/Berlin', %s, false) on conflict do nothing",
        brand,
        str(brand),
        has_live_connection,
    )
    admin_execute(
        settings,
        "insert into access_keys values (%s, %s, 1, 'secret', %s, %s, %s, 'owner', null, null)",
        token.key_id,
        brand,
        mode,
        token.secret_hash(),
        list(scopes),
    )
    return token.text()


@dataclass
class Service:
    """The catalog as a process has it: its HTTP door on a real socket, and the parts behind it."""

    settings: CatalogSettings
    url: str
    app_database: AppDatabase
    worker_database: WorkerDatabase
    places: Places

    @property
    def database_settings(self) -> DatabaseSettings:
        return self.settings.database

    def client(self, token: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url, headers={"authorization": f"Bearer {token}"}, timeout=30, trust_env=False
        )

    def loop(self, owner: str = "test", **limits: object) -> ImportLoop:
        return ImportLoop(
            database=self.worker_database,
            places=self.places,
            brands=words_of_any_brand,
            clock=system_clock,
            settings=self.settings.imports.model_copy(update=limits),
            owner=owner,
            wake=asyncio.Event(),
        )


@asynccontextmanager
async def serving(
    postgres: EmbeddedPostgres, *, sealer: Sealer | None = None, **limits: object
) -> AsyncIterator[Service]:
    """`limits` replace those of ImportSettings. `sealer` None: accounts is away."""
    database_settings = migrated(postgres)
    settings = CatalogSettings(
        process=ProcessSettings(),
        database=database_settings,
        kafka=KafkaSettings(),
        http=HttpSettings(service="catalog"),
        grpc=GrpcSettings(service="catalog", VITRIN_SERVICE_TOKEN="t" * 16),
        imports=ImportSettings().model_copy(update=limits),
        shops=ShopSettings(spool_keys=SecretStr(RING)),
        outbound=OutboundSettings(allow="127.0.0.0/8"),
    )
    app_database = AppDatabase(settings=database_settings, service="catalog", clock=system_clock)
    worker_database = WorkerDatabase(settings=database_settings, service="catalog", clock=system_clock)
    accounts = channel("127.0.0.1:1", "t" * 16)
    sealer = sealer or Sealer(AccountsKeys(accounts))
    directory = ReplicaDirectory(app_database, AlwaysFresh(), AccessServiceStub(accounts), system_clock)
    places = Places(brands=brand_source(directory), clock=system_clock)
    app = build_app(
        settings,
        readiness={"database": app_database.ping},
        access=directory,
        items=ItemService(database=app_database, places=places, clock=system_clock),
        imports=ImportService(database=app_database),
        uploads=UploadService(database=app_database, places=places, clock=system_clock, wake=lambda: None),
        fetches=FetchService(
            database=app_database,
            places=places,
            clock=system_clock,
            policy=settings.outbound.policy,
            wake=lambda: None,
        ),
        shops=ShopDesk(database=app_database, clock=system_clock, moved=lambda: None, tend=lambda: None),
        desk=MessageDesk(database=worker_database, clock=system_clock),
        once=Once(app_database, system_clock),
        export=BrandExport("catalog", app_database, TABLES, sealer=sealer),
        shop_locations=LocationService(database=app_database, places=places, clock=system_clock),
        orders=OrderReading(database=app_database, sealer=sealer, clock=system_clock),
    )
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app, settings.http, stop, on_listening=port.set_result))
    try:
        url = f"http://127.0.0.1:{await port}"
        yield Service(settings, url, app_database, worker_database, places)
    finally:
        stop.set()
        await task
        await accounts.close()
        await app_database.close()
        await worker_database.close()
