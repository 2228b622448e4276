"""Dead letters through the operator's door: list, show, replay, drop, and their age."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from pydantic import SecretStr
from sqlalchemy import create_engine, pool, text

from tests.support.ops import (
    LETTERS,
    QUICK,
    TOKEN,
    Document,
    Door,
    Operated,
    ended,
    operating,
    poisoned,
    post,
    until,
)
from tests.support.spine import SERVICE, Spine, database_settings, install
from vitrin.events import topics
from vitrin.kit.clock import system_clock
from vitrin.kit.consumer import letters, parking, store
from vitrin.kit.consumer.loop import HALTED
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.migration import install_consumer, install_parking
from vitrin.kit.db.session import WriteSession
from vitrin.kit.db.urls import role_url
from vitrin.kit.embedded.broker import EmbeddedBroker
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.kafka.batches import Record
from vitrin.kit.kafka.batches import headers as encoded
from vitrin.kit.kafka.producer import OrderedProducer
from vitrin.kit.settings import ProcessSettings


@pytest.fixture
async def operated(
    embedded_postgres: EmbeddedPostgres, embedded_broker: EmbeddedBroker
) -> AsyncIterator[Operated]:
    async with operating(embedded_postgres, embedded_broker) as operated:
        yield operated


@pytest.fixture
def spine(operated: Operated) -> Spine:
    return operated.spine


@pytest.fixture
def door(operated: Operated) -> Door:
    return operated.door


async def test_a_letter_is_shown_with_what_can_be_read_of_it(spine: Spine, door: Door) -> None:
    brand = uuid4()
    (letter,) = await poisoned(spine, door, brand, ["sour"])
    assert letter["reason"] == "ValueError: cannot handle sour"
    assert (letter["group"], letter["topic"], letter["state"]) == ("spine.seen", topics.ITEM, "dead")
    shown = (await door.client.get(f"{LETTERS}/{letter['id']}")).json()
    assert shown["payload"] == {
        "encoding": "json",
        "message": {"content_version": "1", "content": {"item_id": "sour"}},
        "hex": None,
        "truncated": False,
    }
    assert shown["headers"]["type"] == "catalog.item_changed"
    assert {**letter, "headers": shown["headers"], "payload": shown["payload"]} == shown


async def test_records_that_cannot_be_read_are_shown_too(spine: Spine, door: Door) -> None:
    """No header, a torn Protobuf, a large one: nothing is guessed, nothing is too long."""
    brand = uuid4()
    now = b"1700000000000000"
    headers = (
        ("id", uuid4().bytes),
        ("type", b"catalog.item_changed"),
        ("brand", brand.bytes),
        ("occurred", now),
        ("received", now),
    )
    producer = OrderedProducer(spine.kafka, client_id="stranger")
    for value, given in ((b"\xff\x00", ()), (b"\xff\xff\xff", headers), (b"\xff" * 70_000, headers)):
        record = Record(topic=topics.ITEM, key=b"odd", value=value, headers=encoded(given), partition=0)
        await producer.produce([record])
    await producer.close()

    async def look() -> list[Document]:
        found: list[Document] = (await door.client.get(LETTERS)).json()["data"]
        return found

    found = await until(look, lambda seen: len(seen) == 3)
    shown = [(await door.client.get(f"{LETTERS}/{one['id']}")).json() for one in found]
    assert [one["brand"] for one in shown] == [None, str(brand), str(brand)]
    assert [one["type"] for one in shown] == ["", "catalog.item_changed", "catalog.item_changed"]
    assert shown[0]["reason"] == "headers missing: id, type, brand, occurred, received"
    assert [one["payload"]["hex"] for one in shown] == ["ff00", "ffffff", "ff" * 4096]
    assert [one["payload"]["truncated"] for one in shown] == [False, False, True]
    assert [one["payload_bytes"] for one in shown] == [2, 3, 70_000]
    await post(door, shown[0], "replay", 202)
    assert (await ended(door, shown[0]))["outcome"].startswith("failed: headers missing")


async def test_a_list_is_paged_and_filtered(spine: Spine, door: Door) -> None:
    brand, other = uuid4(), uuid4()
    names = [f"sour-{n}" for n in range(7)]
    await poisoned(spine, door, brand, names)
    await poisoned(spine, door, other, ["bitter"])
    keys, cursor = [], None
    while True:
        page = (
            await door.client.get(LETTERS, params={"limit": 3, "cursor": cursor} if cursor else {"limit": 3})
        ).json()
        keys += [one["key"] for one in page["data"]]
        if not (cursor := page["next_cursor"]):
            break
    assert keys == [f"{brand}/{name}" for name in names] + [f"{other}/bitter"]

    async def count(**params: str) -> int:
        answer = await door.client.get(LETTERS, params=params)
        assert answer.status_code == 200, answer.text
        return len(answer.json()["data"])

    assert await count(brand=str(other)) == 1
    assert await count(reason="HANDLE SOUR-3") == 1
    assert await count(reason="%") == 0
    assert await count(group="spine.seen", topic=topics.ITEM) == 8
    assert await count(group="spine") == 0
    assert await count(topic=topics.OFFER) == 0
    assert await count(state="dead") == 8
    assert await count(state="dropped") == 0


async def test_bad_questions_are_refused(door: Door) -> None:
    refusals = {
        f"{LETTERS}?cursor=nonsense": (400, "cursor_invalid"),
        f"{LETTERS}?limit=0": (422, "malformed"),
        f"{LETTERS}?limit=501": (422, "malformed"),
        f"{LETTERS}?state=alive": (422, "malformed"),
        f"{LETTERS}?brand=x": (422, "malformed"),
        f"{LETTERS}?reason=%00": (422, "malformed"),
        f"{LETTERS}/x": (422, "malformed"),
        f"{LETTERS}/{UUID(int=0)}": (404, "message_not_found"),
        "/v1/ops/parked?cursor=eyJwb3NpdGlvbiI6LTF9": (400, "cursor_invalid"),
        f"/v1/ops/parked/{UUID(int=0)}": (404, "message_not_found"),
    }
    answers = {path: await door.client.get(path) for path in refusals}
    assert {path: (answer.status_code, answer.json()["code"]) for path, answer in answers.items()} == refusals
    assert all(answer.json()["fix"] for answer in answers.values())


async def test_only_the_operator_comes_in(door: Door) -> None:
    some = UUID(int=0)
    doors = (
        ("GET", LETTERS),
        ("GET", f"{LETTERS}/{some}"),
        ("POST", f"{LETTERS}/{some}/replay"),
        ("POST", f"{LETTERS}/{some}/drop"),
        ("GET", "/v1/ops/parked"),
        ("GET", f"/v1/ops/parked/{some}"),
    )
    for token in (None, "not-the-operator-token", "vk_live_a_b"):
        headers = {"Authorization": f"Bearer {token}" if token else ""}
        for method, path in doors:
            answer = await door.client.request(method, path, headers=headers, json={})
            assert (answer.status_code, answer.json()["code"]) == (401, "operator_token_wrong"), (token, path)


async def test_a_replay_is_handled_once_and_says_how_it_ended(spine: Spine, door: Door) -> None:
    brand = uuid4()
    (letter,) = await poisoned(spine, door, brand, ["sour"])
    await post(door, letter, "replay", 202)
    failed = await ended(door, letter)
    assert (failed["state"], failed["outcome"]) == ("dead", "failed: ValueError: cannot handle sour")
    assert failed["changed_by"] == "ada"
    assert await spine.seen(brand) == {}

    spine.poison.clear()
    answers = await asyncio.gather(
        *(door.client.post(f"{LETTERS}/{letter['id']}/replay", json={}) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409]
    refused = next(answer.json() for answer in answers if answer.status_code == 409)
    assert refused["code"] == "dead_letter_not_dead"
    done = await ended(door, letter)
    assert (done["state"], done["outcome"]) == ("replayed", "done")
    assert await spine.seen(brand) == {"sour": 1}
    assert spine.handled == [("sour", 1)]
    again = await post(door, letter, "replay", 409)
    assert (again["code"], again["state"]) == ("dead_letter_not_dead", "replayed")


async def test_an_older_version_changes_nothing_when_it_is_replayed(spine: Spine, door: Door) -> None:
    brand = uuid4()
    (letter,) = await poisoned(spine, door, brand, ["thing"])
    spine.poison.clear()
    await spine.change(brand, "thing")
    assert await spine.until_seen(brand, {"thing": 2}) == {"thing": 2}
    await post(door, letter, "replay", 202)
    assert (await ended(door, letter))["state"] == "replayed"
    assert spine.handled == [("thing", 2), ("thing", 1)]
    assert await spine.seen(brand) == {"thing": 2}


async def test_replays_of_a_key_go_in_order_and_by_one_member_at_a_time(spine: Spine, door: Door) -> None:
    """Asked for in the wrong order while no worker looks; then two workers look at once."""
    brand = uuid4()
    found = await poisoned(spine, door, brand, ["sour"] * 5)
    async with spine.worker.write() as holder:
        await holder.execute(text("select 1 from dead_letters for update"))
        asking = [asyncio.create_task(post(door, letter, "replay", 202)) for letter in reversed(found)]
        spine.poison.clear()
        await asyncio.sleep(0.1)
    await asyncio.gather(*asking)
    other = Spine(spine.database, spine.kafka, owner="spine-1", limits=QUICK)
    async with other.running():
        ends = [await ended(door, letter) for letter in found]
    assert [end["state"] for end in ends] == ["replayed"] * 5
    assert sorted(spine.handled + other.handled) == [("sour", n) for n in range(1, 6)]


async def test_a_replay_that_has_to_wait_is_tried_again_and_holds_nobody_up(spine: Spine, door: Door) -> None:
    brand = uuid4()
    (letter,) = await poisoned(spine, door, brand, ["late"])
    spine.poison.clear()
    spine.waiting.add("late")
    await post(door, letter, "replay", 202)

    async def look() -> Document:
        shown: Document = (await door.client.get(f"{LETTERS}/{letter['id']}")).json()
        return shown

    waits = await until(look, lambda seen: seen["tries"] >= 2 or seen["state"] == "dead")
    assert (waits["state"], waits["outcome"]) == ("replaying", "waits: late has to wait")
    spine.waiting.clear()
    await spine.change(brand, "late")
    assert await spine.until_seen(brand, {"late": 2}) == {"late": 2}
    assert (await ended(door, letter))["state"] == "replayed"


async def test_a_replay_gives_up_after_its_tries(spine: Spine, door: Door) -> None:
    (letter,) = await poisoned(spine, door, uuid4(), ["late"])
    spine.poison.clear()
    spine.waiting.add("late")
    await post(door, letter, "replay", 202)
    end = await ended(door, letter)
    assert (end["state"], end["tries"]) == ("dead", letters.REPLAY_TRIES_MAX - 1)
    assert end["outcome"] == f"still waits after {letters.REPLAY_TRIES_MAX} tries: late has to wait"


async def test_a_member_that_is_killed_in_the_middle_leaves_the_replay_to_the_next(
    spine: Spine, door: Door
) -> None:
    """Its transaction is gone with it; the letter is still asked for."""
    brand = uuid4()
    (letter,) = await poisoned(spine, door, brand, ["sour"])
    spine.poison.clear()
    handle, entered = spine.handle, asyncio.Event()

    async def die(tx: WriteSession, messages: Any) -> None:
        await handle(tx, messages)
        if not entered.is_set():
            entered.set()
            await tx.execute(text("select pg_terminate_backend(pg_backend_pid())"))

    spine.consumer._handler = die
    await post(door, letter, "replay", 202)
    assert (await ended(door, letter))["state"] == "replayed"
    assert entered.is_set()
    assert spine.handled == [("sour", 1), ("sour", 1)]
    async with spine.app.read(brand) as session:  # type: ignore[arg-type]
        assert await session.scalar(text("select times from seen")) == 1


async def test_a_dropped_letter_is_gone_but_for_who_and_why(
    spine: Spine, door: Door, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    brand = uuid4()
    (letter,) = await poisoned(spine, door, brand, ["sour"])
    await post(door, letter, "drop", 422)
    assert (await door.client.get(f"{LETTERS}/{letter['id']}")).json()["state"] == "dead"
    capsys.readouterr()
    caplog.clear()
    dropped = await post(door, letter, "drop", 200, reason="test data")
    printed = (
        capsys.readouterr()
    )  # or logged, where an earlier test has configured the logs as a service does
    logged = (printed.out + printed.err + caplog.text).splitlines()
    line = next(line for line in logged if "dead_letter_dropped" in line)
    assert "ada" in line
    assert "test data" in line
    assert letter["id"] in line
    assert (dropped["state"], dropped["outcome"], dropped["changed_by"]) == (
        "dropped",
        "dropped: test data",
        "ada",
    )
    assert dropped["payload"] == {"encoding": "none", "message": None, "hex": None, "truncated": False}
    assert dropped["payload_bytes"] == 0
    assert (await post(door, letter, "replay", 409))["code"] == "dead_letter_not_dead"
    assert (await post(door, letter, "drop", 409, reason="again"))["state"] == "dropped"


async def test_dealing_with_letters_gives_room_under_the_limit(spine: Spine, door: Door) -> None:
    brand = uuid4()
    (letter, _) = await poisoned(spine, door, brand, ["sour", "bitter"])
    since = system_clock() - timedelta(minutes=5)

    async def buried() -> int:
        async with spine.worker.read() as session:
            return await store.buried_since(session, group="spine.seen", since=since)

    assert await buried() == 2
    await post(door, letter, "drop", 200, reason="test data")
    assert await buried() == 1


async def test_at_the_limit_replays_still_go_and_give_room(spine: Spine, door: Door) -> None:
    """Parked messages turn out invalid beyond the limit and stay; the letters before them can be replayed."""
    brand = uuid4()
    spine.waiting |= {f"late-{n}" for n in range(101)}
    for n in range(101):
        await spine.change(brand, f"late-{n}")

    async def parked() -> int:
        async with spine.worker.read() as session:
            return int(await session.scalar(text("select count(*) from parked_messages")))

    await until(parked, lambda seen: seen == 101)
    (letter,) = await poisoned(spine, door, brand, ["sour"])
    spine.poison |= spine.waiting
    spine.waiting.clear()
    await until(lambda: halted("spine.seen"), lambda seen: seen == 1.0)
    spine.poison.discard("sour")
    await post(door, letter, "replay", 202)
    assert (await ended(door, letter))["state"] == "replayed"
    assert await parked() >= 1


async def halted(group: str) -> float:
    return float(HALTED.labels(group=group)._value.get())


async def test_old_letters_get_their_brand_when_the_table_grows(
    embedded_postgres: EmbeddedPostgres,
) -> None:
    """The migration on a database that has dead letters already."""
    brand = uuid4()
    database = database_settings(embedded_postgres.url)
    install(database)
    engine = create_engine(role_url(database, SERVICE, "owner"), poolclass=pool.NullPool)
    insert = text(
        "insert into dead_letters (id, consumer_group, topic, topic_id, partition, record_offset, headers, reason,"
        " created_at) values (:id, 'g', 't', :id, 0, 0, cast(:headers as jsonb), 'r', now())"
    )
    with engine.begin() as connection:
        for statement in (
            "drop schema public cascade",
            "create schema public",
            "grant usage on schema public to public",
        ):
            connection.execute(text(statement))
        op = Operations(MigrationContext.configure(connection))
        install_consumer(op)
        for headers in ({"brand": brand.hex, "type": "catalog.item_changed"}, {"brand": "Z" * 32}, {}):
            connection.execute(insert, {"id": uuid4(), "headers": json.dumps(headers)})
        install_parking(op)
    engine.dispose()
    worker = WorkerDatabase(settings=database, service=SERVICE, clock=system_clock)
    async with worker.read() as session:
        rows = await session.all(
            text("select brand_id, event_type, state from dead_letters order by event_type")
        )
    await worker.close()
    assert [tuple(row) for row in rows] == [
        (None, "", "dead"),
        (None, "", "dead"),
        (brand, "catalog.item_changed", "dead"),
    ]


async def test_letters_are_forgotten_after_their_age(spine: Spine, door: Door) -> None:
    old, new = await poisoned(spine, door, uuid4(), ["old", "new"])
    later = system_clock() + letters.DEAD_LETTERS_KEEP - timedelta(hours=1)
    async with spine.worker.write() as tx:
        await tx.execute(
            text("update dead_letters set created_at = created_at - interval '2 hours' where id = :id"),
            {"id": old["id"]},
        )
    async with spine.worker.write() as tx:
        assert await letters.forget(tx, now=later) == 1
    assert (await door.client.get(f"{LETTERS}/{old['id']}")).status_code == 404
    assert (await door.client.get(f"{LETTERS}/{new['id']}")).status_code == 200


async def test_parked_messages_are_listed_and_shown(spine: Spine, door: Door) -> None:
    brand = uuid4()
    spine.waiting.add("late")
    for _ in range(3):
        await spine.change(brand, "late")

    async def look() -> list[Document]:
        found: list[Document] = (await door.client.get("/v1/ops/parked")).json()["data"]
        return found

    found = await until(look, lambda seen: len(seen) == 3)
    assert [one["key"] for one in found] == [f"{brand}/late"] * 3
    first = (await door.client.get("/v1/ops/parked", params={"limit": 1})).json()
    rest = (await door.client.get("/v1/ops/parked", params={"cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in first["data"] + rest["data"]] == [one["id"] for one in found]
    assert rest["next_cursor"] is None
    assert (await door.client.get("/v1/ops/parked", params={"brand": str(uuid4())})).json()["data"] == []
    shown = (await door.client.get(f"/v1/ops/parked/{found[1]['id']}")).json()
    assert shown["payload"]["message"] == {"content_version": "2", "content": {"item_id": "late"}}
    assert shown["headers"]["type"] == shown["type"]


async def test_a_parked_message_and_a_replay_of_its_key_do_not_meet(spine: Spine) -> None:
    key = (topics.ITEM, "some/key")
    async with spine.worker.write() as mine, spine.worker.write() as theirs:
        assert await parking.alone(mine, group="spine.seen", keys=[key]) == [key]
        assert await parking.alone(theirs, group="spine.seen", keys=[key]) == []
        assert await parking.alone(theirs, group="spine.other", keys=[key]) == [key]


def test_without_a_token_nobody_operates() -> None:
    assert ProcessSettings().operator is None
    assert ProcessSettings(operator_token=SecretStr(TOKEN)).operator == TOKEN
