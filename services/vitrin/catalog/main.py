"""The composition root: builds the process from its settings, runs it until `stop`, drains and closes."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, Literal

from fastapi import FastAPI

from vitrin import catalog
from vitrin.catalog.api import imports_router, items_router, offers_router
from vitrin.catalog.consumers import access_consumer
from vitrin.catalog.import_loop import ImportLoop
from vitrin.catalog.rpc import CatalogServicer
from vitrin.catalog.service_imports import ImportService
from vitrin.catalog.service_items import ItemService
from vitrin.catalog.service_places import BrandSource, BrandWords, Places
from vitrin.catalog.service_uploads import UploadService
from vitrin.catalog.settings import CatalogSettings
from vitrin.kit.access import KeyDirectory, ReplicaDirectory, brand_defaults
from vitrin.kit.clock import Clock, system_clock
from vitrin.kit.consumer.loop import Consumer
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.session import ReadSession
from vitrin.kit.errors import Unavailable
from vitrin.kit.grpc.client import channel as grpc_channel
from vitrin.kit.grpc.server import GrpcServer
from vitrin.kit.http.app import Readiness, create_app
from vitrin.kit.http.server import serve
from vitrin.kit.ids import BrandId
from vitrin.kit.kafka.client import Probe
from vitrin.kit.kafka.hints import HintListener
from vitrin.kit.outbox.relay import Relay
from vitrin.kit.outbox.wake import Wake
from vitrin.protos.accounts.v1.access_pb2_grpc import AccessServiceStub

Role = Literal["api", "worker", "all"]
SERVICE: Final = "catalog"
VERSION: Final = "0.1.0"
DRAIN_S: Final = 20.0
IMPORTS_AT_ONCE: Final = 2
"""Of different brands: a large file of one does not hold up the brand next door."""


async def run(
    settings: CatalogSettings, *, role: Role = "all", stop: asyncio.Event, clock: Clock = system_clock
) -> None:
    """`api` answers requests; `worker` carries events and applies imports; `all` does both."""
    works, answers = role in {"worker", "all"}, role in {"api", "all"}
    wake = Wake(relay_is_here=works)
    app_database = AppDatabase(settings=settings.database, service=SERVICE, clock=clock, wake=wake)
    database = WorkerDatabase(settings=settings.database, service=SERVICE, clock=clock, wake=wake)
    token = settings.grpc.service_token.get_secret_value()
    accounts = grpc_channel(settings.grpc.accounts_address, token)
    probe, hints = Probe(settings.kafka), HintListener(settings.database)
    access = access_consumer(
        database=database, settings=settings.kafka, probe=probe, hints=hints, clock=clock
    )
    directory = ReplicaDirectory(app_database, access, AccessServiceStub(accounts), clock)
    brands = brand_source(directory)
    places = Places(brands=brands, clock=clock)
    staged = [asyncio.Event() for _ in range(IMPORTS_AT_ONCE)]
    readiness: dict[str, Readiness] = {"database": app_database.ping, "access": _caught_up(access)}
    loops: list[Coroutine[Any, Any, None]] = [access.run(stop)]
    if works:
        relay = Relay(
            service=SERVICE,
            owner=settings.process.instance,
            database=database,
            database_settings=settings.database,
            kafka_settings=settings.kafka,
            probe=probe,
            wake=wake,
            clock=clock,
        )
        loops.append(relay.run(stop))
        loops += [
            loop.run(stop)
            for loop in import_loops(
                settings, database=database, places=places, brands=brands, clock=clock, staged=staged
            )
        ]
    if answers:

        def upload_staged() -> None:
            for event in staged:
                event.set()

        app = build_app(
            settings,
            readiness=readiness,
            access=directory,
            items=ItemService(database=app_database, places=places, clock=clock),
            imports=ImportService(database=app_database),
            uploads=UploadService(database=app_database, places=places, clock=clock, wake=upload_staged),
        )
        loops.append(serve(app, settings.http, stop))
        loops.append(_grpc(settings, token, CatalogServicer(database), stop))
    listening = asyncio.create_task(hints.run())
    try:
        await _together(loops, stop)
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await accounts.close()
        await probe.close()
        await app_database.close()
        await database.close()


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
) -> FastAPI:
    limits = settings.imports
    return create_app(
        title="Vitrin catalog",
        description=catalog.__doc__ or "",
        version=VERSION,
        settings=settings.http,
        routers=[items_router, offers_router, imports_router],
        readiness=readiness,
        state={"access": access, "items": items, "imports": imports, "uploads": uploads},
        body_limits={
            "/v1/items:batch": limits.batch_bytes_max,
            "/v1/offers:batch": limits.batch_bytes_max,
            "/v1/imports": limits.import_bytes_max,
        },
    )


async def _grpc(
    settings: CatalogSettings, token: str, servicer: CatalogServicer, stop: asyncio.Event
) -> None:
    server = GrpcServer(settings.grpc, [servicer.add_to], token)
    await server.start()
    try:
        await stop.wait()
    finally:
        await server.stop()


def _caught_up(consumer: Consumer) -> Readiness:
    async def check() -> None:
        if consumer.age_s() == float("inf"):
            raise Unavailable(f"{consumer.group} has not read its topics to their end yet.")

    return check


async def _together(loops: Sequence[Coroutine[Any, Any, None]], stop: asyncio.Event) -> None:
    """Runs all; when one ends or breaks, all are stopped, and what broke is raised."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        _, late = await asyncio.wait(tasks, timeout=DRAIN_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.result()
