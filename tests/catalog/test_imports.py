"""Imports over sockets and through the worker's loop: whole or not at all, resumable, with a report per row."""

import asyncio
import base64
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import DBAPIError

from tests.catalog.support import Service, add_key, admin_execute, admin_rows, new_brand, published, serving
from vitrin.catalog import service_import_run
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.ids import BrandId

HEADER = "id,title,price,quantity\n"
SHARED = Path(__file__).resolve().parents[3] / "shared"
WOO = SHARED / "data" / "catalogs" / "woocommerce" / "sample_products.csv"
PACKT = SHARED / "data" / "catalogs" / "shopify" / "packt_products.csv"


def feed(rows: int, *, price: str = "1.00 EUR") -> str:
    return HEADER + "".join(f"i{number:06},Item {number},{price},{number % 7}\n" for number in range(rows))


@pytest.fixture(scope="module")
async def service(embedded_postgres: EmbeddedPostgres) -> AsyncIterator[Service]:
    async with serving(embedded_postgres, import_bytes_max=3_000_000) as running:
        yield running


@pytest.fixture
def brand() -> BrandId:
    return new_brand()


@pytest.fixture
async def client(service: Service, brand: BrandId) -> AsyncIterator[httpx.AsyncClient]:
    admin_execute(service.database_settings, "delete from imports")
    async with service.client(add_key(service.database_settings, brand)) as client:
        yield client


async def upload(client: httpx.AsyncClient, content: str | bytes, **query: str) -> dict[str, Any]:
    answer = await client.post(
        "/v1/imports", content=content, params=query, headers={"content-type": "text/csv"}
    )
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert body["state"] == "staged"
    return body


async def work(service: Service) -> None:
    assert await service.loop().work_once(asyncio.Event())


async def imported(
    service: Service, client: httpx.AsyncClient, content: str | bytes, **query: str
) -> dict[str, Any]:
    body = await upload(client, content, **query)
    await work(service)
    answer: dict[str, Any] = (await client.get(f"/v1/imports/{body['id']}")).json()
    return answer


def count(service: Service, table: str, brand: BrandId) -> int:
    [(found,)] = admin_rows(
        service.database_settings, f"select count(*) from {table} where brand_id = %s", brand
    )
    assert isinstance(found, int)
    return found


def state(service: Service, brand: BrandId) -> object:
    [(found,)] = admin_rows(service.database_settings, "select state from imports where brand_id = %s", brand)
    return found


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.02)


async def test_a_feed_is_applied_with_a_report_per_row(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    content = (
        "\ufeff" + HEADER + "a,=HYPERLINK(1),1.50 EUR,2\n"
        "b,B,1.50 EUR,1\n"
        'c,C,"1,50 EUR",1\n'
        "d,D,1.50 EUR,-1\n"
        f"e,{'x' * 10_000},1.50 EUR,1\n"
        "a,Again,1.50 EUR,1\n"
        ",Nameless,1.50 EUR,1\n"
        "f,F,1.50 USD,1\n"
        "g,G,1.50,1\n"
    )
    done = await imported(service, client, content)
    assert done["state"] == "done"
    assert done["format"] == "common"
    assert done["rows"] == {
        "total": 9,
        "done": 9,
        "created": 2,
        "updated": 0,
        "unchanged": 0,
        "refused": 7,
        "images": 0,
    }
    refused = (await client.get(f"/v1/imports/{done['id']}/rows", params={"outcome": "refused"})).json()
    assert [(row["row"], row["id"], row["problems"][0]["code"]) for row in refused["data"]] == [
        (4, "c", "price_comma"),
        (5, "d", "quantity_negative"),
        (6, "e", "title_too_long"),
        (7, "a", "duplicate_id"),
        (8, None, "id_missing"),
        (9, "f", "currency_mismatch"),
        (10, "g", "price_without_currency"),
    ]
    assert "row 2" in refused["data"][3]["problems"][0]["message"]
    assert (await client.get("/v1/items/a")).json()["title"] == "=HYPERLINK(1)"
    assert (await client.get("/v1/items/b")).json()["price"] == "1.50 EUR"
    assert count(service, "items", brand) == 2
    assert count(service, "import_chunks", brand) == 0
    first = (await client.get(f"/v1/imports/{done['id']}/rows", params={"limit": 3})).json()
    rest = (
        await client.get(f"/v1/imports/{done['id']}/rows", params={"cursor": first["next_cursor"]})
    ).json()
    assert [row["row"] for row in first["data"] + rest["data"]] == list(range(2, 11))
    assert rest["next_cursor"] is None


async def test_the_same_file_again_changes_nothing_and_a_shorter_one_removes_nothing(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    await imported(service, client, feed(2_500))
    before = len(published(service.database_settings, brand))
    assert before == 5_000
    again = await imported(service, client, feed(2_500))
    assert (again["rows"]["unchanged"], again["rows"]["created"]) == (2_500, 0)
    shorter = await imported(service, client, feed(10, price="2.00 EUR"))
    assert shorter["rows"]["updated"] == 10
    assert count(service, "items", brand) == 2_500
    assert len(published(service.database_settings, brand)) == before + 10


@pytest.mark.skipif(not PACKT.exists(), reason="../shared is not here")
async def test_a_real_shopify_export(service: Service, client: httpx.AsyncClient, brand: BrandId) -> None:
    content = await asyncio.to_thread(PACKT.read_bytes)
    done = await imported(service, client, content, format="shopify")
    assert (done["state"], done["format"]) == ("done", "shopify")
    assert done["rows"]["created"] == 21
    assert done["rows"]["refused"] == 0
    assert count(service, "items", brand) == 21
    [(handles,)] = admin_rows(
        service.database_settings,
        "select count(distinct handle) from items where brand_id = %s",
        brand,
    )
    assert handles == 20


@pytest.mark.skipif(not WOO.exists(), reason="../shared is not here")
async def test_a_real_woocommerce_export(service: Service, client: httpx.AsyncClient, brand: BrandId) -> None:
    """Three rows are variable or grouped products; its prices have no currency."""
    done = await imported(service, client, await asyncio.to_thread(WOO.read_bytes))
    assert (done["state"], done["format"]) == ("done", "woocommerce")
    assert [done["rows"][name] for name in ("created", "images", "refused")] == [21, 3, 0]


@pytest.mark.parametrize(
    ("content", "query", "code"),
    [
        (feed(1_500) + "last,Cut off", {}, "file_truncated"),
        (feed(1_500) + 'last,"Cut off,1 EUR', {}, "file_truncated"),
        (feed(3), {"format": "shopify"}, "format_mismatch"),
        ("name,colour\nx,y\n", {}, "format_unknown"),
        ('{"id": 1}\n', {}, "not_csv"),
        ((HEADER + "a,Grüße,1 EUR,1\n").encode("latin-1"), {}, "encoding_not_utf8"),
        (feed(3).encode("utf-16"), {}, "encoding_not_utf8"),
        (HEADER, {}, "no_rows"),
        (feed(3).replace(",", ";"), {}, "wrong_delimiter"),
    ],
)
async def test_a_file_that_is_not_what_it_claims_is_refused_as_a_whole(
    service: Service,
    client: httpx.AsyncClient,
    brand: BrandId,
    *,
    content: str | bytes,
    query: dict[str, str],
    code: str,
) -> None:
    done = await imported(service, client, content, **query)
    assert done["state"] == "refused"
    assert done["problem"]["code"] == code
    assert done["problem"]["message"]
    assert done["problem"]["fix"]
    for table in ("items", "import_rows", "import_chunks"):
        assert count(service, table, brand) == 0
    (said,) = published(service.database_settings, brand)
    assert (said.type, said.message.cause, said.message.state) == ("catalog.attention_changed", "upload", 1)
    assert said.message.detail.startswith(f"{code}: ")
    assert said.message.look_at == f"/v1/imports/{done['id']}"


async def test_a_failed_import_is_said_once_and_is_over_with_the_next_good_one(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    for content in (HEADER, HEADER, feed(1), feed(1)):
        await imported(service, client, content)
    said = [one.message for one in published(service.database_settings, brand) if "attention" in one.type]
    assert [(one.kind, one.cause, one.state) for one in said] == [
        ("import.failed", "upload", 1),
        ("import.failed", "upload", 2),
    ]


CUT: bytes = (feed(2) + "last,Cut off,1.00 EUR,12").encode()


async def streamed(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.mark.parametrize("announced", [True, False])
async def test_a_last_field_that_may_be_cut_off_is_refused_whatever_length_was_announced(
    service: Service, client: httpx.AsyncClient, brand: BrandId, *, announced: bool
) -> None:
    body = CUT if announced else streamed(CUT)
    answer = await client.post("/v1/imports", content=body, headers={"content-type": "text/csv"})
    assert answer.request.headers.get("content-length") == (str(len(CUT)) if announced else None)
    await work(service)
    done = (await client.get(f"/v1/imports/{answer.json()['id']}")).json()
    assert (done["state"], done["problem"]["code"], done["problem"]["line"]) == (
        "refused",
        "file_truncated",
        4,
    )
    assert "line break" in done["problem"]["fix"]
    assert "X-Content-SHA256" in done["problem"]["fix"]
    assert count(service, "items", brand) == 0


async def test_a_digest_proves_a_last_row_without_a_line_break(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    digest = {"x-content-sha256": hashlib.sha256(CUT).hexdigest()}
    answer = await client.post("/v1/imports", content=CUT, headers=digest)
    await work(service)
    done = (await client.get(f"/v1/imports/{answer.json()['id']}")).json()
    assert (done["state"], done["rows"]["created"]) == ("done", 3)
    assert count(service, "items", brand) == 3


async def test_uploads_that_are_refused_at_the_door(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    async def large() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 100_000

    wrong_digest = {"x-content-sha256": hashlib.sha256(b"other").hexdigest()}
    cases = [
        (await client.post("/v1/imports", content=large()), 413, "body_too_large"),
        (await client.post("/v1/imports", content=b"x" * 3_000_001), 413, "body_too_large"),
        (await client.post("/v1/imports", content=b""), 422, "upload_incomplete"),
        (
            await client.post("/v1/imports", content=feed(2), headers=wrong_digest),
            422,
            "upload_incomplete",
        ),
        (
            await client.post("/v1/imports", content=feed(2), headers={"x-content-sha256": "zz"}),
            422,
            "malformed",
        ),
        (await client.post("/v1/imports", content=feed(2), params={"format": "xml"}), 400, "format_unknown"),
        (
            await client.post(
                "/v1/imports", content=feed(2), headers={"content-type": "multipart/form-data"}
            ),
            422,
            "malformed",
        ),
        (await client.post("/v1/imports", files={"file": ("", b"")}), 422, "malformed"),
    ]
    for number, (answer, status, code) in enumerate(cases):
        assert (answer.status_code, answer.json()["code"]) == (status, code), number
    assert not await service.loop().work_once(asyncio.Event())
    assert count(service, "items", brand) == count(service, "import_chunks", brand) == 0
    states = admin_rows(
        service.database_settings, "select distinct state from imports where brand_id = %s", brand
    )
    assert states == [("aborted",)]


async def test_multipart_and_digests(service: Service, client: httpx.AsyncClient) -> None:
    content = feed(20_000).encode()
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    answer = await client.post(
        "/v1/imports",
        files={"note": (None, "x"), "file": ("März.csv", content, "text/csv")},
        headers={"content-digest": f"sha-512=:AAAA:, sha-256=:{digest}:"},
    )
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["bytes"], body["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert body["file_name"] == "März.csv"
    await work(service)
    done = (await client.get(f"/v1/imports/{body['id']}")).json()
    assert (done["state"], done["rows"]["created"]) == ("done", 20_000)


async def test_a_client_that_goes_away_in_the_middle_leaves_an_aborted_import(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = feed(80_000).encode()
    head = (
        f"POST /v1/imports HTTP/1.1\r\nhost: x\r\nauthorization: {client.headers['authorization']}\r\n"
        f"content-type: text/csv\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body[:1_500_000])
    await writer.drain()
    await until(lambda: count(service, "import_chunks", brand) > 0)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    await reader.read()
    await until(lambda: state(service, brand) != "uploading")
    [one] = (await client.get("/v1/imports")).json()["data"]
    assert one["state"] == "aborted"
    assert one["problem"]["code"] == "upload_incomplete"
    assert count(service, "import_chunks", brand) == count(service, "items", brand) == 0
    assert not await service.loop().work_once(asyncio.Event())


async def test_a_worker_killed_between_any_two_transactions_is_followed_without_loss_or_repeat(
    service: Service, client: httpx.AsyncClient, brand: BrandId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has a duplicate id across transactions, so that a repeat would show as one."""
    monkeypatch.setattr(service_import_run, "VERIFY_RECORDS", 700)
    content = feed(5_300) + "i000001,Duplicate,1.00 EUR,1\n"
    body = await upload(client, content)
    moments, kills = random.Random(1), 0
    while True:
        loop = service.loop(import_attempts_max=1_000, import_retry_pause_s=0.0)
        task = asyncio.create_task(loop.work_once(asyncio.Event()))
        done, _ = await asyncio.wait({task}, timeout=moments.uniform(0.05, 0.6 + 0.02 * kills))
        if done and (await client.get(f"/v1/imports/{body['id']}")).json()["state"] == "done":
            break
        task.cancel()
        # A COPY that is cut off leaves a connection that cannot even roll back; the pool throws it away.
        with suppress(asyncio.CancelledError, DBAPIError):
            await task
        kills += 1
    assert kills > 0
    ended = (await client.get(f"/v1/imports/{body['id']}")).json()
    assert ended["state"] == "done"
    assert ended["rows"] == {
        "total": 5_301,
        "done": 5_301,
        "created": 5_300,
        "updated": 0,
        "unchanged": 0,
        "refused": 1,
        "images": 0,
    }
    assert count(service, "import_rows", brand) == 5_301
    assert len(published(service.database_settings, brand)) == 2 * 5_300
    assert admin_rows(
        service.database_settings,
        "select count(*), min(content_version), max(content_version), max(offer_version) from items"
        " where brand_id = %s",
        brand,
    ) == [(5_300, 1, 1, 1)]


async def test_a_leased_import_belongs_to_one_worker_and_a_brands_imports_keep_their_order(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    first = await upload(client, feed(5))
    second = await upload(client, feed(5, price="2.00 EUR"))
    admin_execute(
        service.database_settings,
        "update imports set state = 'applying', lease_owner = 'elsewhere', lease_until = now() + interval '1 hour'"
        " where import_id = %s",
        first["id"],
    )
    assert not await service.loop(owner="me").work_once(asyncio.Event())
    admin_execute(
        service.database_settings,
        "update imports set lease_until = now() - interval '1 second' where import_id = %s",
        first["id"],
    )
    loop = service.loop(owner="me")
    assert await loop.work_once(asyncio.Event())
    assert (await client.get(f"/v1/imports/{first['id']}")).json()["state"] == "done"
    assert (await client.get(f"/v1/imports/{second['id']}")).json()["state"] == "staged"
    assert await loop.work_once(asyncio.Event())
    assert (await client.get("/v1/items/i000000")).json()["price"] == "2.00 EUR"


async def test_a_stopped_loop_hands_its_import_back(service: Service, client: httpx.AsyncClient) -> None:
    body = await upload(client, feed(5))
    stop = asyncio.Event()
    stop.set()
    assert not await service.loop(owner="one").work_once(stop)
    assert (await client.get(f"/v1/imports/{body['id']}")).json()["rows"]["done"] == 0
    assert await service.loop(owner="two").work_once(asyncio.Event())
    assert (await client.get(f"/v1/imports/{body['id']}")).json()["state"] == "done"


async def test_an_import_that_breaks_again_and_again_rests_longer_and_longer_and_then_fails(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    """A house that is killed a few times within a minute gives up nobody's import."""
    body = await upload(client, feed(5))

    def begun(attempts: int, rested: str) -> None:
        admin_execute(
            service.database_settings,
            "update imports set state = 'applying', attempts = %s, updated_at = now() - %s::interval"
            " where import_id = %s",
            attempts,
            rested,
            body["id"],
        )

    loop = service.loop()
    for attempts, too_soon in [(2, "3 s"), (4, "15 s"), (6, "50 s"), (8, "50 s"), (500, "50 s")]:
        begun(attempts, too_soon)
        assert not await loop.work_once(asyncio.Event())
    begun(8, "61 s")
    await work(service)
    ended = (await client.get(f"/v1/imports/{body['id']}")).json()
    assert (ended["state"], ended["problem"]["code"]) == ("failed", "import_failed")
    assert count(service, "items", brand) == count(service, "import_chunks", brand) == 0


async def test_the_loop_is_woken_stops_and_cleans_up(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    """An upload that fell silent is aborted; the report of an old import goes."""
    old = await imported(service, client, feed(5))
    silent = await upload(client, feed(5))
    admin_execute(
        service.database_settings,
        "update imports set finished_at = now() - interval '31 days' where import_id = %s",
        old["id"],
    )
    admin_execute(
        service.database_settings,
        "update imports set state = 'uploading', updated_at = now() - interval '1 hour' where import_id = %s",
        silent["id"],
    )
    loop, stop = service.loop(), asyncio.Event()
    running = asyncio.create_task(loop.run(stop))
    await until(lambda: not count(service, "import_rows", brand) + count(service, "import_chunks", brand))
    stop.set()
    await running
    assert (await client.get(f"/v1/imports/{old['id']}")).status_code == 404
    assert (await client.get(f"/v1/imports/{silent['id']}")).json()["state"] == "aborted"


async def test_another_brands_imports_are_not_there(service: Service, client: httpx.AsyncClient) -> None:
    body = await upload(client, feed(5))
    async with service.client(add_key(service.database_settings, new_brand())) as stranger:
        for path in (f"/v1/imports/{body['id']}", f"/v1/imports/{body['id']}/rows"):
            answer = await stranger.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "import_unknown")
        assert (await stranger.get("/v1/imports")).json()["data"] == []


async def test_imports_are_listed_newest_first_with_cursors(client: httpx.AsyncClient) -> None:
    ids = [(await upload(client, feed(1)))["id"] for _ in range(3)]
    first = (await client.get("/v1/imports", params={"limit": 2})).json()
    rest = (await client.get("/v1/imports", params={"cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in first["data"] + rest["data"]] == ids[::-1]
    for cursor in ("eyJpbXBvcnQiOiJ4In0", "x"):
        answer = await client.get("/v1/imports", params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (400, "cursor_invalid")
    bad = await client.get(f"/v1/imports/{ids[0]}/rows", params={"cursor": "eyJyb3ciOi0xfQ"})
    assert (bad.status_code, bad.json()["code"]) == (400, "cursor_invalid")
    assert (await client.get("/v1/imports/x")).status_code == 422
