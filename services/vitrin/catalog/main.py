"""The composition root: builds the process from its settings, runs it until `stop`, drains and closes."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final

from fastapi import FastAPI

from vitrin import catalog
from vitrin.catalog.api import (
    imports_router,
    items_router,
    offers_router,
    orders_router,
    shop_locations_router,
    shops_router,
)
from vitrin.catalog.fetch_loop import FetchLoop, fetcher
from vitrin.catalog.import_loop import ImportLoop
from vitrin.catalog.leaving import Leaving
from vitrin.catalog.orders.keeping import OrderKeeping
from vitrin.catalog.orders.reading import OrderReading
from vitrin.catalog.rpc import CatalogServicer
from vitrin.catalog.service_fetches import FetchService
from vitrin.catalog.service_imports import ImportService
from vitrin.catalog.service_items import ItemService
from vitrin.catalog.service_places import BrandSource, BrandWords, Places
from vitrin.catalog.service_uploads import UploadService
from vitrin.catalog.settings import CatalogSettings
from vitrin.catalog.shop.desk import ShopDesk
from vitrin.catalog.shop.keeping import ShopKeeping
from vitrin.catalog.shop.locations import LocationService
from vitrin.catalog.shop.schemas import describe_door
from vitrin.catalog.shop.wiring import Shops
from vitrin.catalog.state import SOURCES
from vitrin.catalog.tables import TABLES
from vitrin.kit.access import (
    ACCESS_TOPICS,
    KeyDirectory,
    ReplicaDirectory,
    access_handler,
    brand_defaults,
)
from vitrin.kit.access.uses import KeyUses, told_to_accounts
from vitrin.kit.brand_data import BrandExport, export_router
from vitrin.kit.clock import Clock, system_clock
from vitrin.kit.consumer.age import AgeWatch
from vitrin.kit.consumer.loop import Consumer
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.session import ReadSession
from vitrin.kit.grpc.client import channel as grpc_channel
from vitrin.kit.grpc.server import GrpcServer
from vitrin.kit.http.app import Readiness, create_app
from vitrin.kit.idempotency import Once
from vitrin.kit.ids import BrandId
from vitrin.kit.ops.desk import MessageDesk
from vitrin.kit.ops.messages import router as messages_router
from vitrin.kit.runtime import Role, Runtime
from vitrin.kit.seal import AccountsKeys, Sealer
from vitrin.protos.accounts.v1.access_pb2_grpc import AccessServiceStub

SERVICE: Final = "catalog"
VERSION: Final = "0.1.0"
IMPORTS_AT_ONCE: Final = 2
"""Of different brands: a large file of one does not hold up the brand next door."""
FETCHES_AT_ONCE: Final = 8
"""Of different brands, beside the imports: a slow server holds up no file that is here. They mostly wait."""


async def run(
    settings: CatalogSettings, *, role: Role = "all", stop: asyncio.Event, clock: Clock = system_clock
) -> None:
    """`api` answers requests; `worker` carries events and applies imports; `all` does both."""
    runtime = Runtime(
        service=SERVICE,
        role=role,
        clock=clock,
        process=settings.process,
        database=settings.database,
        kafka=settings.kafka,
    )
    token = settings.grpc.service_token.get_secret_value()
    accounts = grpc_channel(settings.grpc.accounts_address, token)
    runtime.closing(accounts.close)
    runtime.owns(*SOURCES)
    access = runtime.consumer(
        group="catalog.access",
        topics=ACCESS_TOPICS,
        handler=access_handler,
        watched=True,
        owners=dict.fromkeys(ACCESS_TOPICS, accounts),
    )
    directory = ReplicaDirectory(runtime.app, access, AccessServiceStub(accounts), clock)
    brands = brand_source(directory)
    places = Places(brands=brands, clock=clock)
    staged = [asyncio.Event() for _ in range(IMPORTS_AT_ONCE)]
    addresses = [asyncio.Event() for _ in range(FETCHES_AT_ONCE)]
    sealer = Sealer(AccountsKeys(accounts))
    shops = Shops(settings.shops, runtime, accounts=accounts, places=places, sealer=sealer)
    if runtime.is_worker:
        loops = import_loops(
            settings, database=runtime.worker, places=places, brands=brands, clock=clock, staged=staged
        )
        for number, loop in enumerate(loops):
            runtime.loop(f"imports-{number}", loop.run)
        fetch_addresses(settings, runtime, clock=clock, addresses=addresses, staged=staged)
        runtime.loop("shop_keeping", ShopKeeping(database=runtime.worker, clock=clock).run)
        runtime.loop(
            "order_keeping",
            OrderKeeping(
                database=runtime.worker,
                sealer=sealer,
                clock=clock,
                orders_keep=timedelta(days=settings.imports.orders_keep_days),
            ).run,
        )
        shops.work(instance=settings.process.instance)
    items = ItemService(database=runtime.app, places=places, clock=clock)
    runtime.purges(TABLES, first=Leaving(items).delete_items)
    async with AsyncExitStack() as spools:
        if runtime.is_api:
            app = _app(
                settings,
                runtime,
                access=access,
                directory=directory,
                places=places,
                shops=shops,
                sealer=sealer,
                wakes=(staged, addresses),
            )
            uses = KeyUses(told_to_accounts(AccessServiceStub(accounts)), clock)
            app.state.key_uses = uses
            runtime.loop("key_uses", uses.run)
            runtime.http(app, settings.http, outer=await shops.door(spools))
            servicers = [CatalogServicer(runtime.worker).add_to, runtime.snapshots.add_to]
            runtime.grpc(GrpcServer(settings.grpc, servicers, token))
        await runtime.run(stop)


def _app(
    settings: CatalogSettings,
    runtime: Runtime,
    *,
    access: Consumer | AgeWatch,
    directory: ReplicaDirectory,
    places: Places,
    shops: Shops,
    sealer: Sealer,
    wakes: tuple[Sequence[asyncio.Event], Sequence[asyncio.Event]],
) -> FastAPI:
    """`wakes`: the loops that apply what was staged, and those that fetch addresses."""
    clock, (staged, addresses) = runtime.clock, wakes

    def upload_staged() -> None:
        for event in staged:
            event.set()

    def address_given() -> None:
        for event in addresses:
            event.set()

    return build_app(
        settings,
        readiness={
            "database": runtime.database_ready,
            "topics": runtime.topics_ready(),
            "access": runtime.caught_up(access),
        },
        access=directory,
        items=ItemService(database=runtime.app, places=places, clock=clock),
        imports=ImportService(database=runtime.app),
        uploads=UploadService(database=runtime.app, places=places, clock=clock, wake=upload_staged),
        fetches=FetchService(
            database=runtime.app,
            places=places,
            clock=clock,
            policy=settings.outbound.policy,
            wake=address_given,
        ),
        shops=shops.desk(),
        desk=MessageDesk(database=runtime.worker, clock=clock),
        once=Once(runtime.app, clock),
        export=BrandExport(SERVICE, runtime.app, TABLES, sealer=sealer),
        shop_locations=LocationService(database=runtime.app, places=places, clock=clock),
        orders=OrderReading(database=runtime.app, sealer=sealer, clock=clock),
    )


def import_loops(
    settings: CatalogSettings,
    *,
    database: WorkerDatabase,
    places: Places,
    brands: BrandSource,
    clock: Clock,
    staged: Sequence[asyncio.Event],
) -> list[ImportLoop]:
    """One loop per event of `staged`, which wakes it."""
    return [
        ImportLoop(
            database=database,
            places=places,
            brands=brands,
            clock=clock,
            settings=settings.imports,
            owner=f"{settings.process.instance}/{number}",
            wake=event,
        )
        for number, event in enumerate(staged)
    ]


def fetch_addresses(
    settings: CatalogSettings,
    runtime: Runtime,
    *,
    clock: Clock,
    addresses: Sequence[asyncio.Event],
    staged: Sequence[asyncio.Event],
) -> None:
    """One loop per event of `addresses`, which wakes it, behind one guard."""
    outbound = fetcher(settings.imports, settings.outbound.policy)
    runtime.closing(outbound.close)
    for number, wake in enumerate(addresses):
        loop = FetchLoop(
            database=runtime.worker,
            outbound=outbound,
            clock=clock,
            settings=settings.imports,
            owner=f"{settings.process.instance}/fetch-{number}",
            wake=wake,
            staged=staged,
        )
        runtime.loop(f"fetches-{number}", loop.run)


def brand_source(directory: ReplicaDirectory) -> BrandSource:
    """The replica in the caller's own transaction; what accounts has told of a brand newer than the replica."""

    async def words(tx: ReadSession, brand: BrandId) -> BrandWords:
        return await brand_defaults(tx, brand) or await directory.brand_defaults(brand)

    return words


def build_app(
    settings: CatalogSettings,
    *,
    readiness: dict[str, Readiness],
    access: KeyDirectory,
    items: ItemService,
    imports: ImportService,
    uploads: UploadService,
    fetches: FetchService,
    shops: ShopDesk,
    desk: MessageDesk,
    once: Once,
    export: BrandExport,
    shop_locations: LocationService,
    orders: OrderReading,
) -> FastAPI:
    limits = settings.imports
    app = create_app(
        title="Vitrin catalog",
        description=catalog.__doc__ or "",
        version=VERSION,
        settings=settings.http,
        routers=[
            items_router,
            offers_router,
            imports_router,
            orders_router,
            shop_locations_router,
            shops_router,
            export_router(),
            messages_router,
        ],
        readiness=readiness,
        state={
            "access": access,
            "operator_token": settings.process.operator,
            "items": items,
            "imports": imports,
            "uploads": uploads,
            "fetches": fetches,
            "shops": shops,
            "message_desk": desk,
            "once": once,
            "export": export,
            "shop_locations": shop_locations,
            "orders": orders,
        },
        body_limits={
            "/v1/items:batch": limits.batch_bytes_max,
            "/v1/offers:batch": limits.batch_bytes_max,
            "/v1/imports": limits.import_bytes_max,
        },
    )
    describe_door(app)
    return app
