"""The replica of brands and keys on the real PostgreSQL, and accounts behind a real gRPC socket."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from pydantic import SecretStr
from sqlalchemy import create_engine, pool, select, text

from vitrin.events import topics
from vitrin.events.envelope import InvalidMessage, Message
from vitrin.kit.access import ReplicaDirectory, access_handler, install_access, models
from vitrin.kit.access.directory import CACHE_S
from vitrin.kit.access.errors import AccessUnavailable, KeyExpired, KeyRevoked, KeyUnknown
from vitrin.kit.access.tokens import Token, new_token
from vitrin.kit.clock import system_clock, to_us
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.migrate import prepare_database
from vitrin.kit.db.urls import role_url
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.grpc import GrpcServer, channel
from vitrin.kit.ids import BrandId
from vitrin.kit.settings import DatabaseSettings, GrpcSettings
from vitrin.protos.accounts.v1 import access_pb2, access_pb2_grpc, events_pb2

SERVICE = "access_probe"
TOKEN = "a-token-of-the-tests"


@dataclass
class Accounts(access_pb2_grpc.AccessServiceServicer):
    """What accounts knows, and how often it was asked."""

    answers: dict[str, access_pb2.CheckKeyResponse] = field(default_factory=dict)
    asked: int = 0
    down: bool = False

    async def CheckKey(self, request: Any, context: Any) -> access_pb2.CheckKeyResponse:  # noqa: N802
        self.asked += 1
        if self.down:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
        return self.answers.get(request.key_id, access_pb2.CheckKeyResponse(found=False))


@dataclass
class World:
    """One replica, with an age and a time that the test sets."""

    app: AppDatabase
    worker: WorkerDatabase
    accounts: Accounts
    stub: access_pb2_grpc.AccessServiceAsyncStub
    age: float = 0.0
    seconds: float = 1000.0

    def age_s(self) -> float:
        return self.age

    def directory(self) -> ReplicaDirectory:
        return ReplicaDirectory(self.app, self, self.stub, system_clock, monotonic=lambda: self.seconds)

    async def deliver(self, *contents: Any) -> None:
        messages = [message_of(content) for content in contents]
        brands = sorted({BrandId(message.brand_id) for message in messages})
        async with self.worker.write(brands) as tx:
            await access_handler(tx, messages)


def message_of(content: Any) -> Message:
    brand = isinstance(content, events_pb2.BrandChanged)
    return Message(
        topic=topics.BRAND if brand else topics.API_KEY,
        partition=0,
        offset=0,
        key=content.brand_id if brand else content.key_id,
        type="accounts.brand_changed" if brand else "accounts.api_key_changed",
        brand_id=UUID(content.brand_id),
        event_id=uuid4(),
        occurred_at=system_clock(),
        received_at=system_clock(),
        payload=content.SerializeToString(),
    )


def a_brand(brand_id: UUID, version: int = 1, **fields: Any) -> events_pb2.BrandChanged:
    return events_pb2.BrandChanged(
        brand_id=str(brand_id),
        version=version,
        **{
            "name": "North",
            "slug": str(brand_id),
            "default_currency": "EUR",
            "default_market": "DE",
            **fields,
        },
    )


def a_key(
    token: Token,
    brand_id: UUID,
    version: int = 1,
    *,
    scopes: Sequence[str] = ("catalog:read",),
    revoked_at: datetime | None = None,
    expires_at: datetime | None = None,
) -> events_pb2.ApiKeyChanged:
    return events_pb2.ApiKeyChanged(
        key_id=token.key_id,
        brand_id=str(brand_id),
        version=version,
        kind=events_pb2.KEY_KIND_SECRET,
        mode=events_pb2.KEY_MODE_LIVE,
        secret_hash=token.secret_hash(),
        scopes=scopes,
        role="editor",
        revoked_at_us=to_us(revoked_at),
        expires_at_us=to_us(expires_at),
    )


@pytest.fixture(scope="module")
def settings(embedded_postgres: EmbeddedPostgres) -> DatabaseSettings:
    settings = DatabaseSettings(url=SecretStr(embedded_postgres.url))
    prepare_database(settings, SERVICE)
    engine = create_engine(role_url(settings, SERVICE, "owner"), poolclass=pool.NullPool)
    with engine.begin() as connection:
        install_access(Operations(MigrationContext.configure(connection)))
    engine.dispose()
    return settings


@pytest.fixture
async def world(settings: DatabaseSettings) -> AsyncIterator[World]:
    accounts = Accounts()
    server = GrpcServer(
        GrpcSettings(service_token=SecretStr(TOKEN)),
        [lambda server: access_pb2_grpc.add_AccessServiceServicer_to_server(accounts, server)],
        TOKEN,
    )
    await server.start()
    app = AppDatabase(settings=settings, service=SERVICE, clock=system_clock)
    worker = WorkerDatabase(settings=settings, service=SERVICE, clock=system_clock)
    async with channel(f"127.0.0.1:{server.port}", TOKEN) as opened:
        yield World(app, worker, accounts, access_pb2_grpc.AccessServiceStub(opened))
    await app.close()
    await worker.close()
    await server.stop()


async def test_a_fresh_replica_decides_alone(world: World) -> None:
    brand_id, token = uuid4(), new_token("secret", "live")
    await world.deliver(a_brand(brand_id, has_live_connection=True), a_key(token, brand_id))
    directory = world.directory()
    caller = await directory.authenticate(token.text())
    assert (caller.brand_id, caller.key_id, caller.mode) == (brand_id, token.key_id, "live")
    assert (caller.scopes, caller.brand_has_live_connection) == (frozenset({"catalog:read"}), True)
    assert (await directory.brand_defaults(caller.brand_id)).default_currency == "EUR"
    assert world.accounts.asked == 0


async def test_a_wrong_secret_is_an_unknown_key(world: World) -> None:
    brand_id, token = uuid4(), new_token("secret", "live")
    await world.deliver(a_brand(brand_id), a_key(token, brand_id))
    forged = Token("secret", "live", token.key_id, new_token("secret", "live").secret)
    with pytest.raises(KeyUnknown):
        await world.directory().authenticate(forged.text())


async def test_a_revoked_key_stops_when_the_cache_ends(world: World) -> None:
    brand_id, token = uuid4(), new_token("secret", "live")
    await world.deliver(a_brand(brand_id), a_key(token, brand_id))
    directory = world.directory()
    await directory.authenticate(token.text())
    await world.deliver(a_key(token, brand_id, 2, revoked_at=system_clock()))
    world.seconds += CACHE_S
    with pytest.raises(KeyRevoked):
        await directory.authenticate(token.text())
    assert CACHE_S < 1


async def test_an_expired_key_stops_even_in_the_cache(world: World) -> None:
    brand_id, token = uuid4(), new_token("secret", "live")
    past = system_clock() - timedelta(seconds=1)
    await world.deliver(a_brand(brand_id), a_key(token, brand_id, expires_at=past))
    directory = world.directory()
    for _ in range(2):
        with pytest.raises(KeyExpired):
            await directory.authenticate(token.text())


async def test_every_order_and_repetition_ends_with_the_newest_version(world: World) -> None:
    brand_id, token = uuid4(), new_token("secret", "live")
    old = a_key(token, brand_id, 1)
    new = a_key(token, brand_id, 2, revoked_at=system_clock())
    await world.deliver(a_brand(brand_id, 3, name="newest"), a_brand(brand_id, 2, name="older"), new, old)
    await world.deliver(old)
    await world.deliver(a_brand(brand_id, 1, name="oldest"))
    with pytest.raises(KeyRevoked):
        await world.directory().authenticate(token.text())
    assert (await world.directory().brand_defaults(BrandId(brand_id))).name == "newest"


async def test_a_deleted_brand_has_no_keys(world: World) -> None:
    brand_id, token = uuid4(), new_token("secret", "live")
    await world.deliver(a_brand(brand_id), a_key(token, brand_id))
    await world.deliver(a_brand(brand_id, 2, deleted=True))
    with pytest.raises(KeyUnknown):
        await world.directory().authenticate(token.text())
    with pytest.raises(AccessUnavailable):
        await world.directory().brand_defaults(BrandId(brand_id))


async def test_a_key_that_has_not_arrived_is_asked_for(world: World) -> None:
    brand_id, token = uuid4(), new_token("secret", "live")
    world.accounts.answers[token.key_id] = access_pb2.CheckKeyResponse(
        found=True, key=a_key(token, brand_id), brand=a_brand(brand_id)
    )
    directory = world.directory()
    assert (await directory.authenticate(token.text())).brand_id == brand_id
    assert (await directory.brand_defaults(BrandId(brand_id))).name == "North"
    world.accounts.down = True
    with pytest.raises(KeyUnknown):
        await directory.authenticate(new_token("secret", "live").text())
    assert world.accounts.asked == 2


async def test_a_stale_replica_asks_and_accounts_decides(world: World) -> None:
    brand_id, token = uuid4(), new_token("secret", "live")
    await world.deliver(a_brand(brand_id), a_key(token, brand_id))
    revoked = a_key(token, brand_id, 2, revoked_at=system_clock())
    world.accounts.answers[token.key_id] = access_pb2.CheckKeyResponse(
        found=True, key=revoked, brand=a_brand(brand_id)
    )
    world.age = 30.0
    assert (await world.directory().authenticate(token.text())).brand_id == brand_id
    world.age = 30.1
    with pytest.raises(KeyRevoked):
        await world.directory().authenticate(token.text())
    assert world.accounts.asked == 1


@pytest.mark.parametrize(("age", "served"), [(900.0, True), (900.1, False), (math.inf, False)])
async def test_with_accounts_down_a_stale_replica_serves_for_a_while(
    world: World, age: float, served: bool
) -> None:
    brand_id, token = uuid4(), new_token("secret", "live")
    await world.deliver(a_brand(brand_id), a_key(token, brand_id))
    world.accounts.down, world.age = True, age
    if served:
        assert (await world.directory().authenticate(token.text())).brand_id == brand_id
    else:
        with pytest.raises(AccessUnavailable):
            await world.directory().authenticate(token.text())


async def test_the_app_role_cannot_list_keys(world: World) -> None:
    brand_id, token = uuid4(), new_token("secret", "live")
    await world.deliver(a_brand(brand_id), a_key(token, brand_id))
    async with world.app.lookup() as session:
        assert await session.all(select(models.keys)) == []
        assert await session.all(select(models.brands)) == []
        await session.execute(text("select set_config('app.lookup_key', :key, true)"), {"key": token.key_id})
        assert [row.key_id for row in await session.all(select(models.keys))] == [token.key_id]
        assert [row.brand_id for row in await session.all(select(models.brands))] == [brand_id]


async def test_what_is_no_key_is_an_invalid_message(world: World) -> None:
    brand_id, token = uuid4(), new_token("secret", "live")
    bad = a_key(token, brand_id)
    bad.kind = events_pb2.KEY_KIND_UNSPECIFIED
    with pytest.raises(InvalidMessage, match="kind 0"):
        await world.deliver(bad)
