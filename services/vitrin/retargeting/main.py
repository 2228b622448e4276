"""The composition root: builds the process from its settings, runs it until `stop`, drains and closes."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

import grpc
from fastapi import FastAPI

from vitrin import retargeting
from vitrin.events import topics
from vitrin.kit.access import ACCESS_TOPICS, KeyDirectory, ReplicaDirectory, access_handler
from vitrin.kit.access.uses import KeyUses, told_to_accounts
from vitrin.kit.brand_data import BrandExport, export_router
from vitrin.kit.clock import Clock, system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.grpc.client import channel as grpc_channel
from vitrin.kit.grpc.server import GrpcServer
from vitrin.kit.http.app import Readiness, create_app
from vitrin.kit.idempotency import Once
from vitrin.kit.ops.desk import MessageDesk
from vitrin.kit.ops.messages import router as messages_router
from vitrin.kit.runtime import Role, Runtime
from vitrin.kit.seal import AccountsKeys, Sealer
from vitrin.protos.accounts.v1.access_pb2_grpc import AccessServiceStub
from vitrin.retargeting import api, api_pixel
from vitrin.retargeting.collector.describing import describe_door
from vitrin.retargeting.collector.wiring import EVENTS_GROUP, Collector, opened
from vitrin.retargeting.consumers import items_handler, storing_handler
from vitrin.retargeting.service.keeping import Keeping
from vitrin.retargeting.service.sources import Events, Sources
from vitrin.retargeting.service.storing import Storing
from vitrin.retargeting.settings import SERVICE, RetargetingSettings
from vitrin.retargeting.tables import TABLES

VERSION: Final = "0.1.0"


async def run(
    settings: RetargetingSettings, *, role: Role = "all", stop: asyncio.Event, clock: Clock = system_clock
) -> None:
    """`api` takes events and answers requests; `worker` stores them; `all` does both."""
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
    access = runtime.consumer(
        group="retargeting.access",
        topics=ACCESS_TOPICS,
        handler=access_handler,
        watched=True,
        owners=dict.fromkeys(ACCESS_TOPICS, accounts),
    )
    caught_up = runtime.caught_up(access)
    readiness: dict[str, Readiness] = {}
    if runtime.is_worker:
        catalog = grpc_channel(settings.grpc.catalog_address, token)
        runtime.closing(catalog.close)
        readiness |= work(runtime, catalog)
        readiness["access"] = caught_up
    runtime.purges(TABLES)
    async with AsyncExitStack() as spools:
        if runtime.is_api:
            uses = KeyUses(told_to_accounts(AccessServiceStub(accounts)), clock)
            runtime.loop("key_uses", uses.run)
            directory = ReplicaDirectory(runtime.app, access, AccessServiceStub(accounts), clock)
            collector = Collector(
                settings.collector,
                runtime,
                spool=await opened(settings.collector, clock, spools),
                directory=directory,
                accounts=accounts,
                uses=uses,
            )
            readiness.setdefault("keys", collector.ready(caught_up))
            app = build_app(
                settings,
                app=runtime.app,
                worker=runtime.worker,
                access=directory,
                sealer=Sealer(AccountsKeys(accounts)),
                clock=clock,
                readiness=readiness,
                key_uses=uses,
            )
            runtime.http(app, settings.http, outer=collector.around)
            runtime.grpc(GrpcServer(settings.grpc, [runtime.snapshots.add_to], token))
        await runtime.run(stop)


def work(runtime: Runtime, catalog: grpc.aio.Channel) -> Mapping[str, Readiness]:
    """The consumers and loops of a worker; answers what its readiness looks at."""
    stored = runtime.consumer(
        group=EVENTS_GROUP,
        topics=[topics.STOREFRONT_EVENT],
        handler=storing_handler(Storing(clock=runtime.clock)),
    )
    items = runtime.consumer(
        group="retargeting.items",
        topics=[topics.ITEM, topics.OFFER],
        handler=items_handler,
        owners={topics.ITEM: catalog, topics.OFFER: catalog},
    )
    runtime.loop("keeping", Keeping(database=runtime.worker, clock=runtime.clock).run)
    return {
        "database": runtime.database_ready,
        "topics": runtime.topics_ready(),
        "events": runtime.caught_up(stored),
        "items": runtime.caught_up(items),
    }


def build_app(
    settings: RetargetingSettings,
    *,
    app: AppDatabase,
    worker: WorkerDatabase,
    access: KeyDirectory,
    sealer: Sealer,
    clock: Clock,
    readiness: Mapping[str, Readiness],
    key_uses: KeyUses | None = None,
) -> FastAPI:
    """`key_uses`: who is told that a key was used. The collector's door stands before it."""
    made = create_app(
        title="Vitrin retargeting",
        description=retargeting.__doc__ or "",
        version=VERSION,
        settings=settings.http,
        routers=[api.router, api_pixel.router, export_router(), messages_router],
        readiness=readiness,
        state={
            "operator_token": settings.process.operator,
            "access": access,
            "key_uses": key_uses,
            "events": Events(database=app, clock=clock),
            "sources": Sources(database=app, clock=clock),
            "once": Once(app, clock),
            "export": BrandExport(SERVICE, app, TABLES, sealer=sealer),
            "message_desk": MessageDesk(database=worker, clock=clock),
        },
    )
    describe_door(made)
    return made
