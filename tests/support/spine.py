"""A service that exists for tests of the spine only: one table, an outbox, a consumer, on the real parts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

from alembic.migration import MigrationContext
from alembic.operations import Operations
from pydantic import SecretStr
from sqlalchemy import create_engine, pool, text

from vitrin.events import topics
from vitrin.events.envelope import Event, Message
from vitrin.kit.clock import system_clock
from vitrin.kit.consumer.loop import Consumer
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.migrate import create_hint_database, prepare_database
from vitrin.kit.db.migration import brand_table, install_consumer, install_outbox
from vitrin.kit.db.session import WriteSession
from vitrin.kit.db.urls import role_url
from vitrin.kit.ids import BrandId
from vitrin.kit.kafka.client import Probe
from vitrin.kit.kafka.hints import HintListener
from vitrin.kit.outbox.relay import Relay
from vitrin.kit.outbox.wake import Wake
from vitrin.kit.settings import DatabaseSettings, KafkaSettings
from vitrin.protos.catalog.v1 import events_pb2

SERVICE = "spine"
SETTLE_S = 30.0

_WRITE = text(
    """
    insert into things (brand_id, name, version) values (:brand, :name, 1)
    on conflict (brand_id, name) do update set version = things.version + 1 returning version
    """
)
_KEEP = text(
    """
    insert into seen (brand_id, name, version, times) values (:brand, :name, :version, 1)
    on conflict (brand_id, name) do update set version = excluded.version, times = seen.times + 1
    where seen.version < excluded.version
    """
)


def database_settings(url: str, *, hints: bool = True) -> DatabaseSettings:
    return DatabaseSettings(
        url=SecretStr(url), hint_url=SecretStr(url.replace("/postgres?", "/vitrin_hint?")) if hints else None
    )


def install(settings: DatabaseSettings) -> None:
    """Database, roles and tables as a migration would make them; dropped and made anew."""
    prepare_database(settings, SERVICE)
    create_hint_database(settings)
    engine = create_engine(role_url(settings, SERVICE, "owner"), poolclass=pool.NullPool)
    with engine.begin() as connection:
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))
        connection.execute(text("grant usage on schema public to public"))
        op = Operations(MigrationContext.configure(connection))
        columns = "brand_id uuid not null, name text not null, version bigint not null"
        op.execute(f"create table things ({columns}, primary key (brand_id, name))")
        op.execute(f"create table seen ({columns}, times integer not null, primary key (brand_id, name))")
        brand_table(op, "things")
        brand_table(op, "seen")
        install_outbox(op)
        install_consumer(op)
    engine.dispose()


@dataclass
class Spine:
    """Writer, relay and consumer of one process. `seen` holds what the consumer's table shows."""

    database: DatabaseSettings
    kafka: KafkaSettings
    owner: str = "spine-0"
    batches: list[int] = field(default_factory=list)
    poison: set[str] = field(default_factory=set)
    watched: bool = False

    def __post_init__(self) -> None:
        self.wake = Wake(relay_is_here=True)
        self.app = AppDatabase(settings=self.database, service=SERVICE, clock=system_clock, wake=self.wake)
        self.worker = WorkerDatabase(
            settings=self.database, service=SERVICE, clock=system_clock, wake=self.wake
        )
        self.probe = Probe(self.kafka)
        self.hints = HintListener(self.database)
        self.relay = Relay(
            service=SERVICE,
            owner=self.owner,
            database=self.worker,
            database_settings=self.database,
            kafka_settings=self.kafka,
            probe=self.probe,
            wake=self.wake,
            clock=system_clock,
        )
        self.consumer = Consumer(
            group="spine.seen",
            topics=[topics.ITEM],
            handler=self.handle,
            database=self.worker,
            settings=self.kafka,
            probe=self.probe,
            hints=self.hints,
            clock=system_clock,
            tell_age=self.watched,
        )
        self.stop = asyncio.Event()

    async def change(self, brand: UUID, name: str) -> int:
        """One change of one thing: row lock first, then its event, in one transaction."""
        async with self.app.write(BrandId(brand)) as tx:
            version = int(await tx.scalar(_WRITE, {"brand": brand, "name": name}))
            now = system_clock()
            message = events_pb2.ItemChanged(
                content_version=version, content=events_pb2.ItemContent(item_id=name)
            )
            tx.publish(
                Event.of(
                    key=f"{brand}/{name}",
                    type="catalog.item_changed",
                    brand_id=brand,
                    message=message,
                    occurred_at=now,
                    received_at=now,
                )
            )
        return version

    async def handle(self, tx: WriteSession, messages: Sequence[Message]) -> None:
        self.batches.append(len(messages))
        for message in messages:
            changed = message.decode()
            assert isinstance(changed, events_pb2.ItemChanged)
            if changed.content.item_id in self.poison:
                raise ValueError(f"cannot handle {changed.content.item_id}")
            await tx.execute(
                _KEEP,
                {
                    "brand": message.brand_id,
                    "name": changed.content.item_id,
                    "version": changed.content_version,
                },
            )

    async def seen(self, brand: UUID) -> dict[str, int]:
        async with self.app.read(BrandId(brand)) as session:
            rows = await session.all(text("select name, version from seen"))
        return {row.name: row.version for row in rows}

    async def seen_things(self, brand: UUID) -> dict[str, int]:
        """What the writer's own table shows."""
        async with self.app.read(BrandId(brand)) as session:
            rows = await session.all(text("select name, version from things"))
        return {row.name: row.version for row in rows}

    async def until_seen(self, brand: UUID, expected: dict[str, int]) -> dict[str, int]:
        """What is seen once it is as expected, or after SETTLE_S what is seen then."""
        deadline = asyncio.get_running_loop().time() + SETTLE_S
        while (found := await self.seen(brand)) != expected and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
        return found

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Spine"]:
        tasks = [
            asyncio.create_task(self.relay.run(self.stop)),
            asyncio.create_task(self.consumer.run(self.stop)),
        ]
        listening = asyncio.create_task(self.hints.run())
        try:
            yield self
        finally:
            self.stop.set()
            await asyncio.wait(tasks, timeout=20)
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
            await self.probe.close()
            await self.app.close()
            await self.worker.close()
            for task in tasks:
                task.result()
