"""The transport to platforms against real sockets: how a call can end, what is repeated, and at which rate."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from vitrin.kit.http_client import Call, CallWindow, NotSent, PlatformHttp, Rate, UnknownOutcome

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


def test_no_window_of_time_sees_more_calls_than_the_rate() -> None:
    window = CallWindow(RATE)
    assert [window.take(0.0) for _ in range(5)] == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert window.wait_s(0.5) == pytest.approx(0.5)
    assert window.take(1.5) == 0.0
    assert window.wait_s(1.5) == pytest.approx(0.5)
    assert not window.is_quiet(2.4)
    assert window.is_quiet(2.5)
    assert [window.take(10.0) for _ in range(4)] == [0.0, 0.0, 0.0, 1.0]


def test_any_window_holds_for_any_moments_of_asking() -> None:
    window = CallWindow(Rate(endpoint="items", calls=8, per_s=60))
    starts = [now + window.take(now) for now in [0.1 * n * n for n in range(60)]]
    assert starts == sorted(starts)
    assert all(later - earlier >= 60 - 1e-9 for earlier, later in zip(starts, starts[8:], strict=False))


@pytest.mark.parametrize("changes", [{"calls": 0}, {"per_s": 0}])
def test_a_rate_that_never_lets_anything_through_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        replace(RATE, **changes)  # type: ignore[arg-type]


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
        assert http.ready_in_s(platform="meta", account="1", rate=RATE) == 0.0
        for _number in range(3):
            await http.request(call(url, rate=RATE))
        assert timeline.slept == []
        assert http.ready_in_s(platform="meta", account="1", rate=RATE) == 1.0
        assert http.ready_in_s(platform="meta", account="2", rate=RATE) == 0.0
        await http.request(replace(call(url, rate=RATE), account="2"))
        await http.request(call(url))
        assert timeline.slept == []
        await http.request(call(url, rate=RATE))
        assert timeline.slept == [1.0]


async def test_concurrency_is_bounded_per_account() -> None:
    inside, most, gate = 0, 0, asyncio.Event()

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal inside, most
        await reader.readuntil(b"\r\n\r\n")
        inside += 1
        most = max(most, inside)
        if inside == 2:
            gate.set()
        await gate.wait()
        inside -= 1
        writer.write(OK.replace(b"X-Usage: 7", b"Connection: close"))
        await writer.drain()

    async with server(counting) as url, PlatformHttp() as http:
        one = replace(call(url), concurrency_max=2)
        replies = await asyncio.gather(*(http.request(one) for _ in range(6)))
    assert [reply.status for reply in replies] == [200] * 6
    assert most == 2


def test_a_call_prints_no_token() -> None:
    shown = repr(replace(call("https://platform.example/x"), content=b"body"))
    assert "secret-token" not in shown
    assert "https://platform.example/x" in shown
