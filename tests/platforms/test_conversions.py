"""Both networks' conversions APIs against the sandbox over a real socket."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import httpx
import pytest

from tests.platforms.networks import NAMES, Place, place_at, purchase, serving
from vitrin.kit.delivery import bisect
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.money import Money
from vitrin.platforms.base import FailureKind, Outcome, PlatformFailure
from vitrin.platforms.conversion import ConversionName, RenderedConversion, Test, Where
from vitrin.platforms.meta.conversion_events import render as for_meta
from vitrin.platforms.personal.model import Person
from vitrin.platforms.pinterest.conversion_events import render as for_pinterest
from vitrin.platforms.registry import CONVERSIONS


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture(params=NAMES)
async def place(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Place]:
    async with place_at(url, request.param) as found:
        yield found


def rendered(place: Place, *ids: str) -> list[RenderedConversion]:
    now = datetime.now(UTC)
    found = [place.conversions.render(purchase(one, now), now=now) for one in ids]
    assert all(not one.problems for one in found)
    return found


async def test_events_are_accepted_and_counted_once_with_the_browsers(place: Place, url: str) -> None:
    ids = place.external_ids
    async with httpx.AsyncClient(trust_env=False) as browser:
        if place.platform == "meta":
            params = {"id": ids["pixel_id"], "ev": "Purchase", "eid": "e-1"}
            picture = await browser.get(f"{url}/www.facebook.com/tr", params=params)
        else:
            params = {"tid": ids["tag_id"], "event": "checkout", "ed": '{"event_id":"e-1"}'}
            picture = await browser.get(f"{url}/ct.pinterest.com/v3/", params=params)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/gif")
    result = await place.conversions.send(rendered(place, "e-1", "e-2"))
    assert [(one.record_id, one.outcome) for one in result.verdicts] == [
        ("e-1", Outcome.ACCEPTED),
        ("e-2", Outcome.ACCEPTED),
    ]
    first, second, third = await place.heard()
    assert (first["way"], second["way"], third["way"]) == ("browser", "server", "server")
    assert (first["merged_into"], second["merged_into"]) == (None, first["number"])
    assert (third["merged_into"], third["matched"], third["order_id"]) == (None, True, "o-e-2")
    assert (third["value"], third["currency"]) == ("24.5" if place.platform == "meta" else "24.50", "EUR")
    # A repeat after a lost answer changes nothing.
    await place.fault(kind="timeout_after", hold_ms=0, endpoint="events")
    again = rendered(place, "e-3")
    with pytest.raises(PlatformFailure) as raised:
        await place.conversions.send(again)
    assert raised.value.kind is FailureKind.UNKNOWN_OUTCOME
    await place.conversions.send(again)
    assert [one["event_id"] for one in await place.heard() if one["merged_into"] is None] == [
        "e-1",
        "e-2",
        "e-3",
    ]
    today = datetime.now(UTC).date()
    counted = await place.conversions.reported(today - timedelta(days=1), today)
    if place.platform == "meta":
        assert {one.event_name for one in counted} == {"Purchase"}
        assert sum(one.received or 0 for one in counted) == 5
    else:
        ((name, merged, identified),) = [
            (one.event_name, one.merged_share, one.identified_share) for one in counted
        ]
        assert (name, merged, identified) == ("checkout", 0.5, 1.0)


async def test_a_test_counts_nowhere(place: Place) -> None:
    if place.platform == "meta":
        with pytest.raises(PlatformFailure) as raised:
            await place.conversions.send(rendered(place, "t-1"), test=Test())
        assert raised.value.code == "test_code_missing"
    result = await place.conversions.send(rendered(place, "t-1"), test=Test(code="TEST42"))
    assert [one.outcome for one in result.verdicts] == [Outcome.ACCEPTED]
    (told,) = await place.heard()
    assert told["test"] == ("TEST42" if place.platform == "meta" else "test")
    today = datetime.now(UTC).date()
    assert await place.conversions.reported(today - timedelta(days=1), today) == ()


async def test_one_old_event_does_not_sink_the_others(place: Place) -> None:
    """The connector leaves it out; where it went all the same (a slow clock), the hunt finds it."""
    now = datetime.now(UTC)
    channel = place.conversions
    old = channel.render(purchase("old", now - timedelta(days=9)), now=now)
    assert [one.code for one in old.problems] == ["event_too_old"]
    slow = channel.render(purchase("old", now - timedelta(days=9)), now=now - timedelta(days=5))
    assert slow.problems == ()
    batch = {one.event_id: one for one in [*rendered(place, "a", "b", "c"), slow, *rendered(place, "d")]}
    if not channel.capabilities.whole_batch:
        result = await channel.send(list(batch.values()))
        outcomes = {one.record_id: one.outcome for one in result.verdicts}
        assert outcomes == dict.fromkeys("abcd", Outcome.ACCEPTED) | {"old": Outcome.REFUSED}
        return
    with pytest.raises(PlatformFailure) as raised:
        await channel.send(list(batch.values()))
    assert (raised.value.kind, raised.value.code) == (FailureKind.INVALID_REQUEST, "event_too_old")
    step = bisect.start(list(batch), raised.value.code)
    released: list[str] = []
    while not step.hunt.is_over:
        hunt = bisect.sent(step.hunt)
        try:
            await channel.send([batch[one] for one in hunt.probe])
            step = bisect.accepted(hunt)
        except PlatformFailure as failure:
            step = bisect.refused(hunt, failure.code)
        released += step.released
    assert step.culprits == ("old",)
    if released:
        await channel.send([batch[one] for one in released])
    assert sorted(one["event_id"] for one in await place.heard()) == ["a", "b", "c", "d"]


async def test_refusals_are_classified(place: Place) -> None:
    for error, kind in (
        ("auth", FailureKind.AUTH),
        ("transient", FailureKind.TRANSIENT),
        ("permission", FailureKind.PERMISSION),
        ("invalid", FailureKind.INVALID_REQUEST),
        # Last, since the account then rests for as long as the network says.
        ("throttle", FailureKind.THROTTLED),
    ):
        await place.fault(kind="refuse", error=error)
        with pytest.raises(PlatformFailure) as raised:
            await place.conversions.send(rendered(place, "a"))
        assert raised.value.kind is kind
        assert "catalog" not in raised.value.fix
    assert await place.heard() == []


async def test_half_an_answer_leaves_the_rest_unknown(place: Place) -> None:
    await place.fault(kind="half_batch", endpoint="events", item_ids=["b"])
    result = await place.conversions.send(rendered(place, "a", "b"))
    outcomes = [one.outcome for one in result.verdicts]
    if place.platform == "meta":
        assert outcomes == [Outcome.UNKNOWN, Outcome.UNKNOWN]
    else:
        assert outcomes == [Outcome.ACCEPTED, Outcome.UNKNOWN]


async def test_limits_at_and_over_the_edge(place: Place) -> None:
    (one,) = rendered(place, "a")
    limit = place.conversions.capabilities.limits.records_max
    many = [
        replace(one, event_id=f"e-{number}", body={**one.body, "event_id": f"e-{number}"})
        for number in range(limit + 1)
    ]
    before = await place.calls("events")
    for batch, kind in (
        ([], FailureKind.INVALID_REQUEST),
        ([one, one], FailureKind.INVALID_REQUEST),
        (many, FailureKind.TOO_LARGE),
    ):
        with pytest.raises(PlatformFailure) as raised:
            await place.conversions.send(batch)
        assert raised.value.kind is kind
    assert await place.calls("events") == before
    result = await place.conversions.send(many[:limit])
    assert {verdict.outcome for verdict in result.verdicts} == {Outcome.ACCEPTED}


async def test_every_event_of_the_vocabulary_is_taken_or_said_not_to_be(place: Place) -> None:
    now = datetime.now(UTC)
    channel = place.conversions
    taken: list[RenderedConversion] = []
    for name in ConversionName:
        event = purchase(
            f"e-{name}", now, name=name, custom_name="Spin" if name is ConversionName.CUSTOM else ""
        )
        found = channel.render(replace(event, search_term="mugs", limited=True), now=now)
        if name in channel.capabilities.names:
            assert found.problems == ()
            taken.append(found)
        else:
            assert [one.code for one in found.problems] == ["event_not_taken"]
    result = await channel.send(taken)
    assert {one.outcome for one in result.verdicts} == {Outcome.ACCEPTED}


def test_what_is_wrong_with_an_event_is_found_before_it_is_sent() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    ids = {"pixel_id": "1", "ad_account_id": "1"}
    for name in NAMES:
        channel = CONVERSIONS[name].open_channel(http=PlatformHttp(), access_token="t", external_ids=ids)
        for changes, codes in (
            ({"occurred_at": now - timedelta(days=7)}, []),
            ({"occurred_at": now - timedelta(days=7, seconds=1)}, ["event_too_old"]),
            ({"occurred_at": now + timedelta(minutes=2)}, ["event_in_future"]),
            ({"value": None}, ["value_missing"]),
            ({"value": Money(-1, "EUR")}, ["value_negative"]),
            ({"value": Money(2450, "USD")}, ["currency_mixed"]),
            ({"event_id": ""}, ["event_id_invalid"]),
            ({"event_id": "x" * 65}, ["event_id_invalid"]),
            ({"name": ConversionName.CUSTOM}, ["custom_name_invalid"]),
            ({"person": Person(), "client_ip": "", "where": Where.OTHER}, ["no_identifier"]),
        ):
            found = channel.render(replace(purchase("e-1", now), **changes), now=now)
            assert [one.code for one in found.problems] == codes, (name, changes)
    meta = CONVERSIONS["meta"].open_channel(http=PlatformHttp(), access_token="t", external_ids=ids)
    bare = meta.render(purchase("e", now, url="", user_agent=""), now=now)
    assert [one.code for one in bare.problems] == ["missing_event_source_url", "missing_client_user_agent"]
    store = meta.render(purchase("e", now - timedelta(days=60), where=Where.STORE, url=""), now=now)
    assert store.problems == ()


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLICKED = purchase(
    "e-1",
    NOON,
    clicks={"fbclid": "CLICK", "fbp": "fb.1.1.2", "epik": "dj0y"},
    clicked_at=NOON - timedelta(minutes=5),
    limited=True,
)


def hashed(text: str) -> list[str]:
    return [sha256(text.encode()).hexdigest()]


def test_what_meta_is_told() -> None:
    sent = for_meta(CLICKED, now=NOON)
    assert sent.body == {
        "event_name": "Purchase",
        "event_time": 1772366400,
        "event_id": "e-1",
        "action_source": "website",
        "event_source_url": "https://shop.example/thanks",
        "user_data": {
            "em": hashed("shopper1@example.org"),
            "ph": hashed("4989123456"),
            "country": hashed("de"),
            "external_id": hashed("c-1"),
            "client_ip_address": "192.0.2.1",
            "client_user_agent": "Agent",
            "fbc": "fb.1.1772366100000.CLICK",
            "fbp": "fb.1.1.2",
        },
        "custom_data": {
            "value": 24.5,
            "currency": "EUR",
            "content_type": "product",
            "content_ids": ["sku-1", "sku-2"],
            "contents": [
                {"id": "sku-1", "quantity": 2, "item_price": 10.0},
                {"id": "sku-2", "quantity": 1, "item_price": 4.5},
            ],
            "num_items": 3,
            "order_id": "o-e-1",
        },
        "data_processing_options": ["LDU"],
        "data_processing_options_country": 0,
        "data_processing_options_state": 0,
    }
    assert [one.code for one in sent.warnings] == ["unnormalised"]
    assert "192.0.2.1" not in f"{CLICKED}{sent}"


def test_what_pinterest_is_told() -> None:
    assert for_pinterest(CLICKED, now=NOON).body == {
        "event_name": "checkout",
        "action_source": "web",
        "event_time": 1772366400,
        "event_id": "e-1",
        "event_source_url": "https://shop.example/thanks",
        "user_data": {
            "em": hashed("shopper1@example.org"),
            "ph": hashed("4989123456"),
            "country": hashed("de"),
            "external_id": hashed("c-1"),
            "client_ip_address": "192.0.2.1",
            "client_user_agent": "Agent",
            "click_id": "dj0y",
        },
        "custom_data": {
            "value": "24.50",
            "currency": "EUR",
            "content_ids": ["sku-1", "sku-2"],
            "contents": [
                {"id": "sku-1", "quantity": 2, "item_price": "10.00", "item_name": "Mug"},
                {"id": "sku-2", "quantity": 1, "item_price": "4.50"},
            ],
            "num_items": 3,
            "order_id": "o-e-1",
            "opt_out_type": "LDP",
        },
    }
