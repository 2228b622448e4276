"""Imports by address: fetched through the guard by the worker, whole or not at all, over restarts."""

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.catalog.support import Service, add_key, admin_execute, admin_rows, new_brand, serving
from tests.catalog.test_imports import count, feed, work
from tests.support.web import Web, ok, redirect, web
from vitrin.catalog.fetch_loop import FetchLoop, fetcher, rest
from vitrin.catalog.service_fetches import WAITING_MAX, too_slow
from vitrin.kit.clock import system_clock
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.ids import BrandId

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ROWS = 300
"""Of 4 KB each: more than one chunk, and quickly applied."""
WIDE = (
    "id,title,price,description\n"
    + "".join(f"i{number},Item {number},1.00 EUR,{'d' * 4_000}\n" for number in range(ROWS))
).encode()
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
async def service(embedded_postgres: EmbeddedPostgres) -> AsyncIterator[Service]:
    limits = {
        "import_bytes_max": 3_000_000,
        "import_retry_pause_s": 0.0,
        "import_fetch_pause_s": 0.0,
        "import_poll_s": 60.0,
    }
    async with serving(embedded_postgres, **limits) as running:
        yield running


@pytest.fixture
def brand() -> BrandId:
    return new_brand()


@pytest.fixture
async def client(service: Service, brand: BrandId) -> AsyncIterator[httpx.AsyncClient]:
    admin_execute(service.database_settings, "delete from imports")
    async with service.client(add_key(service.database_settings, brand)) as client:
        yield client


@pytest.fixture
async def shop() -> AsyncIterator[Web]:
    async with web() as server:
        yield server


class Fetcher:
    """A worker's loop with the guard that the process would have."""

    def __init__(self, service: Service, owner: str = "test") -> None:
        self._out = fetcher(service.settings.imports, service.settings.outbound.policy)
        self.staged = asyncio.Event()
        self.wake = asyncio.Event()
        self.loop = FetchLoop(
            database=service.worker_database,
            outbound=self._out,
            clock=system_clock,
            settings=service.settings.imports,
            owner=owner,
            wake=self.wake,
            staged=[self.staged],
        )

    async def once(self) -> bool:
        return await self.loop.work_once(asyncio.Event())

    async def close(self) -> None:
        await self._out.close()


@pytest.fixture
async def fetching(service: Service) -> AsyncIterator[Fetcher]:
    made = Fetcher(service)
    yield made
    await made.close()


async def give(client: httpx.AsyncClient, url: str, **more: str) -> dict[str, Any]:
    answer = await client.post("/v1/imports", json={"url": url, **more})
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert body["state"] == "fetching"
    return body


async def look(client: httpx.AsyncClient, given: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v1/imports/{given['id']}")).json()
    return found


async def test_a_file_is_fetched_and_applied_like_an_upload(
    service: Service, client: httpx.AsyncClient, brand: BrandId, shop: Web, fetching: Fetcher
) -> None:
    content = WIDE
    shop.answers |= {"/feed.csv": redirect("/real"), "/real": ok(content, "Content-Type: text/csv")}
    given = await give(client, shop.url("/feed.csv?token=hush"))
    assert (given["url"], given["file_name"]) == (shop.url("/feed.csv"), "feed.csv")
    assert await fetching.once()
    staged = await look(client, given)
    assert (staged["state"], staged["bytes"], staged["bytes_total"]) == ("staged", len(content), len(content))
    assert staged["sha256"] == hashlib.sha256(content).hexdigest()
    assert fetching.staged.is_set()
    assert "hush" in shop.requests[0]
    kept = admin_rows(
        service.database_settings, "select imports::text from imports where brand_id = %s", brand
    )
    assert "hush" not in str(kept), "a signed address is not kept"
    await work(service)
    done = await look(client, given)
    assert (done["state"], done["rows"]["created"], done["problem"]) == ("done", ROWS, None)
    assert count(service, "import_chunks", brand) == 0
    assert not await fetching.once()


async def test_compressed_and_digested(
    client: httpx.AsyncClient, shop: Web, fetching: Fetcher, service: Service
) -> None:
    content = b"id,title,price\na,A,1.00 EUR"  # no line break at its end: only a digest proves that
    shop.answers["/zip"] = ok(gzip.compress(content), "Content-Encoding: gzip")
    shop.answers["/open"] = b"HTTP/1.1 200 OK\r\n\r\n" + content
    digest = hashlib.sha256(content).hexdigest()
    for path in ("/zip", "/open"):
        given = await give(client, shop.url(path), sha256=digest, format="common", file_name="mine.csv")
        assert await fetching.once()
        await work(service)
        done = await look(client, given)
        assert (done["state"], done["file_name"], done["format"]) == ("done", "mine.csv", "common")
        assert done["bytes"] == len(content)
    given = await give(client, shop.url("/zip"))
    assert await fetching.once()
    await work(service)
    assert (await look(client, given))["state"] == "refused", "without a digest the last row may be cut off"


@pytest.mark.parametrize(
    "case",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nid,title,price\n", "url_answer_truncated", 6),
        (CHUNKED + b"f\r\nid,title,price\n\r\n", "url_answer_truncated", 6),
        (b"HTTP/1.1 200 OK\r\n\r\nid,title,price\na,A,1.00 EUR\n", "url_answer_refused", 1),
        (ok(b""), "url_answer_refused", 6),
        (ok(b"<html>sign in", "Content-Type: text/html; charset=utf-8"), "url_answer_refused", 1),
        (b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n", "url_answer_refused", 1),
        (BUSY, "url_answer_refused", 6),
        (redirect("http://10.0.0.1/feed.csv"), "url_redirect_refused", 1),
        (ok(bytes(3_000_001)), "url_answer_too_large", 1),
        (b"hello", "url_answer_invalid", 6),
    ],
)
async def test_what_is_not_a_whole_file_is_refused_with_the_reason(  # noqa: PLR0917 fixtures
    service: Service,
    client: httpx.AsyncClient,
    brand: BrandId,
    shop: Web,
    fetching: Fetcher,
    case: tuple[bytes, str, int],
) -> None:
    answer, code, attempts = case
    shop.answers["/feed.csv"] = answer
    given = await give(client, shop.url("/feed.csv?token=hush"))
    while await fetching.once():
        pass
    ended = await look(client, given)
    assert (ended["state"], ended["problem"]["code"]) == ("aborted", code)
    assert ended["problem"]["fix"]
    assert "hush" not in str(ended)
    assert len(shop.requests) == attempts
    assert count(service, "import_chunks", brand) == 0
    assert "hush" not in str(admin_rows(service.database_settings, "select imports::text from imports"))


async def test_a_wrong_digest(client: httpx.AsyncClient, shop: Web, fetching: Fetcher) -> None:
    shop.answers["/feed.csv"] = ok(feed(3).encode())
    given = await give(client, shop.url("/feed.csv"), sha256="ab" * 32)
    assert await fetching.once()
    ended = await look(client, given)
    assert (ended["state"], ended["problem"]["code"]) == ("aborted", "upload_incomplete")


async def test_a_server_that_comes_back(
    service: Service, client: httpx.AsyncClient, brand: BrandId, shop: Web, fetching: Fetcher
) -> None:
    whole = ok(WIDE)
    shop.answers["/feed.csv"] = whole[: len(whole) // 2]
    given = await give(client, shop.url("/feed.csv"))
    assert await fetching.once()
    waiting = await look(client, given)
    assert (waiting["state"], waiting["problem"]["code"]) == ("fetching", "url_answer_truncated")
    shop.answers["/feed.csv"] = whole
    assert await fetching.once()
    staged = await look(client, given)
    assert (staged["state"], staged["problem"]) == ("staged", None)
    await work(service)
    assert count(service, "items", brand) == ROWS


async def test_a_server_is_asked_again_when_it_says_and_others_of_the_brand_meanwhile(
    client: httpx.AsyncClient, shop: Web, fetching: Fetcher
) -> None:
    shop.answers["/busy.csv"] = b"HTTP/1.1 503 Busy\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n"
    shop.answers["/feed.csv"] = ok(feed(3).encode())
    busy, other = [await give(client, shop.url(path)) for path in ("/busy.csv", "/feed.csv")]
    assert await fetching.once()
    assert await fetching.once()
    assert not await fetching.once(), "its time has not come"
    assert [(await look(client, one))["state"] for one in (busy, other)] == ["fetching", "staged"]


@pytest.mark.parametrize(
    ("attempts", "asked_s", "rests_s"),
    [(1, None, 5), (3, None, 80), (1, 60, 60), (3, 60, 80), (9, None, 3_600)],
)
def test_it_rests_longer_and_longer(attempts: int, asked_s: float | None, rests_s: float) -> None:
    assert rest(5.0, attempts, asked_s) == rests_s


def test_a_server_that_drips_is_told_from_a_slow_beginning() -> None:
    assert not too_slow(0, 60.0, rate_min=1_000)
    assert not too_slow(61_000, 61.0, rate_min=1_000)
    assert too_slow(60_999, 61.0, rate_min=1_000)


async def test_a_fetch_that_was_killed_or_stopped_is_begun_again(
    service: Service, client: httpx.AsyncClient, brand: BrandId, shop: Web
) -> None:
    content, rest = WIDE, asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        writer.write(ok(content)[:1_100_000])
        await writer.drain()
        await rest.wait()
        writer.write(ok(content)[1_100_000:])

    shop.scripts["/feed.csv"] = slow
    given = await give(client, shop.url("/feed.csv"))
    first, second = Fetcher(service, "one"), Fetcher(service, "two")
    try:
        killed = asyncio.create_task(first.once())
        while count(service, "import_chunks", brand) == 0:
            await asyncio.sleep(0.02)
        assert 0 < (await look(client, given))["bytes"] < len(content)
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
        assert not await second.once(), "its lease has not ended"
        stop = asyncio.Event()
        stopped = asyncio.create_task(first.loop.work_once(stop))
        while len(shop.requests) < 2:
            await asyncio.sleep(0.02)
        stop.set()
        assert not await stopped
        rest.set()
        assert await second.once(), "who stops in order gives the lease back"
        staged = await look(client, given)
        assert (staged["state"], staged["sha256"]) == ("staged", hashlib.sha256(content).hexdigest())
    finally:
        rest.set()
        await first.close()
        await second.close()


async def test_a_lease_is_kept_while_the_server_is_slow(
    service: Service, client: httpx.AsyncClient, shop: Web
) -> None:
    rest = asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        await rest.wait()
        writer.write(ok(feed(3).encode()))

    shop.scripts["/feed.csv"] = slow
    given = await give(client, shop.url("/feed.csv"))
    quick = service.settings.imports.model_copy(update={"import_lease_s": 1})
    out = fetcher(quick, service.settings.outbound.policy)
    loop = FetchLoop(
        database=service.worker_database,
        outbound=out,
        clock=system_clock,
        settings=quick,
        owner="slow",
        wake=asyncio.Event(),
        staged=[],
    )
    running = asyncio.create_task(loop.work_once(asyncio.Event()))

    def lease() -> object:
        return admin_rows(service.database_settings, "select lease_until from imports")[0][0]

    try:
        while (first := lease()) is None:
            await asyncio.sleep(0.02)
        while lease() == first:
            await asyncio.sleep(0.05)
    finally:
        rest.set()
        assert await running
        await out.close()
    assert (await look(client, given))["state"] == "staged"


async def test_addresses_that_are_refused_at_the_door(service: Service, client: httpx.AsyncClient) -> None:
    for body, code, field in (
        ({"url": "ftp://shop.example/feed"}, "url_refused", "url"),
        ({"url": "https://user:hush@shop.example/feed"}, "url_refused", "url"),
        ({"url": "https://10.0.0.1/feed"}, "url_address_not_public", "url"),
        ({"url": "https://accounts:8001/v1"}, "url_address_not_public", "url"),
        ({"url": "https://shop.example/feed", "sha256": "abc"}, "malformed", "sha256"),
        ({"url": "https://shop.example/feed", "format": "xml"}, "format_unknown", "format"),
        ({"url": "https://shop.example/feed", "method": "POST"}, "malformed", "method"),
        ({"url": 5}, "malformed", "url"),
        ({}, "malformed", "url"),
        ({"url": "https://shop.example/" + "x" * 20_000}, "malformed", None),
    ):
        answer = await client.post("/v1/imports", json=body)
        document = answer.json()
        assert (answer.status_code // 100, document["code"], document.get("field")) == (4, code, field), (
            document
        )
        assert "hush" not in answer.text
        assert document["fix"]
    assert admin_rows(service.database_settings, "select count(*) from imports") == [(0,)]


async def test_no_more_addresses_wait_than_allowed(
    service: Service, client: httpx.AsyncClient, brand: BrandId
) -> None:
    given = await give(client, "https://shop.example/feed.csv")
    admin_execute(
        service.database_settings,
        "insert into imports (brand_id, import_id, state, requested_format, actor, created_at, updated_at)"
        " select brand_id, gen_random_uuid(), state, requested_format, actor, created_at, updated_at"
        " from imports, generate_series(2, %s) where import_id = %s",
        WAITING_MAX,
        given["id"],
    )
    answer = await client.post("/v1/imports", json={"url": "https://shop.example/feed.csv"})
    assert (answer.status_code, answer.json()["code"]) == (429, "fetches_waiting")
    assert count(service, "imports", brand) == WAITING_MAX


async def test_the_loop_is_woken_and_stops(client: httpx.AsyncClient, shop: Web, fetching: Fetcher) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(fetching.loop.run(stop))
    shop.answers["/feed.csv"] = ok(feed(3).encode())
    given = await give(client, shop.url("/feed.csv"))
    fetching.wake.set()
    await asyncio.wait_for(fetching.staged.wait(), 60)
    assert (await look(client, given))["state"] == "staged"
    stop.set()
    await asyncio.wait_for(running, 60)
