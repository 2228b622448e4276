"""The composition root: builds the process from its settings, runs it until `stop`, drains and closes."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from fastapi import FastAPI

from vitrin import notify
from vitrin.kit.access import ACCESS_TOPICS, KeyDirectory, ReplicaDirectory, access_handler
from vitrin.kit.access.uses import KeyUses, told_to_accounts
from vitrin.kit.brand_data import BrandExport, export_router
from vitrin.kit.clock import Clock, system_clock
from vitrin.kit.crypto import TokenCipher
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.grpc.client import channel as grpc_channel
from vitrin.kit.grpc.server import GrpcServer
from vitrin.kit.http.app import Readiness, create_app
from vitrin.kit.idempotency import Once
from vitrin.kit.ops.desk import MessageDesk
from vitrin.kit.ops.messages import router as messages_router
from vitrin.kit.outbound import Outbound
from vitrin.kit.runtime import Role, Runtime
from vitrin.notify import api
from vitrin.notify.consumers import TOPICS, news_handler
from vitrin.notify.domain.schedule import Schedule
from vitrin.notify.repository.work import Claim
from vitrin.notify.service.calling import Caller
from vitrin.notify.service.delivering import Session
from vitrin.notify.service.dispatcher import Dispatcher
from vitrin.notify.service.endpoints import Endpoints
from vitrin.notify.service.intake import Intake
from vitrin.notify.service.outcomes import Outcomes
from vitrin.notify.service.reading import Events
from vitrin.notify.service.secrets import Secrets
from vitrin.notify.service.storing import Storing
from vitrin.notify.service.waking import Waker
from vitrin.notify.service.watching import Watching
from vitrin.notify.settings import SERVICE, NotifySettings
from vitrin.notify.tables import TABLES
from vitrin.protos.accounts.v1.access_pb2_grpc import AccessServiceStub

VERSION: Final = "0.1.0"


@dataclass(slots=True)
class Worker:
    """What the loops of a worker are made of."""

    intake: Intake
    dispatcher: Dispatcher
    watching: Watching


def build_worker(
    *,
    settings: NotifySettings,
    database: WorkerDatabase,
    outbound: Outbound,
    waker: Waker,
    clock: Clock,
    schedule: Schedule | None = None,
) -> Worker:
    """Raises KeyRingInvalid. `schedule`: tests have a quicker one."""
    webhooks = settings.webhooks
    chosen = schedule or Schedule()
    secrets = Secrets(TokenCipher.parse(webhooks.secret_keys.get_secret_value()))
    caller = Caller(outbound, timeout=timedelta(seconds=webhooks.timeout_s))
    storing = Storing(waker=waker, clock=clock)
    outcomes = Outcomes(
        database=database,
        storing=storing,
        schedule=chosen,
        disable_after=timedelta(hours=webhooks.disable_after_h),
        clock=clock,
        chance=random.random,
    )

    def session(claim: Claim) -> Session:
        return Session(
            claim=claim,
            database=database,
            caller=caller,
            secrets=secrets,
            outcomes=outcomes,
            schedule=chosen,
            clock=clock,
            calls_max=webhooks.calls_per_endpoint,
            monotonic=time.monotonic,
        )

    dispatcher = Dispatcher(
        worker=settings.process.instance,
        database=database,
        make_session=session,
        clock=clock,
        endpoints_max=webhooks.endpoints_at_once,
    )
    waker.listen(dispatcher.wake)
    return Worker(
        intake=Intake(storing=storing, clock=clock),
        dispatcher=dispatcher,
        watching=Watching(database=database, clock=clock),
    )


async def run(
    settings: NotifySettings, *, role: Role = "all", stop: asyncio.Event, clock: Clock = system_clock
) -> None:
    """`api` answers requests; `worker` follows topics and delivers; `all` does both."""
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
    waker = Waker()
    runtime.closing(accounts.close)
    access = runtime.consumer(
        group="notify.access",
        topics=ACCESS_TOPICS,
        handler=access_handler,
        watched=True,
        owners=dict.fromkeys(ACCESS_TOPICS, accounts),
    )
    readiness: dict[str, Readiness] = {
        "database": runtime.database_ready,
        "topics": runtime.topics_ready(),
        "access": runtime.caught_up(access),
    }
    if runtime.is_worker:
        places = settings.webhooks.endpoints_at_once * settings.webhooks.calls_per_endpoint
        outbound = Outbound(settings.outbound.policy, purpose="webhook", connections_max=places)
        runtime.closing(outbound.close)
        worker = build_worker(
            settings=settings, database=runtime.worker, outbound=outbound, waker=waker, clock=clock
        )
        news = runtime.consumer(group="notify.events", topics=TOPICS, handler=news_handler(worker.intake))
        readiness["events"] = runtime.caught_up(news)
        runtime.loop("dispatcher", worker.dispatcher.run)
        runtime.loop("watching", worker.watching.run)
    runtime.purges(TABLES)
    if runtime.is_api:
        directory = ReplicaDirectory(runtime.app, access, AccessServiceStub(accounts), clock)
        uses = KeyUses(told_to_accounts(AccessServiceStub(accounts)), clock)
        runtime.loop("key_uses", uses.run)
        app = build_app(
            settings,
            app=runtime.app,
            worker=runtime.worker,
            access=directory,
            waker=waker,
            clock=clock,
            readiness=readiness,
            key_uses=uses,
        )
        runtime.http(app, settings.http)
        runtime.grpc(GrpcServer(settings.grpc, [runtime.snapshots.add_to], token))
    await runtime.run(stop)


def build_app(
    settings: NotifySettings,
    *,
    app: AppDatabase,
    worker: WorkerDatabase,
    access: KeyDirectory,
    waker: Waker,
    clock: Clock,
    readiness: Mapping[str, Readiness],
    key_uses: KeyUses | None = None,
) -> FastAPI:
    """Raises KeyRingInvalid. `key_uses`: who is told that a key was used."""
    secrets = Secrets(TokenCipher.parse(settings.webhooks.secret_keys.get_secret_value()))
    made = create_app(
        title="Vitrin notify",
        description=notify.__doc__ or "",
        version=VERSION,
        settings=settings.http,
        routers=[api.router, export_router(), messages_router],
        readiness=readiness,
        state={
            "operator_token": settings.process.operator,
            "access": access,
            "key_uses": key_uses,
            "endpoints": Endpoints(
                database=app, clock=clock, secrets=secrets, policy=settings.outbound.policy
            ),
            "events": Events(database=app, storing=Storing(waker=waker, clock=clock), clock=clock),
            "once": Once(app, clock),
            "export": BrandExport(SERVICE, app, TABLES),
            "message_desk": MessageDesk(database=worker, clock=clock),
        },
    )
    api.describe_webhooks(made)
    return made
