"""The connectors against the sandbox's quotas over real sockets, on a clock that waiting moves for both sides."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn

from tests.platforms.items import mug
from vitrin.kit.http_client import PlatformHttp, Priority
from vitrin.platforms.base import CatalogChannel, FailureKind, Operation, OperationKind, PlatformFailure
from vitrin.platforms.meta.usage import BATCH_USAGE, MANAGEMENT_USAGE
from vitrin.platforms.pinterest.errors import usage as pinterest_usage
from vitrin.platforms.registry import PLATFORMS
from vitrin.sandbox.app import create_app
from vitrin.sandbox.main import SandboxServer
from vitrin.sandbox.settings import SandboxSettings

START_S_MAX = 20


class FastClock:
    """The machine's time, but who sleeps on it moves it instead."""

    def __init__(self) -> None:
        self.moved_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.moved_s

    def utc(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.moved_s)

    async def sleep(self, seconds: float) -> None:
        self.moved_s += seconds
        await asyncio.sleep(0)


@contextmanager
def sandbox(clock: FastClock, **settings: Any) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        host, port = listener.getsockname()
        app = create_app(SandboxSettings(quota=True, batch_latency_ms=0, **settings), clock=clock.utc)
        running = SandboxServer(uvicorn.Config(app, log_level="warning", lifespan="on", ws="none"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + START_S_MAX
            while not running.started:
                if not thread.is_alive() or time.monotonic() > deadline:
                    raise RuntimeError("the sandbox did not start")
                time.sleep(0.01)
            yield f"http://{host}:{port}"
        finally:
            running.should_exit = True
            thread.join(timeout=START_S_MAX)


@asynccontextmanager
async def place(url: str, platform: str, clock: FastClock) -> AsyncIterator[tuple[CatalogChannel, Any]]:
    async with (
        PlatformHttp(monotonic=clock.monotonic, sleep=clock.sleep) as http,
        httpx.AsyncClient(base_url=url, trust_env=False) as control,
    ):
        account = (await control.post("/_sandbox/accounts", json={"platform": platform})).json()

        def open_on(transport: PlatformHttp) -> CatalogChannel:
            return PLATFORMS[platform].open_channel(
                http=transport,
                access_token=account["access_token"],
                external_ids=account["external_ids"],
                market="US",
                language="en",
                currency="USD",
                base_url=account["base_url"],
                brand="brand-1",
            )

        yield open_on(http), open_on


def upsert(channel: CatalogChannel, number: int) -> Operation:
    item = mug(item_id=f"mug-{number}")
    return channel.operation(
        kind=OperationKind.UPSERT,
        platform_item_id=channel.platform_item_id(item.item_id),
        attributes=channel.render(item).attributes,
    )


def offer(channel: CatalogChannel, number: int) -> Operation:
    item = mug(item_id=f"mug-{number}")
    return channel.operation(
        kind=OperationKind.OFFER,
        platform_item_id=channel.platform_item_id(item.item_id),
        attributes=channel.render_offer(item),
    )


async def test_an_idle_catalog_of_meta_is_used_nearly_wholly_and_never_throttles() -> None:
    """Eight calls a minute; a throttle would raise. 20 minutes of its clock."""
    clock = FastClock()
    with sandbox(clock) as url:
        async with place(url, "meta", clock) as (channel, _):
            await channel.send([upsert(channel, 0)])
            began_s = clock.monotonic()
            for number in range(160):
                await channel.send([upsert(channel, number)])
            minutes = (clock.monotonic() - began_s) / 60
    assert 160 / (8 * minutes) >= 0.97


async def test_a_catalog_with_traffic_gets_its_larger_quota_without_being_told() -> None:
    """8 + 8 * log2(8) = 32 calls a minute."""
    clock = FastClock()
    with sandbox(clock, meta_catalog_traffic=8) as url:
        async with place(url, "meta", clock) as (channel, _):
            for number in range(80):
                await channel.send([upsert(channel, number)])
            began_s = clock.monotonic()
            for number in range(120):
                await channel.send([upsert(channel, number)])
            minutes = (clock.monotonic() - began_s) / 60
    assert 120 / (32 * minutes) >= 0.9


async def test_after_eight_batches_within_a_minute_a_price_waits_for_a_gap_and_not_for_52_s() -> None:
    clock = FastClock()
    with sandbox(clock) as url:
        async with place(url, "meta", clock) as (channel, _):
            for number in range(8):
                await channel.send([upsert(channel, number)])
            waited_s = channel.ready_in_s(priority=Priority.FAST)
            assert waited_s <= 2 * 60 / 8
            await channel.send([offer(channel, 0)])


async def test_a_new_process_learns_from_the_first_answer_what_was_used_before_it() -> None:
    clock = FastClock()
    with sandbox(clock) as url:
        async with place(url, "meta", clock) as (channel, open_on):
            for number in range(30):
                await channel.send([upsert(channel, number)])
            clock.moved_s += 10
            async with PlatformHttp(monotonic=clock.monotonic, sleep=clock.sleep) as other:
                second = open_on(other)
                for number in range(30):
                    await second.send([upsert(channel, number)])


async def test_two_processes_share_one_quota_with_few_refusals() -> None:
    clock, refused = FastClock(), 0
    with sandbox(clock, pinterest_catalogs_write_per_minute=60) as url:
        async with (
            place(url, "pinterest", clock) as (channel, open_on),
            PlatformHttp(monotonic=clock.monotonic, sleep=clock.sleep) as other,
        ):
            channels = (channel, open_on(other))
            for number in range(160):
                try:
                    await channels[number % 2].send([upsert(channel, number)])
                except PlatformFailure as failure:
                    refused += failure.kind is FailureKind.THROTTLED
                    if failure.kind is not FailureKind.THROTTLED:
                        raise
    assert refused <= 8


async def test_pinterest_uses_what_its_headers_allow() -> None:
    """A tenth of what we think is documented: learned from x-userendpoint-ratelimit-* before it is met."""
    clock = FastClock()
    with sandbox(clock, pinterest_catalogs_write_per_minute=60) as url:
        async with place(url, "pinterest", clock) as (channel, _):
            for number in range(120):
                await channel.send([upsert(channel, number)])
            began_s = clock.monotonic()
            for number in range(180):
                await channel.send([upsert(channel, number)])
            minutes = (clock.monotonic() - began_s) / 60
    assert 180 / (60 * minutes) >= 0.95


def test_meta_usage_is_that_of_the_use_case_and_of_the_worst_of_its_counts() -> None:
    headers = {
        "x-business-use-case-usage": '{"1":[{"type":"catalog_batch","call_count":12,"total_cputime":40,'
        '"total_time":3,"estimated_time_to_regain_access":2},{"type":"catalog_management","call_count":1}]}',
        "x-app-usage": '{"call_count":99,"total_time":25,"total_cputime":25}',
    }
    batch, management = BATCH_USAGE(headers), MANAGEMENT_USAGE(headers)
    assert batch is not None
    assert management is not None
    assert (batch.share, batch.regain_s) == (0.4, 120)
    assert (management.share, management.regain_s) == (0.01, None)
    used_up = BATCH_USAGE({"x-app-usage": '{"call_count":100,"total_time":25,"total_cputime":25}'})
    assert used_up is not None
    assert used_up.share == 1.0
    assert BATCH_USAGE({"x-app-usage": '{"call_count":99}'}) is None


@pytest.mark.parametrize("text", ["", "7", "[]", "{", '{"1":{}}', '{"1":[7]}', '{"1":[{"type":"other"}]}'])
def test_meta_usage_that_nobody_can_read_says_nothing(text: str) -> None:
    assert BATCH_USAGE({"x-business-use-case-usage": text, "x-app-usage": text}) is None


@pytest.mark.parametrize("name", ["x-userendpoint-ratelimit", "x-ratelimit"])
def test_pinterest_usage(name: str) -> None:
    seen = pinterest_usage({f"{name}-limit": "100", f"{name}-remaining": "25", f"{name}-reset": "7"})
    assert seen is not None
    assert (seen.share, seen.step, seen.regain_s) == (0.75, 0.01, None)
    full = pinterest_usage({f"{name}-limit": "100", f"{name}-remaining": "0", f"{name}-reset": "7"})
    assert full is not None
    assert (full.share, full.regain_s) == (1.0, 7.0)


@pytest.mark.parametrize("limit", ["", "0", "many", "100;w=60"])
def test_pinterest_usage_that_nobody_can_read_says_nothing(limit: str) -> None:
    assert pinterest_usage({"x-ratelimit-limit": limit, "x-ratelimit-remaining": "1"}) is None
