"""What the door takes and refuses: shapes, keys, origins, limits, repetitions, each event by itself."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx

from tests.retargeting.house import STOREFRONT, House, event, send, until
from vitrin.kit.access.tokens import new_token
from vitrin.kit.clock import system_clock
from vitrin.retargeting.collector import request, wire
from vitrin.retargeting.collector.recent import RecentIds


def ms(ago: timedelta) -> int:
    return int((system_clock() - ago).timestamp() * 1000)


async def test_events_are_accepted_carried_and_stored(house: House, door: httpx.AsyncClient) -> None:
    key = await house.new_key()
    answer = await send(door, key, *(event(number) for number in range(20)))
    assert (answer.status_code, answer.json()) == (
        200,
        {"accepted": 20, "duplicate": 0, "refused": 0, "results": ["accepted"] * 20, "problems": []},
    )
    async with house.consumer():
        stored = await until(house.stored, lambda seen: len(seen) == 20)
    assert set(stored) == {f"e-{number}" for number in range(20)}


BROKEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "future": ({"occurred_at": ms(-timedelta(hours=10))}, "in_future", "occurred_at"),
    "older than ids are kept": ({"occurred_at": ms(timedelta(days=91))}, "too_old", "occurred_at"),
    "seconds instead of milliseconds": ({"occurred_at": 1_700_000_000}, "too_old", "occurred_at"),
    "time without a zone": ({"occurred_at": "2026-11-02T09:30:00"}, "time_invalid", "occurred_at"),
    "10,000 items": ({"items": [{"item_id": "mug"}] * 10_000}, "too_many_items", "items"),
    "no currency": ({"currency": "EUX"}, "currency_unknown", "currency"),
    "currency in lower case": ({"currency": "eur"}, "currency_unknown", "currency"),
    "currency too long": ({"currency": "EURO"}, "currency_unknown", "currency"),
    "amount without currency": ({"currency": None}, "currency_missing", "currency"),
    "negative": ({"value": -1}, "amount_invalid", "value"),
    "not finite": ({"value": "Infinity"}, "amount_invalid", "value"),
    "no amount": ({"value": "much"}, "amount_invalid", "value"),
    "amount as a text": ({"value": "12.99"}, "amount_invalid", "value"),
    "price": ({"items": [{"item_id": "mug", "price": -2}]}, "amount_invalid", "items[0].price"),
    "quantity": ({"items": [{"item_id": "mug", "quantity": 0}]}, "invalid", "items[0].quantity"),
    "unknown name": ({"name": "looked"}, "name_unknown", "name"),
    "unknown field": ({"valu": 3}, "field_unknown", "valu"),
    "no event id": ({"event_id": None}, "event_id_missing", "event_id"),
    "event id too long": ({"event_id": "x" * 65}, "id_too_long", "event_id"),
    "customer id too long": ({"customer_id": "x" * 129}, "id_too_long", "customer_id"),
    "text too long": ({"search_term": "x" * 257}, "text_too_long", "search_term"),
    "text with U+0000": ({"search_term": "a\0b"}, "text_invalid", ""),
    "nobody": ({"visitor_id": None}, "nobody", "visitor_id"),
    "order without its id": ({"name": "purchase"}, "order_id_missing", "order_id"),
    "refund without its id": ({"name": "refund"}, "refund_id_missing", "refund_id"),
    "lead without its id": ({"name": "lead"}, "lead_id_missing", "lead_id"),
    "custom without its name": ({"name": "custom"}, "custom_name_missing", "custom_name"),
    "unknown purpose": ({"consent": {"spying": "granted"}}, "consent_unknown", "consent"),
    "e-mail as a number": ({"user": {"email": 7}}, "invalid", "user.email"),
}


async def test_a_broken_event_is_refused_and_the_others_count(house: House, door: httpx.AsyncClient) -> None:
    key = await house.new_key()
    broken = [event(f"bad-{number}", **fields) for number, (fields, _, _) in enumerate(BROKEN.values())]
    events = [one for number, bad in enumerate(broken) for one in (event(f"good-{number}"), bad)]
    answer = await send(door, key, *events)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["accepted"], said["refused"], said["duplicate"]) == (len(BROKEN), len(BROKEN), 0)
    assert said["results"] == ["accepted", "refused"] * len(BROKEN)
    found = {one["index"]: (one["code"], one["field"]) for one in said["problems"]}
    expected = {2 * number + 1: (code, field) for number, (_, code, field) in enumerate(BROKEN.values())}
    assert found == expected
    assert all(one["message"] and one["fix"] for one in said["problems"])
    async with house.consumer():
        stored = await until(house.stored, lambda seen: len(seen) >= len(BROKEN))
    assert set(stored) == {f"e-good-{number}" for number in range(len(BROKEN))}


async def test_two_weeks_old_is_taken_and_old_orders_too(house: House, door: httpx.AsyncClient) -> None:
    key = await house.new_key()
    events = (
        event(1, occurred_at=ms(timedelta(days=14))),
        event(2, occurred_at=(system_clock() - timedelta(days=89)).isoformat()),
        event(3, name="purchase", order_id="o-1", occurred_at=ms(timedelta(days=700))),
        event(4, occurred_at=ms(-timedelta(minutes=4))),
    )
    assert (await send(door, key, *events)).json()["accepted"] == 4


async def test_one_event_without_a_batch_and_all_refused(house: House, door: httpx.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {await house.new_key()}"}
    answer = await door.post("/v1/events", json=event(1), headers=headers)
    assert (answer.status_code, answer.json()["results"]) == (200, ["accepted"])
    answer = await door.post("/v1/events", json=event(2, name="x"), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "events_refused")
    assert answer.json()["problems"][0]["code"] == "name_unknown"
    for body in (b"", b"{", b"[]", b'"x"', b'{"events": 3}', b'{"events": []}', b"\xff", b"[" * 100_000):
        answer = await door.post("/v1/events", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "events_unreadable"), body[:20]
    answer = await door.post("/v1/events", content=b"x", headers={**headers, "Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (415, "encoding_unknown")


async def test_half_an_emoji_makes_no_batch_unreadable(house: House, door: httpx.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {await house.new_key()}"}
    events = [event(1, search_term="cut \ud83d", referrer="\ude00"), event(2, search_term="whole \U0001f600")]
    answer = await door.post("/v1/events", content=json.dumps({"events": events}), headers=headers)
    assert answer.json()["accepted"] == 2, answer.text
    body = json.dumps({"events": [event(3), event(4)]}).encode().replace(b"e-4", b"e-\xff")
    answer = await door.post("/v1/events", content=body, headers=headers)
    assert (answer.json()["results"], answer.json()["problems"][0]["code"]) == (
        ["accepted", "refused"],
        "text_invalid",
    )
    async with house.consumer():
        await until(house.stored, lambda seen: sorted(seen) == ["e-1", "e-2", "e-3"])
    rows = await house.rows("select search_term from events where brand_id = :brand order by event_id")
    assert [row.search_term for row in rows] == ["cut \ufffd", "whole \U0001f600", ""]


async def test_the_same_again_is_a_duplicate_and_counts_once(house: House, door: httpx.AsyncClient) -> None:
    key = await house.new_key()
    first = await send(door, key, event(1), event(2), event(1))
    assert first.json()["results"] == ["accepted", "accepted", "duplicate"]
    assert (await send(door, key, event(2), event(3))).json()["results"] == ["duplicate", "accepted"]
    together = await asyncio.gather(*(send(door, key, event("x"), event(f"own-{n}")) for n in range(8)))
    results = sorted(answer.json()["results"][0] for answer in together)
    assert results == ["accepted", *["duplicate"] * 7]
    async with house.consumer():
        stored = await until(house.stored, lambda seen: len(seen) >= 12)
    assert sorted(stored) == sorted({"e-1", "e-2", "e-3", "e-x", *(f"e-own-{n}" for n in range(8))})


async def test_a_repetition_waits_for_the_first_and_is_brought_itself_where_that_failed() -> None:
    recent, brand = RecentIds(ids_max=4), b"b"
    first = recent.claim(brand, [0, 1], ["a", "b"])
    second = recent.claim(brand, [0, 1], ["b", "c"])
    assert (first.mine, second.mine, [position for position, _ in second.waiting]) == ([0, 1], [1], [0])
    waiting = asyncio.create_task(second.waiting[0][1].outcome())
    await asyncio.sleep(0)
    assert not waiting.done()
    recent.settle(first, durable=False)
    assert await waiting is False
    assert await second.waiting[0][1].outcome() is False, "told to whoever asks late, too"
    again = recent.claim(brand, [0], ["b"])
    assert again.mine == [0]
    recent.settle(again, durable=True)
    recent.settle(second, durable=True)
    assert list(recent.claim(brand, [0, 1], ["b", "c"]).seen) == [0, 1]
    assert list(recent.claim(b"another", [0], ["b"]).mine) == [0]
    for one in "defghi":  # what is too long ago is forgotten, never the other way round
        recent.settle(recent.claim(brand, [0], [one]), durable=True)
    assert list(recent.claim(brand, [0], ["b"]).mine) == [0]
    assert list(recent.claim(brand, [0], ["i"]).seen) == [0]


async def test_keys(house: House, door: httpx.AsyncClient) -> None:
    good = await house.new_key()
    for headers, status, code in (
        ({}, 401, "key_missing"),
        ({"Authorization": "Digest x"}, 401, "key_missing"),
        ({"Authorization": "Basic !"}, 401, "key_missing"),
        ({"Authorization": "Bearer nothing"}, 401, "key_malformed"),
        ({"Authorization": f"Bearer {new_token('secret', 'live').text()}"}, 401, "key_unknown"),
        ({"Authorization": f"Bearer {good[:-1]}_"}, 401, "key_malformed"),
        ({"Authorization": f"Bearer {await house.new_key(scopes=['events:read'])}"}, 403, "scope_missing"),
    ):
        answer = await door.post("/v1/events", json=event(1), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), headers
        assert answer.json()["fix"]
    answer = await door.post(f"/v1/events?key={good}", json=event(1))
    assert (answer.status_code, answer.json()["code"]) == (403, "secret_key_in_address")
    for method in ("PUT", "DELETE", "GET"):
        answer = await door.request(method, "/v1/track", headers={"Authorization": f"Bearer {good}"})
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert (await send(door, good, event(1))).status_code == 200
    await house.revoke(good)

    async def code() -> str:
        return str((await send(door, good, event(2))).json().get("code"))

    await until(code, lambda seen: seen == "key_revoked")


async def test_pages_may_send_from_their_brands_origins_only(house: House, door: httpx.AsyncClient) -> None:
    owner, page = await house.new_key(), await house.new_key("publishable", scopes=["events:write"])
    other = await house.new_key("publishable", scopes=["events:write"])
    preflight = await door.options(
        f"/v1/events?key={page}",
        headers={"Origin": STOREFRONT, "Access-Control-Request-Headers": "authorization"},
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == STOREFRONT
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    listed = {
        "data": [{"origin": "https://*.Shop.example:443/"}, {"origin": "null", "key_id": other.split("_")[2]}]
    }
    answer = await door.put("/v1/event_sources", json=listed, headers={"Authorization": f"Bearer {owner}"})
    assert answer.json() == {
        "data": [
            {"origin": "https://*.shop.example", "key_id": None},
            {"origin": "null", "key_id": other.split("_")[2]},
        ],
        "storefront": STOREFRONT,
    }, answer.text

    async def status(key: str, origin: str | None) -> tuple[int, str | None]:
        headers = {} if origin is None else {"Origin": origin}
        answer = await door.post(f"/v1/events?key={key}", content=json.dumps(event(1)), headers=headers)
        assert answer.headers.get("access-control-allow-origin") == origin
        return answer.status_code, answer.json().get("code")

    for key, origin, expected in (
        (page, STOREFRONT, (200, None)),
        (page, "https://www.shop.example", (200, None)),
        (page, "https://a.b.shop.example", (200, None)),
        (page, "http://www.shop.example", (403, "origin_not_allowed")),
        (page, "https://evilshop.example", (403, "origin_not_allowed")),
        (page, "null", (403, "origin_not_allowed")),
        (page, "nonsense", (403, "origin_not_allowed")),
        (page, None, (403, "origin_missing")),
        (other, "null", (200, None)),
        (other, "https://www.shop.example", (403, "origin_not_allowed")),
        (other, STOREFRONT, (200, None)),
    ):
        assert await status(key, origin) == expected, (origin, expected)
    for wrong in (
        "shop.example",
        "ftp://shop.example",
        "https://shop.example/path",
        "https://*",
        "https://*.de",
    ):
        body = {"data": [{"origin": wrong}]}
        answer = await door.put("/v1/event_sources", json=body, headers={"Authorization": f"Bearer {owner}"})
        assert (answer.status_code, answer.json()["code"]) == (422, "origin_invalid"), wrong
    refused = await door.put("/v1/event_sources", json=listed, headers={"Authorization": f"Bearer {page}"})
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


async def test_limits_of_a_request_and_of_a_key(house: House) -> None:
    house.settings_more = {"key_requests_max": 3, "key_window_s": 3_600}
    async with house.door() as door:
        key = await house.new_key()
        many = [event(number) for number in range(wire.EVENTS_MAX + 1)]
        answer = await send(door, key, *many)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_many_events")
        answer = await door.post(
            "/v1/events",
            content=b" " * (request.BODY_BYTES_MAX + 1),
            headers={"Authorization": f"Bearer {key}"},
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert (await send(door, key, event(1))).status_code == 200
        limited = await send(door, key, event(2))
        assert (limited.status_code, limited.json()["code"]) == (429, "rate_limited")
        assert int(limited.headers["retry-after"]) > 0
        assert (await send(door, await house.new_key(), event(2))).status_code == 200


async def test_64_mb_and_slow_clients(house: House) -> None:
    house.body_s = 1.0

    async def endless() -> Any:
        for _ in range(64):
            yield b" " * 1024 * 1024

    async with house.door() as door:
        headers = {"Authorization": f"Bearer {await house.new_key()}"}
        for more in ({}, {"Content-Length": str(64 * 1024 * 1024)}):  # in chunks; announced
            try:
                answer = await door.post("/v1/events", content=endless(), headers={**headers, **more})
                assert answer.status_code in (
                    413,
                    408,
                )  # 408 where this machine is slower than the body may be
            except httpx.TransportError:
                pass  # the door hung up while most of it was still to come, which is an answer too
        reader, writer = await asyncio.open_connection("127.0.0.1", int(house.url.rsplit(":", 1)[1]))
        fields = {"Host": "x", "Content-Length": "100", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"POST /v1/events HTTP/1.1\r\n{head}\r\n{{".encode())
        answered = await asyncio.wait_for(reader.read(65_536), 30)
        assert b" 408 " in answered.partition(b"\r\n")[0]
        assert b"body_too_slow" in answered
        writer.close()

        async def taken() -> int:
            return (await send(door, headers["Authorization"].split()[1], event(1))).status_code

        await until(taken, lambda status: status == 200)


async def test_what_a_page_sends_has_its_address_sealed_and_its_url_bare(
    house: House, door: httpx.AsyncClient
) -> None:
    page = await house.new_key("publishable", scopes=["events:write"], mode="test")
    url = f"{STOREFRONT}/p/mug?utm_source=mail&gclid=g-1&email=ada%40canary.example#x"
    body = event(
        1,
        url=url,
        referrer="https://search.example/?q=mugs",
        user={"email": "ada@canary.example"},
        consent={"ads": "granted", "analytics": "denied"},
        properties={"theme": "dark", "beta": True, "n": 3},
        click_ids={"fbp": "fb.1.2.3"},
    )
    headers = {"Origin": STOREFRONT, "User-Agent": "Canary/1.0", "Sec-GPC": "1"}
    answer = await door.post(f"/v1/events?key={page}", content=json.dumps(body), headers=headers)
    assert answer.status_code == 200, answer.text
    spooled = b"".join(path.read_bytes() for path in house.folder.rglob("*") if path.is_file())
    assert b"canary" not in spooled.lower()
    assert b"127.0.0.1" not in spooled
    async with house.consumer():
        await until(house.stored, lambda seen: seen == ["e-1"])
    (row,) = await house.rows("select * from events where brand_id = :brand")
    assert (row.url, row.referrer) == (f"{STOREFRONT}/p/mug", "https://search.example/")
    assert row.utm == {"source": "mail"}
    assert row.click_ids == {"gclid": "g-1", "fbp": "fb.1.2.3"}
    assert row.consents == {"ads": True, "analytics": False}
    assert row.properties == {"theme": "dark", "beta": "true", "n": "3"}
    assert (row.source, row.test, row.gpc) == ("pixel", True, True)
    assert row.whose == "storefront:visitor:v-1"
    assert b"canary" not in bytes(row.personal).lower()
    exported = await door.get("/v1/export", headers={"Authorization": f"Bearer {await house.new_key()}"})
    assert exported.status_code == 403  # an owner's key only
