"""The composition root: builds the process from its settings, runs it until `stop`, drains and closes."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from fastapi import FastAPI

from vitrin import shop_sync
from vitrin.events import topics
from vitrin.kit.access import ACCESS_TOPICS, ReplicaDirectory, access_handler
from vitrin.kit.clock import Clock, system_clock
from vitrin.kit.consumer.loop import Consumer, Handler
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.errors import Unavailable
from vitrin.kit.grpc.client import channel as grpc_channel
from vitrin.kit.grpc.server import GrpcServer
from vitrin.kit.http.app import Readiness, create_app
from vitrin.kit.http.server import serve
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.kafka.client import Probe
from vitrin.kit.kafka.hints import HintListener
from vitrin.kit.outbox.relay import Relay
from vitrin.kit.outbox.wake import Wake
from vitrin.protos.accounts.v1.access_pb2_grpc import AccessServiceStub
from vitrin.protos.accounts.v1.connection_pb2_grpc import ConnectionServiceStub
from vitrin.shop_sync import api
from vitrin.shop_sync.consumers import catalog_handler, connection_handler
from vitrin.shop_sync.domain.values import Claim
from vitrin.shop_sync.service.backfill import Backfill
from vitrin.shop_sync.service.catalogs import Catalogs
from vitrin.shop_sync.service.connections import Connections
from vitrin.shop_sync.service.desired import Desires
from vitrin.shop_sync.service.dispatcher import Dispatcher
from vitrin.shop_sync.service.outcomes import Outcomes
from vitrin.shop_sync.service.reading import Reading
from vitrin.shop_sync.service.replicas import Replicas
from vitrin.shop_sync.service.session import Pace, Session
from vitrin.shop_sync.service.waking import Waker
from vitrin.shop_sync.settings import SERVICE, ShopSyncSettings

Role = Literal["api", "worker", "all"]
VERSION: Final = "0.1.0"
DRAIN_S: Final = 20.0


@dataclass(slots=True)
class Worker:
    """What the loops of a worker are made of."""

    replicas: Replicas
    connections: Connections
    dispatcher: Dispatcher


def build_worker(
    *,
    settings: ShopSyncSettings,
    database: WorkerDatabase,
    catalogs: Catalogs,
    waker: Waker,
    clock: Clock,
) -> Worker:
    dispatch = settings.dispatch
    desires = Desires(catalogs)
    look_first = timedelta(milliseconds=dispatch.look_first_ms)
    outcomes = Outcomes(database=database, clock=clock, look_first=look_first)
    backfill = Backfill(desires=desires, outcomes=outcomes, clock=clock)
    pace = Pace(
        window=timedelta(milliseconds=dispatch.window_ms),
        batch_items_max=dispatch.batch_items_max,
        verdict_timeout=timedelta(seconds=dispatch.verdict_timeout_s),
    )

    def session(claim: Claim) -> Session:
        return Session(
            claim=claim,
            database=database,
            catalogs=catalogs,
            backfill=backfill,
            outcomes=outcomes,
            pace=pace,
            clock=clock,
        )

    dispatcher = Dispatcher(
        worker=settings.process.instance,
        database=database,
        make_session=session,
        clock=clock,
        channels_max=dispatch.channels_max,
    )
    waker.listen(dispatcher.wake)
    return Worker(
        replicas=Replicas(desires=desires, waker=waker, clock=clock),
        connections=Connections(catalogs=catalogs, waker=waker, clock=clock),
        dispatcher=dispatcher,
    )


async def run(
    settings: ShopSyncSettings, *, role: Role = "all", stop: asyncio.Event, clock: Clock = system_clock
) -> None:
    """`api` answers requests; `worker` follows topics and talks to platforms; `all` does both."""
    works, answers = role in {"worker", "all"}, role in {"api", "all"}
    wake = Wake(relay_is_here=works)
    app_database = AppDatabase(settings=settings.database, service=SERVICE, clock=clock, wake=wake)
    database = WorkerDatabase(settings=settings.database, service=SERVICE, clock=clock, wake=wake)
    token = settings.grpc.service_token.get_secret_value()
    accounts = grpc_channel(settings.grpc.accounts_address, token)
    http = PlatformHttp()
    probe, hints, waker = Probe(settings.kafka), HintListener(settings.database), Waker()
    catalogs = Catalogs(http=http, accounts=ConnectionServiceStub(accounts), clock=clock)

    def consumer(group: str, names: Sequence[str], handler: Handler) -> Consumer:
        return Consumer(
            group=f"{SERVICE}.{group}",
            topics=names,
            handler=handler,
            database=database,
            settings=settings.kafka,
            probe=probe,
            hints=hints,
            clock=clock,
        )

    access = consumer("access", ACCESS_TOPICS, access_handler)
    loops: list[Coroutine[Any, Any, None]] = [access.run(stop)]
    readiness: dict[str, Readiness] = {"database": app_database.ping, "access": _caught_up(access)}
    if works:
        worker = build_worker(
            settings=settings, database=database, catalogs=catalogs, waker=waker, clock=clock
        )
        catalog = consumer("replica", [topics.ITEM, topics.OFFER], catalog_handler(worker.replicas))
        connections = consumer("connections", [topics.CONNECTION], connection_handler(worker.connections))
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
        readiness |= {"replica": _caught_up(catalog), "connections": _caught_up(connections)}
        loops += [loop.run(stop) for loop in (catalog, connections, relay, worker.dispatcher)]
    if answers:
        directory = ReplicaDirectory(app_database, access, AccessServiceStub(accounts), clock)
        reading = Reading(database=app_database, waker=waker, clock=clock)
        loops.append(serve(_app(settings, readiness, directory, reading), settings.http, stop))
        loops.append(_grpc(settings, token, stop))
    listening = asyncio.create_task(hints.run())
    try:
        await _together(loops, stop)
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await http.close()
        await accounts.close()
        await probe.close()
        await app_database.close()
        await database.close()


def _app(
    settings: ShopSyncSettings,
    readiness: dict[str, Readiness],
    directory: ReplicaDirectory,
    reading: Reading,
) -> FastAPI:
    return create_app(
        title="Vitrin shop sync",
        description=shop_sync.__doc__ or "",
        version=VERSION,
        settings=settings.http,
        routers=[api.router],
        readiness=readiness,
        state={"access": directory, "reading": reading},
    )


async def _grpc(settings: ShopSyncSettings, token: str, stop: asyncio.Event) -> None:
    """Only health for now: nobody asks shop_sync by gRPC yet."""
    server = GrpcServer(settings.grpc, [], token)
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
