"""The composition root: builds the process from its settings, runs it until `stop`, drains and closes."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from fastapi import FastAPI

from vitrin import shop_sync
from vitrin.events import topics
from vitrin.kit.access import ACCESS_TOPICS, ReplicaDirectory
from vitrin.kit.access.outgoing import Outgoing
from vitrin.kit.access.uses import KeyUses, told_to_accounts
from vitrin.kit.brand_data import BrandExport, export_router
from vitrin.kit.clock import Clock, system_clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.grpc.client import channel as grpc_channel
from vitrin.kit.grpc.server import GrpcServer
from vitrin.kit.http.app import Readiness, create_app
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.idempotency import Once
from vitrin.kit.ops.desk import MessageDesk
from vitrin.kit.ops.messages import router as messages_router
from vitrin.kit.runtime import Role, Runtime
from vitrin.protos.accounts.v1.access_pb2_grpc import AccessServiceStub
from vitrin.protos.accounts.v1.connection_pb2_grpc import ConnectionServiceStub
from vitrin.shop_sync import api, api_adoption, api_checkouts, api_removals
from vitrin.shop_sync.consumers import catalog_handler, connection_handler, switching_handler
from vitrin.shop_sync.domain.values import Claim
from vitrin.shop_sync.service.adoption import Adoption
from vitrin.shop_sync.service.backfill import Backfill
from vitrin.shop_sync.service.catalogs import Catalogs
from vitrin.shop_sync.service.checkouts import Checkouts
from vitrin.shop_sync.service.connections import Connections
from vitrin.shop_sync.service.desired import Desires
from vitrin.shop_sync.service.dispatcher import Dispatcher
from vitrin.shop_sync.service.outcomes import Outcomes
from vitrin.shop_sync.service.reading import Reading
from vitrin.shop_sync.service.releasing import Releasing
from vitrin.shop_sync.service.removals import Removals
from vitrin.shop_sync.service.replicas import Replicas
from vitrin.shop_sync.service.sending import Pace
from vitrin.shop_sync.service.session import Session
from vitrin.shop_sync.service.switching import Switching
from vitrin.shop_sync.service.waking import Waker
from vitrin.shop_sync.service.watchdog import Watchdog
from vitrin.shop_sync.settings import SERVICE, ShopSyncSettings
from vitrin.shop_sync.state import SOURCES
from vitrin.shop_sync.tables import TABLES

VERSION: Final = "0.1.0"


@dataclass(slots=True)
class Worker:
    """What the loops of a worker are made of."""

    replicas: Replicas
    connections: Connections
    dispatcher: Dispatcher
    watchdog: Watchdog
    releasing: Releasing


def build_worker(
    *,
    settings: ShopSyncSettings,
    database: WorkerDatabase,
    catalogs: Catalogs,
    outgoing: Outgoing,
    waker: Waker,
    clock: Clock,
) -> Worker:
    dispatch = settings.dispatch
    desires = Desires(catalogs)
    look_first = timedelta(milliseconds=dispatch.look_first_ms)
    outcomes = Outcomes(database=database, desires=desires, clock=clock, look_first=look_first)
    backfill = Backfill(desires=desires, outcomes=outcomes, clock=clock)
    pace = Pace(
        window=timedelta(milliseconds=dispatch.window_ms),
        batch_items_max=dispatch.batch_items_max,
        verdict_timeout=timedelta(seconds=dispatch.verdict_timeout_s),
        alone_again=timedelta(milliseconds=dispatch.alone_again_ms),
        shown_within=(
            None if dispatch.shown_within_ms is None else timedelta(milliseconds=dispatch.shown_within_ms)
        ),
    )

    def session(claim: Claim) -> Session:
        return Session(
            claim=claim,
            database=database,
            catalogs=catalogs,
            outgoing=outgoing,
            backfill=backfill,
            desires=desires,
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
        watchdog=Watchdog(
            database=database,
            outcomes=outcomes,
            waker=waker,
            clock=clock,
            after=timedelta(minutes=dispatch.stuck_after_min),
        ),
        releasing=Releasing(
            database=database,
            desires=desires,
            waker=waker,
            clock=clock,
            remind_every=timedelta(hours=settings.guard.remind_every_h),
            keep=timedelta(days=settings.guard.keep_days),
        ),
    )


async def run(
    settings: ShopSyncSettings, *, role: Role = "all", stop: asyncio.Event, clock: Clock = system_clock
) -> None:
    """`api` answers requests; `worker` follows topics and talks to platforms; `all` does both."""
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
    http, waker = PlatformHttp(rate_factor=settings.dispatch.rate_factor), Waker()
    catalog = grpc_channel(settings.grpc.catalog_address, token)
    runtime.closing(http.close)
    runtime.closing(accounts.close)
    runtime.closing(catalog.close)
    runtime.owns(*SOURCES)
    access = runtime.consumer(
        group="shop_sync.access",
        topics=ACCESS_TOPICS,
        handler=switching_handler(Switching(waker=waker, clock=clock)),
        watched=True,
        owners=dict.fromkeys(ACCESS_TOPICS, accounts),
    )
    readiness: dict[str, Readiness] = {
        "database": runtime.database_ready,
        "topics": runtime.topics_ready(),
        "access": runtime.caught_up(access),
    }
    if runtime.is_worker:
        catalogs = Catalogs(http=http, accounts=ConnectionServiceStub(accounts), clock=clock)
        worker = build_worker(
            settings=settings,
            database=runtime.worker,
            catalogs=catalogs,
            outgoing=Outgoing(runtime.worker, access, AccessServiceStub(accounts)),
            waker=waker,
            clock=clock,
        )
        replica = runtime.consumer(
            group="shop_sync.replica",
            topics=[topics.ITEM, topics.OFFER],
            handler=catalog_handler(worker.replicas),
            owners={topics.ITEM: catalog, topics.OFFER: catalog},
        )
        connections = runtime.consumer(
            group="shop_sync.connections",
            topics=[topics.CONNECTION],
            handler=connection_handler(worker.connections),
            owners={topics.CONNECTION: accounts},
        )
        readiness |= {"replica": runtime.caught_up(replica), "connections": runtime.caught_up(connections)}
        runtime.loop("dispatcher", worker.dispatcher.run)
        runtime.loop("watchdog", worker.watchdog.run)
        runtime.loop("removals", worker.releasing.run)
    runtime.purges(TABLES)
    if runtime.is_api:
        directory = ReplicaDirectory(runtime.app, access, AccessServiceStub(accounts), clock)
        uses = KeyUses(told_to_accounts(AccessServiceStub(accounts)), clock)
        runtime.loop("key_uses", uses.run)
        state = {"access": directory, "key_uses": uses, **_use_cases(settings, runtime, waker)}
        runtime.http(build_app(settings, readiness, state), settings.http)
        runtime.grpc(GrpcServer(settings.grpc, [runtime.snapshots.add_to], token))
    await runtime.run(stop)


def _use_cases(settings: ShopSyncSettings, runtime: Runtime, waker: Waker) -> dict[str, object]:
    """What the routes ask for, by its name in the application's state."""
    stuck_after = timedelta(minutes=settings.dispatch.stuck_after_min)
    clock = runtime.clock
    return {
        "reading": Reading(database=runtime.app, waker=waker, clock=clock, stuck_after=stuck_after),
        "adoption": Adoption(database=runtime.app, waker=waker, clock=clock),
        "removals": Removals(database=runtime.app, clock=clock),
        "checkouts": Checkouts(database=runtime.app, clock=clock),
        "public_url": settings.checkout.public_url,
        "message_desk": MessageDesk(database=runtime.worker, clock=clock),
        "once": Once(runtime.app, clock),
        "export": BrandExport(SERVICE, runtime.app, TABLES),
    }


def build_app(
    settings: ShopSyncSettings, readiness: dict[str, Readiness], state: Mapping[str, object]
) -> FastAPI:
    return create_app(
        title="Vitrin shop sync",
        description=shop_sync.__doc__ or "",
        version=VERSION,
        settings=settings.http,
        routers=[
            api.router,
            api_adoption.router,
            api_removals.router,
            api_checkouts.router,
            export_router(),
            messages_router,
        ],
        readiness=readiness,
        state={"operator_token": settings.process.operator, **state},
    )
