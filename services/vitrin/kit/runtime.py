"""What every service process is made of: databases, relay, consumers and loops that live and end together.

A task that fails ends the process, so that whoever watches it sees it and starts it again; nothing limps on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final, Literal

import grpc
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp

from vitrin.kit.brand_data.declared import Table
from vitrin.kit.brand_data.purge import OF_REPLICA, Purger
from vitrin.kit.clock import Clock
from vitrin.kit.consumer.age import AgeWatch
from vitrin.kit.consumer.bootstrap import Bootstrap
from vitrin.kit.consumer.loop import Consumer, Handler
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.sweeping import sweep
from vitrin.kit.errors import CatchingUp, Unavailable
from vitrin.kit.grpc.server import GrpcServer
from vitrin.kit.http.server import serve
from vitrin.kit.ids import BrandId
from vitrin.kit.kafka.admin import check_topics, load_topics
from vitrin.kit.kafka.client import Probe
from vitrin.kit.kafka.hints import HintListener
from vitrin.kit.logs import configure_logging, get_logger
from vitrin.kit.ops import purges, republish, spine
from vitrin.kit.outbox.relay import Relay
from vitrin.kit.outbox.wake import Wake
from vitrin.kit.settings import DatabaseSettings, HttpSettings, KafkaSettings, ProcessSettings
from vitrin.kit.state.republisher import Republisher
from vitrin.kit.state.snapshots import SnapshotServicer
from vitrin.kit.state.source import StateSource

Role = Literal["api", "worker", "all"]
Loop = Callable[[asyncio.Event], Awaitable[None]]
"""Runs until the event is set, then finishes what it has begun."""

DRAIN_S: Final = 15.0
PARTITIONS_EVERY: Final = timedelta(hours=1)

_PARTITIONS: Final = text("select vitrin_partitions(:moment)")

log = get_logger(__name__)


class Runtime:
    """Composition shared by the services. Build it, add consumers and loops, then `run(stop)`."""

    def __init__(
        self,
        *,
        service: str,
        role: Role,
        clock: Clock,
        process: ProcessSettings,
        database: DatabaseSettings,
        kafka: KafkaSettings,
    ) -> None:
        configure_logging(process, service=service)
        self.service = service
        self.role = role
        self.clock = clock
        self.kafka = kafka
        self.is_worker = role in ("worker", "all")
        self.is_api = role in ("api", "all")
        self.wake = Wake(relay_is_here=self.is_worker)
        self.app = AppDatabase(settings=database, service=service, clock=clock, wake=self.wake)
        self.worker = WorkerDatabase(settings=database, service=service, clock=clock, wake=self.wake)
        self.probe = Probe(kafka)
        self.hints = HintListener(database)
        self.sources: dict[str, StateSource] = {}
        self.snapshots = SnapshotServicer(self.worker, self.sources)
        self._republish_asked = asyncio.Event()
        self._purger: Purger | None = None
        self._loops: list[tuple[str, Loop]] = []
        self._closers: list[Callable[[], Awaitable[None]]] = []
        if self.is_worker:
            self._loops.append(("partitions", self._keep_partitions))
            relay = Relay(
                service=service,
                owner=process.instance,
                database=self.worker,
                database_settings=database,
                kafka_settings=kafka,
                probe=self.probe,
                wake=self.wake,
                clock=clock,
                has_state=self.sources.__contains__,
            )
            self._loops.append(("relay", relay.run))
            republisher = Republisher(
                database=self.worker, sources=self.sources, wake=self._republish_asked, clock=clock
            )
            self._loops.append(("republish", republisher.run))

    def owns(self, *sources: StateSource) -> None:
        """The compacted topics of this service: whoever lacks one can have its whole state (see `kit.state`)."""
        self.sources.update({source.topic: source for source in sources})

    def consumer(
        self,
        *,
        group: str,
        topics: Sequence[str],
        handler: Handler,
        watched: bool = False,
        owners: Mapping[str, grpc.aio.Channel] | None = None,
    ) -> Consumer | AgeWatch:
        """A consumer group of this service, run with the others. Its name starts with the service's. `watched`: api
        processes of the service want to know its age; there this answers a watch instead of a consumer. `owners`: whom
        to ask for the snapshot of each topic."""
        if not self.is_worker:
            watch = AgeWatch(group=group, database=self.app, clock=self.clock)
            self._loops.append((group, watch.run))
            return watch
        bootstrap = None
        if owners:
            bootstrap = Bootstrap(
                group=group, owners=owners, handler=handler, database=self.worker, clock=self.clock
            )
            self._loops.append((f"{group}.snapshot", bootstrap.run))
        consumer = Consumer(
            group=group,
            topics=topics,
            handler=handler,
            database=self.worker,
            settings=self.kafka,
            probe=self.probe,
            hints=self.hints,
            clock=self.clock,
            tell_age=watched,
            bootstrap=bootstrap,
        )
        self._loops.append((group, consumer.run))
        return consumer

    def loop(self, name: str, loop: Loop) -> None:
        """Something that runs until `stop`. A loop that ends earlier ends the process."""
        self._loops.append((name, loop))

    def purges(
        self,
        tables: Sequence[Table],
        *,
        due: str = OF_REPLICA,
        first: Callable[[BrandId], Awaitable[None]] | None = None,
    ) -> None:
        """The rows of brands that have left are removed from the tables of this service (see `kit.brand_data.purge`).
        Before `http`."""
        self._purger = Purger(self.worker, tables, self.clock, due=due, first=first)
        if self.is_worker:
            self._loops.append(("purges", self._purger.run))

    def http(
        self, app: FastAPI, settings: HttpSettings, *, outer: Callable[[ASGIApp], ASGIApp] | None = None
    ) -> None:
        """With the operator's doors to the spine, which every service has. `outer` stands before the application and
        its middleware: a hot path answers there."""
        look = spine.Spine(service=self.service, database=self.worker, probe=self.probe, clock=self.clock)
        asked = republish.Republishing(
            database=self.worker, sources=self.sources, wake=self._republish_asked, clock=self.clock
        )
        spine.install(app, look)
        republish.install(app, asked)
        if self._purger is not None:
            purges.install(app, self._purger)
        served: ASGIApp = app if outer is None else outer(app)
        self.loop("http", lambda stop: serve(served, settings, stop))

    def grpc(self, server: GrpcServer) -> None:
        async def serve_grpc(stop: asyncio.Event) -> None:
            await server.start()
            try:
                await stop.wait()
            finally:
                await server.stop()

        self.loop("grpc", serve_grpc)

    def closing(self, close: Callable[[], Awaitable[None]]) -> None:
        """Called when every loop has ended, in the order of registration."""
        self._closers.append(close)

    async def database_ready(self) -> None:
        """Readiness: raises when the database does not answer."""
        await self.app.ping()

    @staticmethod
    def caught_up(consumer: Consumer | AgeWatch) -> Callable[[], Awaitable[None]]:
        """Readiness: the replica that it feeds has been complete once. Raises CatchingUp with how far it is; a process
        that only looks at another's age knows no more than Unavailable."""

        async def check() -> None:
            if consumer.age_s() == float("inf"):
                if isinstance(consumer, AgeWatch):
                    raise Unavailable(f"{consumer.group} has not read its topics to their end yet.")
                raise CatchingUp(consumer.waits_for, read=consumer.records_read, left=consumer.records_left())

        return check

    def topics_ready(self) -> Callable[[], Awaitable[None]]:
        """Readiness: the broker has the topics that this service produces or consumes, in their declared shape."""
        mine = [
            spec
            for spec in load_topics(self.kafka.topics_file)
            if self.service == spec.producer or self.service in spec.consumers
        ]
        return lambda: check_topics(self.probe, mine)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set or a loop fails; then every loop gets DRAIN_S to finish. Raises what failed."""
        hints = asyncio.create_task(self.hints.run())
        tasks = {
            asyncio.create_task(self._guarded(name, loop, stop), name=name) for name, loop in self._loops
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            stop.set()
            _, late = await asyncio.wait(tasks, timeout=DRAIN_S)
            for task in (*late, hints):
                task.cancel()
            await asyncio.gather(*late, hints, return_exceptions=True)
            await self.close()
        for task in tasks - late:
            task.result()

    async def close(self) -> None:
        for close in self._closers:
            await close()
        await self.probe.close()
        await self.app.close()
        await self.worker.close()

    async def _guarded(self, name: str, loop: Loop, stop: asyncio.Event) -> None:
        try:
            await loop(stop)
        except Exception:
            log.exception("loop_failed", service=self.service, loop=name)
            raise
        if not stop.is_set():
            raise RuntimeError(f"{name} ended by itself")

    async def _keep_partitions(self, stop: asyncio.Event) -> None:
        """At start and hourly: days of the day-partitioned tables are made ahead and dropped after their time, and
        what the plumbing left behind is removed."""
        while not stop.is_set():
            with suppress(SQLAlchemyError):
                async with self.worker.write() as tx:
                    changed = await tx.scalar(_PARTITIONS, {"moment": self.clock()})
                    await sweep(tx, self.clock())
                if changed:
                    log.info("partitions_changed", service=self.service, changed=changed)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=PARTITIONS_EVERY.total_seconds())
