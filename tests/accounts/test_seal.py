"""Keys of personal data on the real accounts: leased, held through an outage, destroyed with a receipt."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from tests.accounts.conftest import SERVICE_TOKEN, MovingClock, Shop
from vitrin.accounts.rpc_seal import SealServicer
from vitrin.accounts.sealing import seal_keys, seal_loop
from vitrin.accounts.service_seal import SealKeys
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.embedded.ports import free_port
from vitrin.kit.grpc import GrpcServer, channel
from vitrin.kit.ids import BrandId
from vitrin.kit.seal import (
    AccountsKeys,
    Day,
    Erased,
    Fields,
    Person,
    SealCannotOpen,
    Sealer,
    SealRefused,
    SealUnavailable,
    ToSeal,
)
from vitrin.protos.accounts.v1 import seal_pb2, seal_pb2_grpc
from vitrin.protos.kit.v1.seal_pb2 import Sealed

ANNA = Person("shopify:acme.myshopify.com:customer:115310627314723954")
EMAIL = {"email": "anna@example.com"}
TOPIC = "catalog.order.v1"
LEASE_S = 900


class Seconds:
    """A monotonic clock that stands until a test moves it."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def open_channel(rpc: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with channel(f"127.0.0.1:{rpc.port}", SERVICE_TOKEN) as opened:
        yield opened


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def sealer(open_channel: grpc.aio.Channel, seconds: Seconds) -> Sealer:
    return Sealer(AccountsKeys(open_channel, deadline_s=10), monotonic=seconds)


@dataclass
class House:
    """Accounts from the inside."""

    settings: AccountsSettings
    database: AppDatabase
    worker: WorkerDatabase
    clock: MovingClock

    def keys(self, ring: str | None = None) -> SealKeys:
        secrets = self.settings.secrets
        if ring is not None:
            secrets = secrets.model_copy(update={"token_keys": SecretStr(ring)})
        return seal_keys(replace(self.settings, secrets=secrets), self.database, self.clock)


@pytest.fixture
async def house(
    accounts_settings: AccountsSettings, database: AppDatabase, clock: MovingClock
) -> AsyncIterator[House]:
    worker = WorkerDatabase(settings=accounts_settings.database, service="accounts", clock=system_clock)
    yield House(accounts_settings, database, worker, clock)
    await worker.close()


def brand_of(shop: Shop) -> BrandId:
    return BrandId(UUID(shop.id))


async def sealed_of(
    sealer: Sealer, shop: Shop, whose: Person | Day = ANNA, at: datetime | None = None
) -> Sealed:
    sealed = await sealer.seal(brand_of(shop), whose, EMAIL, context=TOPIC, happened_at=at)
    assert isinstance(sealed, Sealed)
    return sealed


async def rows(database: AppDatabase, shop: Shop, kind: str = "person") -> list[Any]:
    async with database.read(brand_of(shop)) as session:
        found = await session.all(
            text("select * from seal_keys where kind = :kind order by created_at"), {"kind": kind}
        )
    return list(found)


async def test_one_process_seals_and_another_opens(
    shop: Shop, open_channel: grpc.aio.Channel, sealer: Sealer
) -> None:
    sealed = await sealed_of(sealer, shop)
    other = Sealer(AccountsKeys(open_channel))
    opened = await other.open(brand_of(shop), sealed, context=TOPIC)
    assert isinstance(opened, Fields)
    assert dict(opened) == EMAIL
    again = await other.seal(brand_of(shop), ANNA, EMAIL, context=TOPIC)
    assert isinstance(again, Sealed)
    assert again.key_id == sealed.key_id


async def test_another_brand_opens_nothing(shop: Shop, other: Shop, sealer: Sealer) -> None:
    sealed = await sealed_of(sealer, shop)
    with pytest.raises(SealCannotOpen, match="this brand has no key"):
        await sealer.open(brand_of(other), sealed, context=TOPIC)
    with pytest.raises(SealCannotOpen, match="does not belong to"):
        await sealer.open(brand_of(shop), sealed, context="another.topic.v1")
    assert (await sealed_of(sealer, other)).key_id != sealed.key_id


async def test_the_database_knows_no_person_and_no_key(
    shop: Shop, other: Shop, sealer: Sealer, database: AppDatabase
) -> None:
    sealed, theirs = await sealed_of(sealer, shop), await sealed_of(sealer, other)
    (row,), (their_row,) = await rows(database, shop), await rows(database, other)
    stored = b"".join(str(value).encode() for value in row) + bytes(row.wrap_ciphertext)
    assert b"acme" not in stored
    assert b"115310627314723954" not in stored
    assert str(row.seal_key_id) == sealed.key_id != theirs.key_id
    assert UUID(sealed.key_id).version == 4  # no time in it
    assert bytes(row.subject_mac) != bytes(their_row.subject_mac)


async def test_an_erased_person_opens_nowhere_after_the_lease(
    shop: Shop, open_channel: grpc.aio.Channel, sealer: Sealer, seconds: Seconds, database: AppDatabase
) -> None:
    brand, sealed = brand_of(shop), await sealed_of(sealer, shop)
    far = Sealer(AccountsKeys(open_channel), monotonic=seconds)
    await far.open(brand, sealed, context=TOPIC)
    before = system_clock()
    (receipt,) = await sealer.destroy(brand, [ANNA], actor="key:k1")
    assert before <= receipt.destroyed_at <= system_clock()
    assert receipt.keys == 1
    assert receipt.leases_end_at == receipt.destroyed_at + timedelta(seconds=LEASE_S)
    assert receipt.last_at == receipt.destroyed_at + timedelta(days=30)
    erased = Erased(receipt.destroyed_at)
    assert await sealer.open(brand, sealed, context=TOPIC) == erased
    assert isinstance(await far.open(brand, sealed, context=TOPIC), Fields)
    seconds.now += LEASE_S
    assert await far.open(brand, sealed, context=TOPIC) == erased
    assert await far.seal(brand, ANNA, EMAIL, context=TOPIC) == erased
    (row,) = await rows(database, shop)
    assert (row.wrap_key_id, row.wrap_nonce, row.wrap_ciphertext) == (None, None, None)
    assert await sealer.destroy(brand, [ANNA], actor="key:k1") == [receipt]


async def test_the_audit_log_tells_the_erasure_and_no_subject(shop: Shop, sealer: Sealer) -> None:
    await sealed_of(sealer, shop)
    for _ in range(2):
        await sealer.destroy(brand_of(shop), [ANNA], actor="key:k1")
    entries = (await shop.call("GET", "/v1/audit")).json()["data"]
    found = [entry for entry in entries if entry["action"] == "person.erase"]
    assert len(found) == 1
    assert found[0]["actor"] == "key:k1"
    assert "115310627314723954" not in str(entries)


async def test_somebody_who_never_had_a_key_gets_none_afterwards(shop: Shop, sealer: Sealer) -> None:
    brand = brand_of(shop)
    receipts = await sealer.destroy(brand, [ANNA, ANNA], actor="service")
    assert receipts[0] == receipts[1]
    assert receipts[0].keys == 0
    assert await sealer.seal(brand, ANNA, EMAIL, context=TOPIC) == Erased(receipts[0].destroyed_at)


async def test_what_a_person_does_after_the_erasure_is_sealed_anew(
    shop: Shop, open_channel: grpc.aio.Channel, sealer: Sealer
) -> None:
    brand, old = brand_of(shop), await sealed_of(sealer, shop)
    (receipt,) = await sealer.destroy(brand, [ANNA], actor="service")
    erased, later = Erased(receipt.destroyed_at), receipt.destroyed_at + timedelta(seconds=1)
    late = ToSeal(ANNA, EMAIL, receipt.destroyed_at)
    new = ToSeal(ANNA, EMAIL, later)
    first, second, third = await sealer.seal_many(brand, [late, new, ToSeal(ANNA, EMAIL)], context=TOPIC)
    assert (first, third) == (erased, erased)
    assert isinstance(second, Sealed)
    assert second.key_id != old.key_id
    far = Sealer(AccountsKeys(open_channel))
    assert await far.seal(brand, ANNA, EMAIL, context=TOPIC, happened_at=receipt.destroyed_at) == erased
    assert await far.open(brand, old, context=TOPIC) == erased
    assert isinstance(await far.open(brand, second, context=TOPIC), Fields)
    (again,) = await far.destroy(brand, [ANNA], actor="service")
    assert again.keys == 2
    assert again.destroyed_at > receipt.destroyed_at


async def test_many_askers_ask_once(shop: Shop, sealer: Sealer, database: AppDatabase) -> None:
    people = [Person(f"guest:{number}") for number in range(600)]
    values = [ToSeal(person, EMAIL) for person in people]
    several = await asyncio.gather(
        *(sealer.seal_many(brand_of(shop), values, context=TOPIC) for _ in range(3))
    )
    ids = [[one.key_id for one in sealed if isinstance(one, Sealed)] for sealed in several]
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids[0])) == 600
    assert len(await rows(database, shop)) == 600


async def test_two_processes_make_one_key(shop: Shop, open_channel: grpc.aio.Channel) -> None:
    sealers = [Sealer(AccountsKeys(open_channel, deadline_s=10)) for _ in range(8)]
    sealed = await asyncio.gather(*(sealed_of(one, shop) for one in sealers))
    assert len({one.key_id for one in sealed}) == 1


async def test_an_asker_that_gives_up_takes_the_answer_from_nobody(shop: Shop, sealer: Sealer) -> None:
    impatient = asyncio.create_task(sealed_of(sealer, shop))
    patient = asyncio.create_task(sealed_of(sealer, shop))
    await asyncio.sleep(0)
    impatient.cancel()
    assert isinstance(await patient, Sealed)


async def test_the_keys_of_a_process_outlive_accounts_until_their_time(
    shop: Shop, house: House, seconds: Seconds
) -> None:
    brand, port = brand_of(shop), free_port()
    servicer = SealServicer(house.keys())
    server = GrpcServer(
        house.settings.grpc.model_copy(update={"port": port}),
        [lambda it: seal_pb2_grpc.add_SealServiceServicer_to_server(servicer, it)],
        SERVICE_TOKEN,
    )
    await server.start()
    async with channel(f"127.0.0.1:{port}", SERVICE_TOKEN) as opened:
        sealer = Sealer(AccountsKeys(opened), monotonic=seconds)
        sealed = await sealed_of(sealer, shop)
        await server.stop()
        for _ in range(2):
            seconds.now += LEASE_S / 2 - 1
            assert isinstance(await sealer.open(brand, sealed, context=TOPIC), Fields)
        with pytest.raises(SealUnavailable, match="Accounts: UNAVAILABLE"):
            await sealer.seal(brand, Person("somebody:else"), EMAIL, context=TOPIC)
        seconds.now += 2
        with pytest.raises(SealUnavailable):
            await sealer.open(brand, sealed, context=TOPIC)


async def test_the_memory_of_keys_is_bounded(shop: Shop, open_channel: grpc.aio.Channel) -> None:
    sealer = Sealer(AccountsKeys(open_channel), keys_max=4)
    values = [ToSeal(Person(f"guest:{number}"), {"n": str(number)}) for number in range(10)]
    sealed = [
        one
        for one in await sealer.seal_many(brand_of(shop), values, context=TOPIC)
        if isinstance(one, Sealed)
    ]
    opened = await sealer.open_many(brand_of(shop), sealed, context=TOPIC)
    assert [one["n"] for one in opened if isinstance(one, Fields)] == [str(number) for number in range(10)]


async def test_days_have_keys_around_today_and_lose_them_after_their_time(
    shop: Shop, sealer: Sealer, seconds: Seconds, house: House
) -> None:
    brand, today = brand_of(shop), system_clock().date()
    sealed = await sealed_of(sealer, shop, Day(today))
    for far in (today - timedelta(days=3), today + timedelta(days=3)):
        with pytest.raises(SealRefused, match="is not the day of today"):
            await sealer.seal(brand, Day(far), EMAIL, context=TOPIC)
    (receipt,) = await sealer.destroy(brand, [ANNA], actor="service")
    assert receipt.last_at.date() == today + timedelta(days=1 + 45 + 1 + 30)
    loop = seal_loop(house.settings, house.database, house.worker, house.clock)
    for ahead, live in ((timedelta(days=44), True), (timedelta(days=47), False)):
        house.clock.ahead, seconds.now = ahead, seconds.now + LEASE_S
        await loop.round()
        assert isinstance(await sealer.open(brand, sealed, context=TOPIC), Fields if live else Erased)


async def test_a_new_ring_key_comes_over_every_key(
    shop: Shop, sealer: Sealer, open_channel: grpc.aio.Channel, house: House
) -> None:
    brand, sealed = brand_of(shop), await sealed_of(sealer, shop)
    ring = house.settings.secrets.token_keys.get_secret_value()
    new = "k0:" + base64.b64encode(b"n" * 32).decode()
    with_new, with_old = house.keys(f"{new},{ring}"), house.keys(f"{ring},{new}")
    assert await with_new.rewrap(brand, at_most=500) == 2  # Anna's and the brand's own
    assert await with_new.rewrap(brand, at_most=500) == 0
    (lent,) = (await house.keys(new).lend(brand, key_ids=[UUID(sealed.key_id)])).key_ids
    assert lent.state == "live"
    assert await with_old.rewrap(brand, at_most=500) == 2
    opened = await Sealer(AccountsKeys(open_channel)).open(brand, sealed, context=TOPIC)
    assert isinstance(opened, Fields)


async def test_refusals(shop: Shop, sealer: Sealer, open_channel: grpc.aio.Channel) -> None:
    with pytest.raises(SealRefused, match="There is no such brand"):
        await sealer.seal(uuid4(), ANNA, EMAIL, context=TOPIC)
    for subject in ("", "x" * 301):
        with pytest.raises(SealRefused, match="1 to 300 characters"):
            await sealer.seal(brand_of(shop), Person(subject), EMAIL, context=TOPIC)
    stub = seal_pb2_grpc.SealServiceStub(open_channel)
    with pytest.raises(grpc.aio.AioRpcError, match="501 at once"):
        await stub.LeaseKeys(seal_pb2.LeaseKeysRequest(brand_id=shop.id, key_ids=["x"] * 501))
    answer = await stub.LeaseKeys(seal_pb2.LeaseKeysRequest(brand_id=shop.id, key_ids=["x", str(uuid4())]))
    assert [one.state for one in answer.key_ids] == [seal_pb2.KEY_STATE_UNKNOWN] * 2
    asked = seal_pb2.SubjectAsked(subject="nobody", create=False)
    answer = await stub.LeaseKeys(seal_pb2.LeaseKeysRequest(brand_id=shop.id, subjects=[asked]))
    assert answer.subjects[0].state == seal_pb2.KEY_STATE_UNKNOWN
