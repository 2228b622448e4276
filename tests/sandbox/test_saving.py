"""The state file in one process: everything comes back to the millisecond, and nothing but a whole file is read."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from structlog.testing import capture_logs

from tests.sandbox.conftest import meta_item, pinterest_item
from vitrin.sandbox.accounts import Account, TokenState
from vitrin.sandbox.control import summarise
from vitrin.sandbox.grants import Refresh
from vitrin.sandbox.keeper import StateKeeper, load_world
from vitrin.sandbox.saving import BATCHES_KEPT_MS, capture, write
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.state import CatalogState
from vitrin.sandbox.timing import epoch_ms
from vitrin.sandbox.wire import Call, Reply
from vitrin.sandbox.world import World, build_world

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
SETTINGS = SandboxSettings(quota=False, batch_latency_ms=1_000, polls_before_finished=0)


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def again(clock: Clock, tmp_path: Path) -> Callable[[World], World]:
    """What a restart, at the same moment, makes of a world."""

    def restart(world: World) -> World:
        write(capture(world), tmp_path / "deep" / "state")
        return load_world(SETTINGS, tmp_path / "deep" / "state", clock=clock)

    return restart


def account_of(world: World, platform: str, *, number: int = 1) -> Account:
    return world.accounts.by_platform[platform][number - 1]


def catalog_of(world: World, platform: str, *, number: int = 1) -> CatalogState:
    return world.platforms[platform].catalogs[account_of(world, platform, number=number).catalog_ids[0]]


def call(world: World, platform: str, path: str, *, body: object = None, **query: str) -> Reply:
    encoded = b"" if body is None else orjson.dumps(body)
    token = account_of(world, platform).access_token
    made = Call(
        method="GET" if body is None else "POST",
        path=path,
        query=query,
        headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        body=encoded,
        body_bytes=len(encoded),
        form=None,
        base_url="http://sandbox",
        received_ms=world.now_ms(),
    )
    return world.platforms[platform].handle(made)


def meta_batch(world: World, *items: dict[str, object]) -> str:
    requests = [{"method": "CREATE", "data": one} for one in items]
    path = f"/v26.0/{account_of(world, 'meta').catalog_ids[0]}/items_batch"
    reply = call(world, "meta", path, body={"item_type": "PRODUCT_ITEM", "requests": requests})
    assert reply.status == 200, reply.body
    handle: str = reply.body["handles"][0]
    return handle


def meta_status(world: World, handle: str) -> Reply:
    path = f"/v26.0/{account_of(world, 'meta').catalog_ids[0]}/check_batch_request_status"
    return call(world, "meta", path, handle=handle, load_ids_of_invalid_requests="true")


def pinterest_batch(world: World, *item_ids: str) -> Reply:
    items = [{"operation": "UPSERT", "item_id": one, "attributes": pinterest_item()} for one in item_ids]
    body = {"catalog_type": "RETAIL", "country": "US", "language": "EN", "items": items}
    return call(world, "pinterest", "/v5/catalogs/items/batch", body=body)


def test_items_accounts_and_their_times_come_back(clock: Clock, again: Callable[[World], World]) -> None:
    before = build_world(SETTINGS, clock=clock)
    before.open_account("meta")
    before.set_token(before.open_account("pinterest", has_feed=True), TokenState.EXPIRED)
    meta = catalog_of(before, "meta")
    meta.put("shirt", {"title": "Shirt", "price": "10.00 EUR"}, at_ms=1_000)
    meta.put("schön/1", {"title": "Schön"}, at_ms=2_000)
    meta.put("shirt", {"title": "Shirt", "price": "11.00 EUR"}, at_ms=3_000)
    meta.put("gone", {"title": "Gone"}, at_ms=4_000)
    meta.remove("gone", at_ms=5_000)
    made = call(
        before, "meta", f"/v26.0/{account_of(before, 'meta').external_ids['business_id']}/owned_product_catalogs",
        body={"name": "Second"},
    )  # fmt: skip
    clock.move(60)

    after = again(before)
    catalog = catalog_of(after, "meta")
    assert [(item.key, item.seq, item.created_ms, item.updated_ms) for item in catalog.snapshot()] == [
        ("shirt", 1, 1_000, 3_000),
        ("schön/1", 2, 2_000, 2_000),
    ]
    shirt = catalog.get("shirt")
    assert shirt is not None
    assert shirt.fields() == {"title": "Shirt", "price": "11.00 EUR"}
    assert shirt.field_times_ms() == {"title": 1_000, "price": 3_000}
    assert (catalog.next_seq, catalog.last_change_ms) == (4, 5_000)
    assert after.accounts.by_platform == before.accounts.by_platform
    assert after.accounts.by_token("meta", account_of(after, "meta", number=2).access_token) is not None
    assert after.platforms["meta"].catalogs[made.body["id"]].name == "Second"
    assert summarise(after) == summarise(before)
    again_after = call(
        after, "meta", f"/v26.0/{account_of(after, 'meta').catalog_ids[0]}/products", fields="id"
    )
    assert len(again_after.body["data"]) == 2


def test_handles_can_be_polled_after_the_restart(clock: Clock, again: Callable[[World], World]) -> None:
    before = build_world(SETTINGS, clock=clock)
    finished = meta_batch(before, meta_item("a"), {"id": "b", "title": "only a title"})
    pinned = pinterest_batch(before, "p").body["batch_id"]
    clock.move(5)
    before.settle()
    waiting = meta_batch(before, meta_item("c"))

    after = again(before)
    for handle in (finished, waiting):
        assert meta_status(after, handle).body == meta_status(before, handle).body
    assert meta_status(after, finished).body["data"][0]["ids_of_invalid_requests"] == ["b"]
    assert meta_status(after, waiting).body["data"][0]["status"] == "started"
    assert catalog_of(after, "meta").get("c") is None
    clock.move(5)
    assert meta_status(after, waiting).body["data"][0]["status"] == "finished"
    carried_out = catalog_of(after, "meta").get("c")
    assert carried_out is not None
    assert carried_out.created_ms == epoch_ms(clock) - 4_000
    poll = call(after, "pinterest", f"/v5/catalogs/items/batch/{pinned}")
    assert (poll.body["status"], poll.body["items"][0]["status"]) == ("COMPLETED", "SUCCESS")
    assert pinterest_batch(after, "p").outcome == "duplicate"


def test_old_batches_are_forgotten_and_waiting_ones_never(
    clock: Clock, again: Callable[[World], World]
) -> None:
    before = build_world(SETTINGS, clock=clock)
    old = meta_batch(before, meta_item("a"))
    clock.move(5)
    before.settle()
    waiting = meta_batch(before, meta_item("b"))
    clock.move(BATCHES_KEPT_MS // 1_000)
    after = again(before)
    assert meta_status(after, old).status == 400
    assert meta_status(after, waiting).body["data"][0]["status"] == "finished"
    assert [item.key for item in catalog_of(after, "meta").snapshot()] == ["a", "b"]


def test_no_handle_comes_twice(clock: Clock, again: Callable[[World], World]) -> None:
    before = build_world(SETTINGS, clock=clock)
    saved = again(before)
    clock.move(1)
    lost = meta_batch(before, meta_item("a"))
    clock.move(1)
    after = again(saved)
    assert meta_batch(after, meta_item("b")) != lost
    assert meta_status(after, lost).status == 400


def test_snapshot_is_one_moment(clock: Clock, tmp_path: Path) -> None:
    world = build_world(SETTINGS, clock=clock)
    catalog_of(world, "meta").put("old", {"title": "Before", "price": "1.00 EUR"}, at_ms=1)
    handle = meta_batch(world, meta_item("new"))
    taken = capture(world)
    clock.move(5)
    world.settle()
    catalog_of(world, "meta").put("old", {"title": "After", "price": "2.00 EUR"}, at_ms=2)
    catalog_of(world, "meta").remove("new", at_ms=3)
    write(taken, tmp_path / "state")

    after = load_world(SETTINGS, tmp_path / "state", clock=lambda: NOW)
    old = catalog_of(after, "meta").get("old")
    assert old is not None
    assert (old.fields(), old.updated_ms) == ({"title": "Before", "price": "1.00 EUR"}, 1)
    assert len(catalog_of(after, "meta")) == 1
    assert meta_status(after, handle).body["data"][0]["status"] == "started"


def test_no_file_is_a_fresh_world(clock: Clock, tmp_path: Path) -> None:
    fresh = load_world(SETTINGS, tmp_path / "none", clock=clock)
    assert summarise(fresh) == summarise(build_world(SETTINGS, clock=clock))
    assert list(tmp_path.iterdir()) == []


def _cut(text: bytes) -> bytes:
    return text[: len(text) // 2]


def _without_end(text: bytes) -> bytes:
    return b"".join(text.splitlines(keepends=True)[:-1])


def _without_an_item(text: bytes) -> bytes:
    return b"".join(line for line in text.splitlines(keepends=True) if b'"key":"b"' not in line)


def _next_version(text: bytes) -> bytes:
    return text.replace(b'"version":1', b'"version":2')


def _stranger(text: bytes) -> bytes:
    return text.replace(b'"account":{"platform":"meta"', b'"account":{"platform":"myspace"')


def _without_catalogs(text: bytes) -> bytes:
    kept = [one for one in text.splitlines(keepends=True) if b'"header"' in one or b'"account"' in one]
    return b"".join(kept) + b'{"type":"end","lines":%d}\n' % (len(kept) + 1)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda text: b"", "the end is missing"),
        (lambda text: b"\x00\xff\n" + text, "line 1: DecodeError"),
        (_cut, "DecodeError"),
        (_without_end, "the end is missing"),
        (_without_an_item, "there are 7 lines, 8 were written"),
        (_next_version, "the version is 2, this sandbox reads 1"),
        (_stranger, "KeyError: 'myspace'"),
        (_without_catalogs, "KeyError"),
        (lambda text: text + b"{}\n", "line 9 comes after the end"),
    ],
)
def test_a_file_that_cannot_be_used_is_moved_aside(
    clock: Clock, tmp_path: Path, spoil: Callable[[bytes], bytes], reason: str
) -> None:
    world = build_world(SETTINGS, clock=clock)
    for key in "ab":
        catalog_of(world, "meta").put(key, {"title": key * 500}, at_ms=1)
    path = tmp_path / "state"
    write(capture(world), path)
    spoiled = spoil(path.read_bytes())
    path.write_bytes(spoiled)

    with capture_logs() as logs:
        fresh = load_world(SETTINGS, path, clock=clock)
    assert [(one["event"], one["log_level"]) for one in logs] == [("sandbox.state_unreadable", "warning")]
    assert reason in logs[0]["reason"]
    assert summarise(fresh) == summarise(build_world(SETTINGS, clock=clock))
    assert not path.exists()
    assert (tmp_path / "state.unreadable").read_bytes() == spoiled


async def test_writes_when_something_changed_and_only_then(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "state"
    world = load_world(SETTINGS, path, clock=clock)
    keeper = StateKeeper(world, path=path)
    await keeper.flush()
    first = path.stat().st_ino
    await keeper.flush()
    assert path.stat().st_ino == first
    catalog_of(world, "meta").put("a", {"title": "A"}, at_ms=1)
    await keeper.flush()
    assert path.stat().st_ino != first
    assert not path.with_name("state.draft").exists()

    loaded = load_world(SETTINGS, path, clock=clock)
    second = path.stat().st_ino
    await StateKeeper(loaded, path=path).flush()
    assert path.stat().st_ino == second


async def test_a_failed_writing_is_said_once_and_tried_again(clock: Clock, tmp_path: Path) -> None:
    obstacle = tmp_path / "place"
    obstacle.write_text("a file where the folder should be")
    path = obstacle / "state"
    keeper = StateKeeper(build_world(SETTINGS, clock=clock), path=path)
    with capture_logs() as logs:
        await keeper.flush()
        await keeper.flush()
    assert [one["event"] for one in logs] == ["sandbox.state_not_written"]
    obstacle.unlink()
    await keeper.flush()
    assert path.is_file()


async def test_the_end_waits_for_the_last_change(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "state"
    world = build_world(SETTINGS, clock=clock)
    keeper = StateKeeper(world, path=path)
    running = asyncio.create_task(keeper.run())
    await asyncio.sleep(0)
    catalog_of(world, "meta").put("a", {"title": "A"}, at_ms=1)
    keeper.stop()
    await running
    assert catalog_of(load_world(SETTINGS, path, clock=clock), "meta").get("a") is not None


def test_consents_come_back(clock: Clock, again: Callable[[World], World]) -> None:
    world = build_world(SETTINGS, clock=clock)
    account = account_of(world, "pinterest")
    world.grants.register("pinterest", "77", "secret")
    given = {"app_id": "77", "scopes": ("catalogs:read",), "now_ms": world.now_ms()}
    issued = world.grants.issue(account, prefix="pina_", lifetime_s=60, **given)  # type: ignore[arg-type]
    ends_ms = world.now_ms() + 120_000
    text = world.grants.give_refresh(
        Refresh("pinterest", "77", 1, ("catalogs:read",), ends_ms), prefix="pinr_"
    )
    back = again(world)
    assert back.grants.app_secret("pinterest", "77") == "secret"
    assert back.grants.refreshes[text] == world.grants.refreshes[text]
    seen = back.accounts.by_token("pinterest", issued.account.access_token)
    assert seen is not None
    assert (seen.token_state, seen.scopes) == (TokenState.VALID, ["catalogs:read"])
    assert seen.catalog_ids is account_of(back, "pinterest").catalog_ids
    clock.move(61)
    late = again(back).accounts.by_token("pinterest", issued.account.access_token)
    assert late is not None
    assert late.token_state is TokenState.EXPIRED


def test_audiences_and_conversions_come_back(clock: Clock, again: Callable[[World], World]) -> None:
    world = build_world(SETTINGS, clock=clock)
    ids = account_of(world, "meta").external_ids
    made = ads_call(
        world,
        f"/v26.0/act_{ids['ad_account_id']}/customaudiences",
        {"name": "Buyers", "subtype": "CUSTOM", "customer_file_source": "USER_PROVIDED_ONLY"},
    )
    rows = {"schema": ["EXTERN_ID", "EMAIL"], "data": [["c-1", "a" * 64], ["c-2", "b" * 64]]}
    ads_call(world, f"/v26.0/{made['id']}/users", {"payload": rows})
    event = {
        "event_name": "Lead",
        "event_time": int(NOW.timestamp()),
        "event_id": "e-1",
        "user_data": {"em": ["a" * 64]},
    }
    ads_call(world, f"/v26.0/{ids['pixel_id']}/events", {"data": [event]})
    restored = again(world)
    before, after = world.platforms["meta"].ads, restored.platforms["meta"].ads
    assert after.audiences.audiences == before.audiences.audiences
    assert list(after.conversions.events.values()) == list(before.conversions.events.values())
    assert after.audiences.people(after.audiences.audiences[made["id"]]) == before.audiences.people(
        before.audiences.audiences[made["id"]]
    )
    # A repeat is known to be one, and a removal finds its row.
    ads_call(restored, f"/v26.0/{ids['pixel_id']}/events", {"data": [event]})
    assert [one.merged_into for one in after.conversions.events.values()] == [None, 1]
    after.audiences.remove(after.audiences.audiences[made["id"]], [{"EXTERN_ID": "c-1"}])
    assert list(after.audiences.audiences[made["id"]].rows) == [f"EXTERN_ID=c-2|EMAIL={'b' * 64}"]


def ads_call(world: World, path: str, body: object) -> dict[str, str]:
    reply = call(world, "meta", path, body=body)
    assert reply.status == 200, reply.body
    found: dict[str, str] = reply.body
    return found
