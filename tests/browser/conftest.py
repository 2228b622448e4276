"""A real Chromium, a storefront of the sandbox, and somebody who writes down what arrives from the browser.

What cannot run says so when it is skipped: no Playwright (`make test-browser` installs it), no Chromium."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.sandbox import running_sandbox
from vitrin.kit.embedded.ports import free_port

playwright_api = pytest.importorskip(
    "playwright.async_api",
    reason="Playwright is not installed: `make test-browser` does it",
    exc_type=ImportError,
)
PIXEL = Path(__file__).resolve().parents[2] / "services/vitrin/retargeting/pixel"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_S = 20.0


@dataclass
class Till:
    """Takes what browsers send, at an origin of its own, as the collector does; `refusals` answers first."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    refusals: list[int] = field(default_factory=list)
    refused: int = 0

    async def take(self, request: Request) -> Response:
        headers = {"access-control-allow-origin": "*", "access-control-expose-headers": "retry-after"}
        body = await request.body()
        if self.refusals:
            self.refused += 1
            status = self.refusals.pop(0)
            return Response(b"", status, headers | {"retry-after": "1"})
        self.keys.add(request.query_params["key"])
        self.bodies.append(orjson.loads(body))
        return Response(b"{}", 200, headers)

    @staticmethod
    async def pixel(_request: Request) -> Response:
        return Response((PIXEL / "static/pixel.js").read_bytes(), media_type="text/javascript")

    @property
    def events(self) -> dict[str, dict[str, Any]]:
        """By id: one that came twice counts once, as at the collector."""
        return {one["event_id"]: one for body in self.bodies for one in body["events"]}

    def named(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.events.values() if one["name"] == name]

    async def wait(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        await until(
            lambda: len(self.named(name)) >= count, lambda: f"{count} {name}, there are {self.bodies}"
        )
        return self.named(name)


async def until(true: Callable[[], bool], what: str | Callable[[], str]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(WAIT_S):
            while not true():
                await asyncio.sleep(0.02)
    assert true(), f"did not come within {WAIT_S} s: {what if isinstance(what, str) else what()}"


@pytest.fixture
async def till() -> AsyncIterator[Till]:
    made = Till()
    routes = [
        Route("/v1/events", made.take, methods=["POST"]),
        Route("/pixel.js", made.pixel),
    ]
    port = free_port()
    made.url = f"http://127.0.0.1:{port}"
    config = uvicorn.Config(
        Starlette(routes=routes), port=port, log_level="warning", ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started, "the till")
    yield made
    server.should_exit = True
    await task


@pytest.fixture(scope="session")
def sandbox() -> Iterator[str]:
    with running_sandbox(quota=False) as url:
        yield url


@dataclass
class Storefront:
    """A shop with a few products; `url` is its front page."""

    sandbox: str
    kind: str
    host: str
    products: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.sandbox}/storefront/{self.kind}/{self.host}"

    def pixel(self, till: Till, *, consent: str = "ask", custom: str = "") -> None:
        """The pages load the pixel from the till; with `custom` Shopify's frame runs that, and the pages nothing."""
        body = (
            {"custom_pixel": custom}
            if custom
            else {"endpoint": till.url, "key": "pk_test_p", "consent": consent}
        )
        path = f"{self.sandbox}/_sandbox/shops/{self.kind}/{self.host}/storefront"
        assert httpx.put(path, json=body).status_code == 200

    def orders(self) -> int:
        path = f"{self.sandbox}/_sandbox/shops/{self.kind}/{self.host}"
        count: int = httpx.get(path).json()["orders"]
        return count


@pytest.fixture(scope="session", params=["shopify"])
def storefront(sandbox: str, request: pytest.FixtureRequest) -> Storefront:
    made = Storefront(sandbox, request.param, "walk.myshopify.com")
    body = {"kind": made.kind, "host": made.host, "seed": {"products": 3, "variants_each": 2}}
    assert httpx.post(f"{sandbox}/_sandbox/shops", json=body).status_code == 201
    return made


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: install Debian's package chromium, or name one by CHROMIUM=path")
    async with playwright_api.async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        await chromium.close()


@pytest.fixture
async def context(browser: Any) -> AsyncIterator[Any]:
    """A shopper with an empty browser."""
    made = await browser.new_context()
    yield made
    await made.close()


@pytest.fixture
async def page(context: Any) -> Any:
    return await context.new_page()


Kept = Callable[[Any], Awaitable[list[str]]]


async def kept(page: Any) -> list[str]:
    """Names of all that the page keeps in this browser."""
    script = "() => [...Object.keys(localStorage), ...document.cookie.split('; ').map(c => c.split('=')[0])]"
    found: list[str] = await page.evaluate(script)
    return [one for one in found if one.startswith("_vt")]
