"""A service that exists for tests of the spine only: one table, an outbox, a consumer, on the real parts."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc
from alembic.migration import MigrationContext
from alembic.operations import Operations
from pydantic import SecretStr
from sqlalchemy import Row, create_engine, pool, text

from vitrin.events import topics
from vitrin.events.envelope import Event, Message, TryLater
from vitrin.kit.clock import system_clock
from vitrin.kit.consumer.bootstrap import Bootstrap
from vitrin.kit.consumer.loop import Consumer
from vitrin.kit.consumer.parking import Limits
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.migrate import create_hint_database, prepare_database
from vitrin.kit.db.migration import (
    brand_table,
    install_consumer,
    install_incarnations,
    install_outbox,
    install_parking,
    install_snapshots,
)
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.db.urls import role_url
from vitrin.kit.ids import BrandId
from vitrin.kit.kafka.client import Probe
from vitrin.kit.kafka.hints import HintListener
from vitrin.kit.outbox.relay import Relay
from vitrin.kit.outbox.wake import Wake
from vitrin.kit.settings import DatabaseSettings, KafkaSettings
from vitrin.kit.state.republisher import Republisher
from vitrin.kit.state.source import StatePage, StateRecord, StateSource
from vitrin.protos.catalog.v1 import events_pb2

SERVICE = "spine"
SETTLE_S = 60.0
PAUSES = "the handler pauses"
"""Said at the beginning of a pause, so that a test can stop the process within it."""

_WRITE = text(
    """
    insert into things (brand_id, name, version) select :brand, name, 1 from unnest(cast(:names as text[])) name
    on conflict (brand_id, name) do update set version = things.version + 1 returning name, version
    """
)
_KEEP = text(
    """
    insert into seen (brand_id, name, version, times, handled) values (:brand, :name, :version, 1, 1)
    on conflict (brand_id, name) do update set version = greatest(seen.version, excluded.version),
        times = seen.times + (seen.version < excluded.version)::int, handled = seen.handled + 1
    """
)
_EFFECTS = text(
    """
    select t.name, t.version as newest, coalesce(s.version, 0) as version, coalesce(s.times, 0) as times,
           coalesce(s.handled, 0) as handled
    from things t left join seen s on (s.brand_id, s.name) = (t.brand_id, t.name)
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
        counts = "times integer not null, handled integer not null"
        op.execute(f"create table seen ({columns}, {counts}, primary key (brand_id, name))")
        brand_table(op, "things")
        brand_table(op, "seen")
        install_outbox(op)
        install_consumer(op)
        install_parking(op)
        install_incarnations(op)
        install_snapshots(op)
    engine.dispose()


def changed_of(message: Message) -> events_pb2.ItemChanged:
    changed = message.decode()
    assert isinstance(changed, events_pb2.ItemChanged)
    return changed


def changed(brand: UUID, name: str, version: int, now: datetime) -> Event:
    message = events_pb2.ItemChanged(content_version=version, content=events_pb2.ItemContent(item_id=name))
    return Event.of(
        key=f"{brand}/{name}",
        type="catalog.item_changed",
        brand_id=brand,
        message=message,
        occurred_at=now,
        received_at=now,
    )


async def _pause(seconds: float) -> None:
    if seconds:
        print(PAUSES, flush=True)
        await asyncio.sleep(seconds)


@dataclass
class Things:
    """The state of `things`. `asked` keeps where each page began."""

    brands: list[UUID]
    topic: str = topics.ITEM
    asked: list[str] = field(default_factory=list)

    async def next_brand(self, tx: ReadSession, after: BrandId | None) -> BrandId | None:
        later = sorted(brand for brand in self.brands if after is None or brand > after)
        return BrandId(later[0]) if later else None

    async def page(self, tx: ReadSession, brand: BrandId, *, after: str, limit: int, lock: bool) -> StatePage:
        self.asked.append(after)
        statement = "select name, version from things where brand_id = :brand and name > :after order by name"
        rows = await tx.all(
            text(f"{statement} limit :limit{' for share' if lock else ''}"),
            {"brand": brand, "after": after, "limit": limit},
        )
        records = [
            StateRecord(row.name, changed(brand, row.name, row.version, system_clock())) for row in rows
        ]
        return StatePage(records, rows[-1].name if len(rows) == limit else None)


@dataclass
class Spine:
    """Writer, relay, republisher and consumer of one process. `seen` holds what the consumer's table shows: `times`
    counts the effects, which a repeat has not; `handled` counts what was committed, repeats included.

    `relay_is_here`, `member`: whether it runs a relay and a member of the consumer group, or others do. The handler
    waits in its transaction before and after what it writes. `sources`: state that this process owns; `owners`: where
    its consumer gets snapshots.

    What is in `poison` cannot be handled, what is in `waiting` not yet (`named`: the handler says which of its batch
    that are). `handled`: name and version of what was handled, in order; what was rolled back afterwards too.
    """

    database: DatabaseSettings
    kafka: KafkaSettings
    owner: str = "spine-0"
    batches: list[int] = field(default_factory=list)
    poison: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    named: bool = False
    limits: Limits = field(default_factory=Limits)
    handled: list[tuple[str, int]] = field(default_factory=list)
    watched: bool = False
    relay_is_here: bool = True
    member: bool = True
    pause_before_s: float = 0
    pause_after_s: float = 0
    sources: dict[str, StateSource] = field(default_factory=dict)
    owners: Mapping[str, grpc.aio.Channel] = field(default_factory=dict)
    group: str = "spine.seen"

    def __post_init__(self) -> None:
        self.wake = Wake(relay_is_here=self.relay_is_here)
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
            has_state=self.sources.__contains__,
        )
        self.asked = asyncio.Event()
        self.republisher = Republisher(
            database=self.worker, sources=self.sources, wake=self.asked, clock=system_clock
        )
        self.bootstrap = Bootstrap(
            group=self.group,
            owners=self.owners,
            handler=self.handle,
            database=self.worker,
            clock=system_clock,
        )
        self.consumer = Consumer(
            group=self.group,
            topics=[topics.ITEM],
            handler=self.handle,
            database=self.worker,
            settings=self.kafka,
            probe=self.probe,
            hints=self.hints,
            clock=system_clock,
            tell_age=self.watched,
            limits=self.limits,
            bootstrap=self.bootstrap if self.owners else None,
        )
        self.stop = asyncio.Event()

    async def change(self, brand: UUID, name: str) -> int:
        """One change of one thing: row lock first, then its event, in one transaction."""
        (version,) = await self.change_many(brand, [[name]])
        return version

    async def change_many(
        self, brand: UUID, steps: Sequence[Sequence[str]], *, pause_s: float = 0
    ) -> list[int]:
        """One change of each thing in one transaction, which stays open for `pause_s` after each step with the row
        locks that it has by then. Names ascend over all steps, so that no two transactions wait for each other."""
        versions: list[int] = []
        async with self.app.write(BrandId(brand)) as tx:
            for names in steps:
                rows = await tx.all(_WRITE, {"brand": brand, "names": list(names)})
                now = system_clock()
                for row in rows:
                    tx.publish(changed(brand, row.name, row.version, now))
                versions += [row.version for row in rows]
                await asyncio.sleep(pause_s)
        return versions

    async def handle(self, tx: WriteSession, messages: Sequence[Message]) -> None:
        self.batches.append(len(messages))
        if self.named:
            late = [one for one in messages if changed_of(one).content.item_id in self.waiting]
            if late:
                raise TryLater("these have to wait", late)
        await _pause(self.pause_before_s)
        rows = []
        for message in messages:
            change = changed_of(message)
            name = change.content.item_id
            if name in self.poison:
                raise ValueError(f"cannot handle {name}")
            if name in self.waiting:
                raise TryLater(f"{name} has to wait")
            self.handled.append((name, change.content_version))
            rows.append({"brand": message.brand_id, "name": name, "version": change.content_version})
        rows.sort(
            key=lambda row: (row["brand"], row["name"])
        )  # locks in key order; of one key the order stays
        await tx.execute(_KEEP, rows)
        if self.pause_after_s:
            # Measured on 18: right after a pipelined executemany the server does not end an idle transaction.
            await tx.execute(text("select 1"))
        await _pause(self.pause_after_s)

    async def effects(self, brands: Sequence[UUID]) -> Sequence[Row[Any]]:
        """Of each thing: its newest version, and what was seen, how often it had an effect and was handled."""
        async with self.worker.read([BrandId(brand) for brand in brands]) as session:
            return await session.all(_EFFECTS)

    async def until_settled(
        self, brands: Sequence[UUID], *, without: frozenset[str] = frozenset()
    ) -> Sequence[Row[Any]]:
        """The effects once every newest version was seen, or after SETTLE_S as they are then."""
        deadline = asyncio.get_running_loop().time() + SETTLE_S
        while True:
            rows = [row for row in await self.effects(brands) if row.name not in without]
            if all(row.version == row.newest for row in rows) or asyncio.get_running_loop().time() > deadline:
                return rows
            await asyncio.sleep(0.1)

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
        loops = [
            *([self.relay.run(self.stop)] if self.relay_is_here else []),
            *([self.republisher.run(self.stop)] if self.relay_is_here and self.sources else []),
            *([self.consumer.run(self.stop)] if self.member else []),
            *([self.bootstrap.run(self.stop)] if self.member and self.owners else []),
        ]
        tasks = [asyncio.create_task(loop) for loop in loops]
        listening = asyncio.create_task(self.hints.run())
        try:
            yield self
        finally:
            self.stop.set()
            if tasks:
                await asyncio.wait(tasks, timeout=20)
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
            await self.probe.close()
            await self.app.close()
            await self.worker.close()
            for task in tasks:
                task.result()
