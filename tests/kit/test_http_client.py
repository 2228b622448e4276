"""The transport to platforms against real sockets: how a call can end, what is repeated, and at which rate."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from vitrin.kit.delivery.breaker import BreakerRules, Health
from vitrin.kit.delivery.gate import WAITING_MAX, Signal
from vitrin.kit.http_client import (
    Call,
    NotNow,
    NotSent,
    PlatformHttp,
    Priority,
    Rate,
    Reply,
    UnknownOutcome,
)

RATE = Rate(endpoint="items", calls=3, per_s=1)
FREE = Rate(endpoint="free", calls=1_000, per_s=0.001)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nX-Usage: 7\r\n\r\n" + b'{"ok":true}'
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


@dataclass
class Timeline:
    """A clock that only sleeping moves."""

    now_s: float = 100.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = running.sockets[0].getsockname()
    async with running:
        yield f"http://{host}:{port}"


def answering(*answers: bytes) -> tuple[Answer, list[bytes]]:
    """Each request gets the next answer; b"" closes the connection. Also the requests' heads."""
    left, heads = list(answers), list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
            except asyncio.IncompleteReadError:
                return
            given = left.pop(0)
            if not given:
                return
            writer.write(given)
            await writer.drain()

    return serve, heads


def call(url: str, *, safe: bool = False, rate: Rate = FREE, method: str = "GET") -> Call:
    return Call(
        platform="meta",
        account="1",
        rate=rate,
        method=method,
        url=url,
        safe=safe,
        headers={"authorization": "Bearer secret-token"},
    )


async def test_a_complete_answer_is_a_reply_whatever_its_status() -> None:
    teapot = b"HTTP/1.1 418 Teapot\r\ncontent-length: 3\r\n\r\nno!"
    serve, heads = answering(OK, teapot)
    async with server(serve) as url, PlatformHttp() as http:
        reply = await http.request(call(url))
        assert (reply.status, reply.headers["x-usage"], reply.json()) == (200, "7", {"ok": True})
        refused = await http.request(call(url))
        assert (refused.status, refused.body, refused.json()) == (418, b"no!", None)
    assert b"authorization: bearer secret-token" in heads[0].lower()


async def test_nobody_listens_is_not_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with PlatformHttp() as http:
            with pytest.raises(NotSent):
                await http.request(call(f"http://127.0.0.1:{port}", method="POST"))


async def test_a_name_that_does_not_resolve_is_not_sent() -> None:
    async with PlatformHttp() as http:
        with pytest.raises(NotSent):
            await http.request(call("http://vitrin.invalid"))


async def test_a_connection_that_closes_without_an_answer_is_unknown_and_sent_once() -> None:
    serve, heads = answering(b"", b"", b"")
    async with server(serve) as url, PlatformHttp() as http:
        with pytest.raises(UnknownOutcome):
            await http.request(call(url, method="POST"))
    assert len(heads) == 1


async def test_half_an_answer_is_unknown() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:-4])
        await writer.drain()

    async with server(half) as url, PlatformHttp() as http:
        with pytest.raises(UnknownOutcome):
            await http.request(call(url, method="POST"))


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1_000):
        pass


async def test_silence_is_unknown() -> None:
    async with server(silent) as url, PlatformHttp(read_timeout_s=0.05) as http:
        with pytest.raises(UnknownOutcome):
            await http.request(call(url, method="POST"))


async def test_an_answer_that_trickles_ends_too() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not reader.at_eof():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with server(trickle) as url, PlatformHttp(total_timeout_s=0.1) as http:
        with pytest.raises(UnknownOutcome):
            await http.request(call(url, method="POST"))


async def test_an_answer_over_the_limit_is_unknown() -> None:
    serve, _ = answering(OK)
    async with server(serve) as url, PlatformHttp() as http:
        with pytest.raises(UnknownOutcome, match="more than 10 bytes"):
            await http.request(replace(call(url), reply_bytes_max=10))


async def test_reads_are_repeated_with_jitter_and_writes_are_not() -> None:
    timeline = Timeline()
    serve, heads = answering(b"", BUSY, OK, BUSY)
    async with (
        server(serve) as url,
        PlatformHttp(monotonic=timeline, sleep=timeline.sleep, jitter=lambda: 0.5) as http,
    ):
        assert (await http.request(call(url, safe=True))).status == 200
        assert timeline.slept == [pytest.approx(0.15), pytest.approx(0.3)]
        assert (await http.request(call(url, method="POST"))).status == 503
    assert len(heads) == 4


async def test_reads_give_up_after_three_attempts() -> None:
    timeline = Timeline()
    serve, heads = answering(BUSY, BUSY, BUSY, OK, b"", b"", b"", OK)
    async with server(serve) as url, PlatformHttp(monotonic=timeline, sleep=timeline.sleep) as http:
        assert (await http.request(call(url, safe=True))).status == 503
        assert (await http.request(call(url, safe=True))).status == 200
        with pytest.raises(UnknownOutcome):
            await http.request(call(url, safe=True))
    assert len(heads) == 7


async def test_a_rate_belongs_to_one_account_and_endpoint() -> None:
    timeline = Timeline()
    serve, _ = answering(*[OK] * 10)
    async with server(serve) as url, PlatformHttp(monotonic=timeline, sleep=timeline.sleep) as http:
        asked = {"platform": "meta", "account": "1", "rate": RATE}
        assert http.ready_in_s(**asked) == 0.0
        await http.request(call(url, rate=RATE))
        assert timeline.slept == []
        gap_s = http.ready_in_s(**asked)
        assert gap_s == pytest.approx(1 / 3, abs=0.03), "the window before is unknown: no burst"
        assert http.ready_in_s(platform="meta", account="2", rate=RATE) == 0.0
        await http.request(replace(call(url, rate=RATE), account="2"))
        await http.request(call(url))
        assert timeline.slept == []
        await http.request(call(url, rate=RATE))
        assert timeline.slept == [gap_s]


async def test_one_endpoint_of_a_brand_has_so_many_calls_at_once_and_others_their_own() -> None:
    inside: dict[bytes, int] = {}
    most: dict[bytes, int] = {}
    gate = asyncio.Event()

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        inside[path] = inside.get(path, 0) + 1
        most[path] = max(most.get(path, 0), inside[path])
        if inside == {b"/a-items": 2, b"/b-items": 2, b"/a-reads": 2}:
            gate.set()
        await gate.wait()
        inside[path] -= 1
        writer.write(OK.replace(b"X-Usage: 7", b"Connection: close"))
        await writer.drain()

    async with server(counting) as url, PlatformHttp() as http:
        ways = [("a", "items"), ("b", "items"), ("a", "reads")]
        calls = [
            replace(
                call(f"{url}/{brand}-{endpoint}", rate=replace(FREE, endpoint=endpoint)),
                brand=brand,
                concurrency_max=2,
            )
            for brand, endpoint in ways
            for _ in range(6)
        ]
        replies = await asyncio.gather(*(http.request(one) for one in calls))
    assert [reply.status for reply in replies] == [200] * 18
    assert most == {b"/a-items": 2, b"/b-items": 2, b"/a-reads": 2}


async def test_an_endpoint_that_hangs_holds_up_no_other_brand_and_turns_the_surplus_away() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        if path == b"/well":
            writer.write(OK.replace(b"X-Usage: 7", b"Connection: close"))
            await writer.drain()
        else:
            await reader.read()

    async with server(serve) as url, PlatformHttp() as http:
        sick = replace(call(f"{url}/sick"), brand="sick")
        hanging = [asyncio.create_task(http.request(sick)) for _ in range(sick.concurrency_max + WAITING_MAX)]
        while http.waiting("sick", "meta", FREE.endpoint) < WAITING_MAX:
            await asyncio.sleep(0)
        with pytest.raises(NotNow, match="crowded") as raised:
            await http.request(sick)
        assert raised.value.retry_after_s > 0
        for _ in range(20):
            assert (await http.request(replace(call(f"{url}/well"), brand="well"))).status == 200
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        assert http.waiting("sick", "meta", FREE.endpoint) == 0
        well = replace(sick, url=f"{url}/well")
        assert (await http.request(well)).status == 200, "whoever gave up holds no place"


async def test_a_sick_endpoint_is_left_alone_and_probed_until_it_is_well() -> None:
    timeline, rules = Timeline(), BreakerRules(consecutive_max=3, open_first_s=2, open_max_s=60)
    serve, heads = answering(BUSY, BUSY, BUSY, BUSY, OK, OK)
    async with (
        server(serve) as url,
        PlatformHttp(
            monotonic=timeline, sleep=timeline.sleep, jitter=lambda: 0.0, breaker_rules=rules
        ) as http,
    ):
        one = replace(call(url, method="POST"), brand="a")
        asked = {"platform": "meta", "account": "1", "rate": FREE, "brand": "a"}
        for _ in range(3):
            assert (await http.request(one)).status == 503
        assert http.ready_in_s(**asked) == 2.0
        with pytest.raises(NotNow, match="endpoint_resting") as raised:
            await http.request(one)
        assert raised.value.retry_after_s == 2.0
        assert len(heads) == 3
        timeline.now_s += 2
        assert http.ready_in_s(**asked) == 0.0
        assert (await http.request(one)).status == 503
        assert http.ready_in_s(**asked) == 4.0
        timeline.now_s += 4
        assert [(await http.request(one)).status for _ in range(2)] == [200, 200]
    assert len(heads) == 6


async def test_a_breaker_of_one_brand_or_endpoint_is_not_that_of_another() -> None:
    timeline, rules = Timeline(), BreakerRules(consecutive_max=1)
    serve, _ = answering(BUSY, OK, OK)
    async with (
        server(serve) as url,
        PlatformHttp(monotonic=timeline, sleep=timeline.sleep, breaker_rules=rules) as http,
    ):
        one = replace(call(url, method="POST"), brand="a")
        await http.request(one)
        with pytest.raises(NotNow):
            await http.request(one)
        assert (await http.request(replace(one, brand="b"))).status == 200
        assert (await http.request(replace(one, rate=replace(FREE, endpoint="reads")))).status == 200


async def test_no_connection_opens_the_breaker_and_uses_up_no_rate() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with PlatformHttp(breaker_rules=BreakerRules(consecutive_max=3)) as http:
            for _ in range(3):
                with pytest.raises(NotSent):
                    await http.request(call(url, rate=RATE, method="POST"))
            with pytest.raises(NotNow, match="endpoint_resting"):
                await http.request(call(url, rate=RATE, method="POST"))
            other = http.ready_in_s(platform="meta", account="1", rate=RATE, brand="another")
            assert other < 0.4, "the gap after an unknown past, not three calls of three a second"


async def test_a_throttle_under_any_status_is_learned_and_opens_no_breaker() -> None:
    timeline = Timeline()
    serve, heads = answering(*[OK] * 4)

    def throttled(reply: Reply) -> Signal:
        return Signal(health=Health.WELL, throttled=True, retry_after_s=30.0)

    async with (
        server(serve) as url,
        PlatformHttp(
            monotonic=timeline, sleep=timeline.sleep, breaker_rules=BreakerRules(consecutive_max=1)
        ) as http,
    ):
        one = replace(call(url, rate=RATE, safe=True), brand="a")
        assert (await http.request(one, read=throttled)).status == 200
        assert len(heads) == 1, "a throttled read is not repeated at once"
        wait_s = http.ready_in_s(platform="meta", account="1", rate=RATE, brand="a")
        assert wait_s == pytest.approx(30)
        assert (await http.request(one)).status == 200
        assert timeline.slept == [pytest.approx(30)]


async def test_who_would_wait_too_long_for_its_turn_is_turned_away_at_once() -> None:
    timeline = Timeline()
    slow = Rate(endpoint="items", calls=1, per_s=600)
    serve, _ = answering(OK)
    async with server(serve) as url, PlatformHttp(monotonic=timeline, sleep=timeline.sleep) as http:
        await http.request(call(url, rate=slow))
        with pytest.raises(NotNow, match="no_turn") as raised:
            await http.request(call(url, rate=slow))
        assert raised.value.retry_after_s > 500
        assert timeline.slept == []


async def test_price_overtakes_content_that_waits_and_a_noisy_brand_goes_by_turns() -> None:
    """One quota of an app for many brands; the sandbox of it answers at once."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            heads.append(head.split()[1].decode())
            writer.write(OK)
            await writer.drain()

    rate = Rate(endpoint="items", calls=200, per_s=10)
    async with server(serve) as url, PlatformHttp() as http:
        one = call(url, rate=rate)
        await http.request(one)
        noisy = [replace(one, url=f"{url}/noisy", brand="noisy", concurrency_max=1)] * 8
        quiet = [replace(one, url=f"{url}/quiet", brand="quiet")]
        price = [replace(one, url=f"{url}/price", brand="price", priority=Priority.FAST)]
        await asyncio.gather(*(http.request(each) for each in noisy + quiet + price))
    assert "/price" in heads[1:3]
    assert "/quiet" in heads[1:5]


def test_a_call_prints_no_token() -> None:
    shown = repr(replace(call("https://platform.example/x"), content=b"body"))
    assert "secret-token" not in shown
    assert "https://platform.example/x" in shown
