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
from vitrin.events import topics
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
from vitrin.notify import api, api_notifications
from vitrin.notify.consumers import TOPICS, news_handler
from vitrin.notify.consumers_attention import TOPICS as ATTENTION_TOPICS
from vitrin.notify.consumers_attention import attention_handler
from vitrin.notify.domain.schedule import Schedule
from vitrin.notify.repository.work import Claim
from vitrin.notify.service.attending import Attending
from vitrin.notify.service.calling import Caller
from vitrin.notify.service.channels import Channels
from vitrin.notify.service.delivering import Session
from vitrin.notify.service.dispatcher import Dispatcher
from vitrin.notify.service.endpoints import Endpoints
from vitrin.notify.service.inbox import Inbox
from vitrin.notify.service.intake import Intake
from vitrin.notify.service.mail import Mailer
from vitrin.notify.service.notices import Notices
from vitrin.notify.service.outcomes import Outcomes
from vitrin.notify.service.planning import Planner
from vitrin.notify.service.poster import Poster
from vitrin.notify.service.posting import Posting, Sender
from vitrin.notify.service.reading import Events
from vitrin.notify.service.secrets import Secrets
from vitrin.notify.service.slack import SlackPoster
from vitrin.notify.service.storing import Storing
from vitrin.notify.service.targets import Targets
from vitrin.notify.service.waking import Waker
from vitrin.notify.service.watching import Watching
from vitrin.notify.settings import SERVICE, NotifySettings
from vitrin.notify.tables import TABLES
from vitrin.protos.accounts.v1.access_pb2_grpc import AccessServiceStub

VERSION: Final = "0.1.0"
SLACK_TIMEOUT: Final = timedelta(seconds=10)
PLACES_FOR_SLACK: Final = 16


@dataclass(slots=True)
class Wakers:
    """One for each loop that delivers."""

    webhooks: Waker
    channels: Waker


@dataclass(slots=True)
class Worker:
    """What the loops of a worker are made of."""

    intake: Intake
    dispatcher: Dispatcher
    watching: Watching
    attending: Attending
    poster: Poster


def build_worker(
    *,
    settings: NotifySettings,
    database: WorkerDatabase,
    outbound: Outbound,
    wakers: Wakers,
    clock: Clock,
    schedule: Schedule | None = None,
) -> Worker:
    """Raises KeyRingInvalid. `schedule`: tests have a quicker one."""
    webhooks = settings.webhooks
    chosen = schedule or Schedule()
    secrets = Secrets(TokenCipher.parse(webhooks.secret_keys.get_secret_value()))
    caller = Caller(outbound, timeout=timedelta(seconds=webhooks.timeout_s))
    storing = Storing(waker=wakers.webhooks, clock=clock)
    notices = Notices(storing=storing, planning=Planner(waker=wakers.channels, clock=clock), clock=clock)
    storing.heard_by(notices.hear)
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
    poster = Poster(
        worker=settings.process.instance,
        database=database,
        posting=Posting(
            database=database,
            sender=build_sender(settings, outbound=outbound, clock=clock),
            notices=notices,
            schedule=chosen,
            messages_max=settings.notifications.messages_per_hour,
            clock=clock,
            chance=random.random,
        ),
        clock=clock,
    )
    wakers.webhooks.listen(dispatcher.wake)
    wakers.channels.listen(poster.wake)
    return Worker(
        intake=Intake(storing=storing, clock=clock),
        dispatcher=dispatcher,
        watching=Watching(database=database, clock=clock),
        attending=Attending(notices=notices, clock=clock),
        poster=poster,
    )


def build_sender(settings: NotifySettings, *, outbound: Outbound, clock: Clock) -> Sender:
    """Raises KeyRingInvalid."""
    hosts = settings.notifications.slack_hosts.lower().split(",")
    targets = Targets(
        TokenCipher.parse(settings.webhooks.secret_keys.get_secret_value()),
        slack_hosts=frozenset(host.strip() for host in hosts if host.strip()),
        policy=settings.outbound.policy,
    )
    return Sender(
        targets=targets,
        mailer=Mailer(settings.smtp),
        slack=SlackPoster(Caller(outbound, timeout=SLACK_TIMEOUT)),
        clock=clock,
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
    wakers = Wakers(Waker(), Waker())
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
        outbound = Outbound(
            settings.outbound.policy, purpose="webhook", connections_max=places + PLACES_FOR_SLACK
        )
        runtime.closing(outbound.close)
        worker = build_worker(
            settings=settings, database=runtime.worker, outbound=outbound, wakers=wakers, clock=clock
        )
        news = runtime.consumer(group="notify.events", topics=TOPICS, handler=news_handler(worker.intake))
        attention = runtime.consumer(
            group="notify.attention",
            topics=ATTENTION_TOPICS,
            handler=attention_handler(worker.attending),
            owners={topics.CONNECTION: accounts},
        )
        readiness["events"] = runtime.caught_up(news)
        readiness["attention"] = runtime.caught_up(attention)
        runtime.loop("dispatcher", worker.dispatcher.run)
        runtime.loop("watching", worker.watching.run)
        runtime.loop("poster", worker.poster.run)
    runtime.purges(TABLES)
    if runtime.is_api:
        testing = Outbound(settings.outbound.policy, purpose="slack test", connections_max=PLACES_FOR_SLACK)
        runtime.closing(testing.close)
        directory = ReplicaDirectory(runtime.app, access, AccessServiceStub(accounts), clock)
        uses = KeyUses(told_to_accounts(AccessServiceStub(accounts)), clock)
        runtime.loop("key_uses", uses.run)
        app = build_app(
            settings,
            app=runtime.app,
            worker=runtime.worker,
            access=directory,
            outbound=testing,
            wakers=wakers,
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
    outbound: Outbound,
    wakers: Wakers,
    clock: Clock,
    readiness: Mapping[str, Readiness],
    key_uses: KeyUses | None = None,
) -> FastAPI:
    """Raises KeyRingInvalid. `outbound`: for test messages. `key_uses`: who is told that a key was used."""
    secrets = Secrets(TokenCipher.parse(settings.webhooks.secret_keys.get_secret_value()))
    storing = Storing(waker=wakers.webhooks, clock=clock)
    planner = Planner(waker=wakers.channels, clock=clock)
    notices = Notices(storing=storing, planning=planner, clock=clock)
    sender = build_sender(settings, outbound=outbound, clock=clock)
    made = create_app(
        title="Vitrin notify",
        description=notify.__doc__ or "",
        version=VERSION,
        settings=settings.http,
        routers=[
            api.router,
            api_notifications.router,
            api_notifications.calling_router,
            export_router(),
            messages_router,
        ],
        readiness=readiness,
        state={
            "operator_token": settings.process.operator,
            "access": access,
            "key_uses": key_uses,
            "endpoints": Endpoints(
                database=app,
                clock=clock,
                secrets=secrets,
                policy=settings.outbound.policy,
                is_well=notices.endpoint_is_well,
            ),
            "events": Events(database=app, storing=storing, clock=clock),
            "inbox": Inbox(database=app, clock=clock),
            "channels": Channels(
                database=app,
                clock=clock,
                targets=sender.targets,
                mailer=sender.mailer,
                sender=sender,
                planner=planner,
                notices=notices,
                messages_max=settings.notifications.messages_per_hour,
            ),
            "once": Once(app, clock),
            "export": BrandExport(SERVICE, app, TABLES),
            "message_desk": MessageDesk(database=worker, clock=clock),
        },
    )
    api.describe_webhooks(made)
    return made
