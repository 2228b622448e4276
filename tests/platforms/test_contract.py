"""Both connectors against the sandbox over a real socket: send, poll, read back, and everything that can go wrong."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from tests.platforms.items import MUG, mug
from tests.support.sandbox import running_sandbox
from vitrin.kit.http_client import PlatformHttp, Rate
from vitrin.kit.money import Money
from vitrin.platforms.base import (
    CatalogChannel,
    ChannelItem,
    ChannelMisconfigured,
    Endpoint,
    FailureKind,
    ListedItem,
    Operation,
    OperationKind,
    Outcome,
    PlatformFailure,
    PollResult,
    SendResult,
)
from vitrin.platforms.registry import PLATFORMS

POLLS_MAX = 50


@dataclass(frozen=True)
class Place:
    """A platform's account in the sandbox, and a channel on it."""

    platform: str
    channel: CatalogChannel
    sandbox: httpx.AsyncClient
    external_ids: dict[str, str]
    access_token: str

    async def fault(self, **spec: Any) -> None:
        (
            await self.sandbox.post("/_sandbox/faults", json={"platform": self.platform, **spec})
        ).raise_for_status()

    async def writes(self) -> int:
        state = (await self.sandbox.get("/_sandbox/log", params={"limit": "1000"})).json()
        entries = state["entries"] if isinstance(state, dict) else state
        return sum(
            1
            for entry in entries
            if entry["platform"] == self.platform and entry["path"].endswith(WRITE_PATHS)
        )


WRITE_PATHS = ("/items_batch", "/catalogs/items/batch")


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with running_sandbox(quota=False, batch_latency_ms=0, polls_before_finished=1) as url:
        yield url


@pytest.fixture(params=sorted(PLATFORMS))
async def place(request: pytest.FixtureRequest, sandbox_url: str) -> AsyncIterator[Place]:
    name = request.param
    async with (
        PlatformHttp(read_timeout_s=5.0) as http,
        httpx.AsyncClient(base_url=sandbox_url, trust_env=False) as sandbox,
    ):
        (await sandbox.delete("/_sandbox/faults")).raise_for_status()
        account = (await sandbox.post("/_sandbox/accounts", json={"platform": name})).json()
        channel = PLATFORMS[name].open_channel(
            http=http,
            access_token=account["access_token"],
            external_ids=account["external_ids"],
            market="US",
            language="en",
            currency="USD",
            base_url=account["base_url"],
        )
        yield Place(name, channel, sandbox, account["external_ids"], account["access_token"])


def upsert(channel: CatalogChannel, item: ChannelItem) -> Operation:
    rendered = channel.render(item)
    assert rendered.problems == ()
    return channel.operation(
        kind=OperationKind.UPSERT,
        platform_item_id=channel.platform_item_id(item.item_id),
        attributes=rendered.attributes,
    )


def offer(channel: CatalogChannel, item: ChannelItem) -> Operation:
    return channel.operation(
        kind=OperationKind.OFFER,
        platform_item_id=channel.platform_item_id(item.item_id),
        attributes=channel.render_offer(item),
    )


def delete(channel: CatalogChannel, item: ChannelItem) -> Operation:
    return channel.operation(
        kind=OperationKind.DELETE, platform_item_id=channel.platform_item_id(item.item_id)
    )


async def settled(
    channel: CatalogChannel, operations: Sequence[Operation]
) -> dict[str, tuple[Outcome, list[str]]]:
    """Sends, polls to the end, and answers outcome and reason codes per item."""
    sent = await channel.send(operations)
    known = list(sent.verdicts)
    if sent.handle is not None:
        open_ids = [
            op.platform_item_id
            for op in operations
            if op.platform_item_id not in {v.platform_item_id for v in known}
        ]
        polled = await polled_to_the_end(channel, sent.handle, open_ids)
        known += polled.verdicts
    assert sorted(v.platform_item_id for v in known) == sorted(op.platform_item_id for op in operations)
    return {v.platform_item_id: (v.outcome, [reason.code for reason in v.reasons]) for v in known}


async def polled_to_the_end(channel: CatalogChannel, handle: str, ids: Sequence[str]) -> PollResult:
    for _number in range(POLLS_MAX):
        polled = await channel.poll(handle, ids)
        if polled.done:
            return polled
        await asyncio.sleep(0.01)
    raise AssertionError("the batch never finished")


async def test_a_batch_is_unfinished_first_and_then_accepted_and_seen(place: Place) -> None:
    channel = place.channel
    operations = [upsert(channel, mug(item_id=f"mug-{number}")) for number in range(3)]
    sent = await channel.send(operations)
    assert sent.handle is not None
    assert sent.verdicts == ()
    ids = [operation.platform_item_id for operation in operations]
    assert await channel.poll(sent.handle, ids) == PollResult(False)
    done = await polled_to_the_end(channel, sent.handle, ids)
    assert [(v.platform_item_id, v.outcome) for v in done.verdicts] == [(i, Outcome.ACCEPTED) for i in ids]
    seen = await channel.read_back({op.platform_item_id: op.attributes for op in operations} | {"nobody": {}})
    assert [(key, shown.present, shown.differences) for key, shown in seen.items()] == [
        *((item_id, True, ()) for item_id in ids),
        ("nobody", False, ()),
    ]


async def test_every_attribute_arrives_as_it_was_sent(place: Place) -> None:
    full = mug(
        sale_price=Money(999, "USD"),
        size="L",
        material="stoneware",
        pattern="plain",
        mpn="M-1",
        custom_labels=("a", "b", "c", "d", "e"),
        video_link="https://cdn.example/mug.mp4",
        checkout_url="https://shop.example/checkout/mug",
    )
    operation = upsert(place.channel, full)
    sent = await place.channel.send([operation])
    assert sent.handle is not None
    done = await polled_to_the_end(place.channel, sent.handle, ["mug-1"])
    assert [(v.outcome, v.warnings) for v in done.verdicts] == [(Outcome.ACCEPTED, ())]
    assert (await place.channel.read_back({"mug-1": operation.attributes}))["mug-1"].matches
    # Taking them away again clears them there too.
    bare = upsert(place.channel, mug(size="", color="", additional_image_links=(), custom_labels=()))
    assert await settled(place.channel, [bare]) == {"mug-1": (Outcome.ACCEPTED, [])}
    seen = await place.channel.read_back({"mug-1": bare.attributes})
    assert seen["mug-1"].differences == ()


async def test_an_offer_changes_price_and_stock_and_leaves_the_rest(place: Place) -> None:
    channel = place.channel
    whole = upsert(channel, MUG)
    assert await settled(channel, [whole]) == {"mug-1": (Outcome.ACCEPTED, [])}
    sold_out = mug(price=Money(1100, "USD"), availability="out_of_stock", quantity=0)
    change = offer(channel, sold_out)
    assert await settled(channel, [change]) == {"mug-1": (Outcome.ACCEPTED, [])}
    seen = await channel.read_back({"mug-1": whole.attributes})
    assert {part.name for part in seen["mug-1"].differences} == {"price", "availability"} | (
        {"quantity_to_sell_on_facebook"} if place.platform == "meta" else set()
    )
    assert (await channel.read_back({"mug-1": {**whole.attributes, **change.attributes}}))["mug-1"].matches


async def test_a_sale_begins_and_ends_by_offers(place: Place) -> None:
    channel = place.channel
    await settled(channel, [upsert(channel, MUG)])
    on_sale = offer(channel, mug(sale_price=Money(999, "USD")))
    assert await settled(channel, [on_sale]) == {"mug-1": (Outcome.ACCEPTED, [])}
    assert (await channel.read_back({"mug-1": on_sale.attributes}))["mug-1"].matches
    over = offer(channel, MUG)
    assert await settled(channel, [over]) == {"mug-1": (Outcome.ACCEPTED, [])}
    seen = await channel.read_back({"mug-1": channel.render(MUG).attributes})
    assert seen["mug-1"].differences == ()


async def test_a_delete_removes_and_an_offer_of_a_missing_item_says_so(place: Place) -> None:
    channel = place.channel
    await settled(channel, [upsert(channel, MUG)])
    assert await settled(channel, [delete(channel, MUG)]) == {"mug-1": (Outcome.ACCEPTED, [])}
    assert not (await channel.read_back({"mug-1": {}}))["mug-1"].present
    assert await settled(channel, [offer(channel, mug(quantity=1))]) == {
        "mug-1": (Outcome.REFUSED, ["not_on_platform"])
    }
    assert not (await channel.read_back({"mug-1": {}}))["mug-1"].present


async def test_one_bad_item_is_refused_with_a_reason_and_the_rest_accepted(place: Place) -> None:
    channel = place.channel
    good = upsert(channel, MUG)
    broken = channel.operation(
        kind=OperationKind.UPSERT,
        platform_item_id="broken",
        attributes={**good.attributes, "price": "12,34"},
    )
    verdicts = await settled(channel, [good, broken])
    assert verdicts == {"mug-1": (Outcome.ACCEPTED, []), "broken": (Outcome.REFUSED, ["price_invalid"])}
    assert not (await channel.read_back({"broken": {}}))["broken"].present


async def test_a_missing_title_has_the_same_code_as_our_own_check(place: Place) -> None:
    attributes = {
        name: value for name, value in place.channel.render(MUG).attributes.items() if name != "title"
    }
    untitled = place.channel.operation(
        kind=OperationKind.UPSERT, platform_item_id="untitled", attributes=attributes
    )
    assert await settled(place.channel, [untitled]) == {"untitled": (Outcome.REFUSED, ["missing_title"])}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("throttle", FailureKind.THROTTLED),
        ("auth", FailureKind.AUTH),
        ("transient", FailureKind.TRANSIENT),
        ("permission", FailureKind.PERMISSION),
    ],
)
async def test_refused_calls_are_classified_and_written_once(
    place: Place, error: str, kind: FailureKind
) -> None:
    before = await place.writes()
    await place.fault(kind="refuse", error=error)
    with pytest.raises(PlatformFailure) as raised:
        await place.channel.send([upsert(place.channel, MUG)])
    assert raised.value.kind is kind
    assert raised.value.message
    assert raised.value.fix
    assert await place.writes() == before + 1
    assert not (await place.channel.read_back({"mug-1": {}}))["mug-1"].present


async def test_an_expired_token_stops_every_call(place: Place) -> None:
    command = {"platform": place.platform, "access_token": place.access_token, "state": "expired"}
    (await place.sandbox.post("/_sandbox/tokens", json=command)).raise_for_status()
    for attempt in (place.channel.send([upsert(place.channel, MUG)]), place.channel.read_back({"mug-1": {}})):
        with pytest.raises(PlatformFailure) as raised:
            await attempt
        assert raised.value.kind is FailureKind.AUTH
        assert place.access_token not in str(raised.value)


@pytest.mark.parametrize(("fault", "arrived"), [("timeout_before", False), ("timeout_after", True)])
async def test_an_unknown_outcome_is_resolved_by_reading_back(
    place: Place, fault: str, arrived: bool
) -> None:
    operation = upsert(place.channel, MUG)
    before = await place.writes()
    await place.fault(kind=fault, hold_ms=0)
    with pytest.raises(PlatformFailure) as raised:
        await place.channel.send([operation])
    assert raised.value.kind is FailureKind.UNKNOWN_OUTCOME
    assert await place.writes() == before + 1
    seen = (await place.channel.read_back({"mug-1": operation.attributes}))["mug-1"]
    assert (seen.present, seen.matches) == (arrived, arrived)


async def test_a_read_is_repeated_after_a_dropped_connection(place: Place) -> None:
    operation = upsert(place.channel, MUG)
    await settled(place.channel, [operation])
    await place.fault(kind="timeout_before", hold_ms=0, count=2)
    assert (await place.channel.read_back({"mug-1": operation.attributes}))["mug-1"].matches


async def test_a_silent_change_on_the_platform_is_seen(place: Place) -> None:
    operation = upsert(place.channel, MUG)
    await settled(place.channel, [operation])
    drift = {
        "platform": place.platform,
        "catalog_id": place.external_ids["catalog_id"],
        "item_id": "mug-1",
        "fields": {"price": "8.99 USD"},
    }
    (await place.sandbox.post("/_sandbox/drift", json=drift)).raise_for_status()
    seen = (await place.channel.read_back({"mug-1": operation.attributes}))["mug-1"]
    assert [part.name for part in seen.differences] == ["price"]
    assert "8.99" in seen.differences[0].seen


async def test_a_handle_that_nobody_knows_leaves_the_items_unknown(place: Place) -> None:
    polled = await place.channel.poll("4711", ["mug-1"])
    assert [(v.outcome, v.reasons[0].code) for v in polled.verdicts] == [(Outcome.UNKNOWN, "batch_lost")]


async def test_batches_that_must_not_be_sent_are_not(place: Place) -> None:
    channel, before = place.channel, await place.writes()
    one = upsert(channel, MUG)
    many = [
        channel.operation(kind=OperationKind.DELETE, platform_item_id=str(number))
        for number in range(channel.capabilities.batch_items_max + 1)
    ]
    for batch, kind in (
        ([], FailureKind.INVALID_REQUEST),
        ([one, one], FailureKind.INVALID_REQUEST),
        (many, FailureKind.TOO_LARGE),
    ):
        with pytest.raises(PlatformFailure) as raised:
            await channel.send(batch)
        assert raised.value.kind is kind
    assert await place.writes() == before


async def test_the_largest_batch_is_one_call(place: Place) -> None:
    channel, before = place.channel, await place.writes()
    count = channel.capabilities.batch_items_max
    operations = [upsert(channel, mug(item_id=f"mug-{number}")) for number in range(count)]
    assert sum(operation.size_bytes for operation in operations) <= channel.capabilities.batch_bytes_max
    verdicts = await settled(channel, operations)
    assert {outcome for outcome, _codes in verdicts.values()} == {Outcome.ACCEPTED}
    assert len(verdicts) == count
    assert await place.writes() == before + 1
    some = {operation.platform_item_id: operation.attributes for operation in operations[:120]}
    assert all(shown.matches for shown in (await channel.read_back(some)).values())


async def test_odd_ids_survive_the_way_there_and_back(place: Place) -> None:
    channel = place.channel
    raw = ["AB 12", "größe/ß?&=#%", '"quoted"', "x" * 300, " padded ", "日本語"]
    operations = [upsert(channel, mug(item_id=item_id)) for item_id in raw]
    assert {outcome for outcome, _ in (await settled(channel, operations)).values()} == {Outcome.ACCEPTED}
    seen = await channel.read_back(
        {operation.platform_item_id: operation.attributes for operation in operations}
    )
    assert len(seen) == len(raw)
    assert all(shown.matches for shown in seen.values())


async def test_a_platform_that_is_not_there_is_not_sent() -> None:
    async with PlatformHttp() as http:
        channel = PLATFORMS["meta"].open_channel(
            http=http,
            access_token="t",
            external_ids={"catalog_id": "1"},
            market="US",
            language="en",
            currency="USD",
            base_url="http://127.0.0.1:9",
        )
        with pytest.raises(PlatformFailure) as raised:
            await channel.send([upsert(channel, MUG)])
        assert raised.value.kind is FailureKind.NOT_SENT


@pytest.mark.parametrize(
    ("platform", "ids", "market", "language", "field"),
    [
        ("meta", {"catalog_id": "../x"}, "US", "en", "external_ids.catalog_id"),
        ("meta", {}, "US", "en", "external_ids.catalog_id"),
        ("pinterest", {"catalog_id": "1"}, "US", "en", "external_ids.ad_account_id"),
        ("pinterest", {"catalog_id": "1", "ad_account_id": "2"}, "us", "en", "market"),
        ("pinterest", {"catalog_id": "1", "ad_account_id": "2"}, "US", "klingon", "language"),
    ],
)
async def test_a_connection_that_cannot_work_is_refused_by_name(
    platform: str, ids: dict[str, str], market: str, language: str, field: str
) -> None:
    async with PlatformHttp() as http:
        with pytest.raises(ChannelMisconfigured) as raised:
            PLATFORMS[platform].open_channel(
                http=http,
                access_token="t",
                external_ids=ids,
                market=market,
                language=language,
                currency="USD",
            )
    assert raised.value.field == field


async def test_an_identical_batch_on_pinterest_is_skipped_and_read_back(sandbox_url: str) -> None:
    async with PlatformHttp() as http, httpx.AsyncClient(base_url=sandbox_url, trust_env=False) as sandbox:
        account = (await sandbox.post("/_sandbox/accounts", json={"platform": "pinterest"})).json()
        channel = PLATFORMS["pinterest"].open_channel(
            http=http,
            access_token=account["access_token"],
            external_ids=account["external_ids"],
            market="US",
            language="en",
            currency="USD",
            base_url=account["base_url"],
        )
        ten, nine = (
            upsert(channel, mug(price=Money(1000, "USD"))),
            upsert(channel, mug(price=Money(900, "USD"))),
        )
        assert await settled(channel, [ten]) == {"mug-1": (Outcome.ACCEPTED, [])}
        assert await settled(channel, [nine]) == {"mug-1": (Outcome.ACCEPTED, [])}
        skipped: SendResult = await channel.send([ten])
        assert [(v.outcome, v.reasons[0].code) for v in skipped.verdicts] == [
            (Outcome.UNKNOWN, "batch_skipped_as_duplicate")
        ]
        seen = (await channel.read_back({"mug-1": ten.attributes}))["mug-1"]
        assert [part.name for part in seen.differences] == ["price"]


async def test_metas_throttle_says_when_to_come_back() -> None:
    with running_sandbox(quota=True, meta_catalog_traffic=0, batch_latency_ms=0) as url:
        async with PlatformHttp() as http, httpx.AsyncClient(base_url=url, trust_env=False) as sandbox:
            account = (await sandbox.post("/_sandbox/accounts", json={"platform": "meta"})).json()
            channel = PLATFORMS["meta"].open_channel(
                http=http,
                access_token=account["access_token"],
                external_ids=account["external_ids"],
                market="US",
                language="en",
                currency="USD",
                base_url=account["base_url"],
                rates={Endpoint.SEND: Rate(endpoint="items_batch", calls=1_000, per_s=1)},
            )
            for number in range(8):
                # Each in a process of its own: none knows of the others' calls.
                async with PlatformHttp() as other:
                    await replace(channel, http=other).send([upsert(channel, mug(item_id=f"mug-{number}"))])
            with pytest.raises(PlatformFailure) as raised:
                await channel.send([upsert(channel, MUG)])
            assert channel.ready_in_s() > 50
    assert (raised.value.kind, raised.value.platform_code) == (FailureKind.THROTTLED, "80014")
    assert raised.value.retry_after_s == 60.0


async def test_a_catalog_lists_what_it_holds_whoever_put_it_there(place: Place) -> None:
    """Two pages of Meta's; Pinterest says that it cannot."""
    if not place.channel.capabilities.lists_items:
        with pytest.raises(PlatformFailure) as failed:
            await place.channel.list_items(None)
        assert (failed.value.kind, failed.value.code) == (FailureKind.INVALID_REQUEST, "cannot_list")
        return
    held = {f"held-{number:03}": {"gtin": "96385074", "title": f"Held {number}"} for number in range(600)}
    items = [{"item_id": name, "fields": fields} for name, fields in held.items()]
    path = f"/_sandbox/state/{place.platform}/{place.external_ids['catalog_id']}"
    (await place.sandbox.post(path, json={"items": items})).raise_for_status()
    first = await place.channel.list_items(None)
    assert len(first.items) == 500
    assert first.next_cursor is not None
    last = await place.channel.list_items(first.next_cursor)
    assert last.next_cursor is None
    listed = {one.platform_item_id: one for one in (*first.items, *last.items)}
    assert listed.keys() == held.keys()
    assert listed["held-007"] == ListedItem("held-007", "Held 7", "96385074", "https://before.example/")
    with pytest.raises(PlatformFailure) as failed:
        await place.channel.list_items("no cursor")
    assert failed.value.kind is FailureKind.INVALID_REQUEST
