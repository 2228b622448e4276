"""Calls through the guard, against real sockets: where they go, how they end, and what they never do."""

import asyncio
import gzip
import threading
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address

import pytest

from tests.support.certificates import Authority
from tests.support.web import ok, redirect, web
from vitrin.kit.metrics import exposition
from vitrin.kit.outbound import (
    AddressNotPublic,
    AnswerBroken,
    AnswerTooLarge,
    AnswerTruncated,
    Crowded,
    NameUnresolved,
    Outbound,
    OutboundAnswer,
    OutboundFailure,
    OutboundPolicy,
    RedirectRefused,
    TimedOut,
    Timeouts,
    TlsRefused,
    Unreachable,
    UrlRefused,
)
from vitrin.kit.outbound.addresses import Address
from vitrin.kit.outbound.network import LOOKUPS_MAX, SystemResolver, parent_of

LOCAL = OutboundPolicy.parse("127.0.0.0/8,shop.test,other.test")
QUICK = Timeouts(connect_s=5, read_s=5, total_s=10)


class Names:
    """A name server: what each name leads to, look-up after look-up (the last stays)."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self._names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def addresses(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        answers = self._names.get(host)
        if not answers:
            raise NameUnresolved(host)
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ip_address(text) for text in found]

    def close(self) -> None: ...


@asynccontextmanager
async def out(policy: OutboundPolicy = LOCAL, **more: object) -> AsyncIterator[Outbound]:
    async with Outbound(policy, purpose="test", timeouts=QUICK, **more) as made:  # type: ignore[arg-type]
        yield made


async def test_a_call_and_its_reply() -> None:
    async with web() as server, out() as client:
        server.answers["/in"] = ok(b"thanks", "X-Seen: 1", "X-Seen: 2", "Set-Cookie: a=b")
        for _ in range(2):
            reply = await client.request(
                "post",
                server.url("/in?a=1"),
                headers={"Content-Type": "application/json", "Host": "evil", "Webhook-Id": "m1"},
                content=b'{"a":1}',
            )
        assert (reply.status, reply.body, reply.headers["x-seen"]) == (200, b"thanks", "1, 2")
        assert reply.url == server.url("/in?a=1")
        first, second = server.requests
        assert first == second, "nothing is carried from one call to the next"
        assert first.startswith("POST /in?a=1 HTTP/1.1\r\n")
        assert first.endswith('\r\n\r\n{"a":1}')
        assert f"host: 127.0.0.1:{server.port}\r\n" in first
        assert "evil" not in first
        assert "webhook-id: m1\r\n" in first
        assert "cookie" not in first


async def test_a_private_address_is_not_connected_redirect() -> None:
    names = Names(
        inner_example=[["10.0.0.1"]], half_example=[["8.8.8.8", "127.0.0.1"]], loop_example=[["::1"]]
    )
    async with web() as server, out(OutboundPolicy(https_only=False), resolver=names) as client:
        for host in ("inner.example", "half.example", "loop.example"):
            with pytest.raises(AddressNotPublic) as refused:
                await client.request("GET", server.url("/", host=host))
            assert "10.0.0.1" not in str(refused.value)
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
            with pytest.raises(AddressNotPublic):
                await client.request("GET", server.url("/", host=host))
        assert server.requests == []


async def test_ways_to_write_loopback_that_only_the_resolver_knows() -> None:
    """`inet_aton` takes these for 127.0.0.1; the system's own resolver answers here."""
    async with web() as server, out(OutboundPolicy(https_only=False)) as client:
        for host in ("127.1", "0x7f.0.0.1", "0177.0.0.1"):
            with pytest.raises((AddressNotPublic, NameUnresolved, UrlRefused)):
                await client.request("GET", server.url("/", host=host))
        assert server.requests == []


async def test_the_checked_address_is_the_one_that_is_used() -> None:
    """A name that turns private after the first look: it is looked up once per connection, and checked each time."""
    names = Names(turning_example=[["127.0.0.1"], ["127.0.0.9"], ["127.0.0.1"]])
    policy = OutboundPolicy.parse("127.0.0.1", https_only=False)
    async with web() as server, out(policy, resolver=names) as client:
        server.answers["/"] = ok(b"")
        url = server.url("/", host="turning.example")
        await client.request("GET", url)
        assert names.asked == ["turning.example"]
        with pytest.raises(AddressNotPublic):
            await client.request("GET", url)
        await client.request("GET", url)
        assert names.asked == ["turning.example"] * 3
        assert [request.count(f"host: turning.example:{server.port}") for request in server.requests] == [
            1,
            1,
        ]


async def test_the_next_address_is_tried() -> None:
    async with web() as server, out(resolver=Names(shop_test=[["127.0.0.77", "127.0.0.1"]])) as client:
        server.answers["/"] = ok(b"here")
        assert (await client.request("GET", server.url("/", host="shop.test"))).body == b"here"


async def test_redirects_are_checked_and_counted() -> None:
    names = Names(shop_test=[["127.0.0.1"]], inner_example=[["10.9.9.9"]])
    async with web() as server, out(resolver=names) as client:
        server.answers["/1"] = redirect("2?x=1")
        server.answers["/2"] = redirect(server.url("/3", host="shop.test"), 307)
        server.answers["/3"] = ok(b"end")
        headers = {"Authorization": "Bearer hush", "X-Kept": "1", "Content-Type": "text/plain"}
        reply = await client.request(
            "PUT", server.url("/1"), headers=headers, content=b"body", redirects_max=2
        )
        assert (reply.body, reply.url) == (b"end", server.url("/3", host="shop.test"))
        assert ["hush" in request for request in server.requests] == [True, True, False]
        assert all(
            request.startswith("PUT") and request.endswith("\r\n\r\nbody") for request in server.requests
        )
        with pytest.raises(RedirectRefused, match="more than 1 times"):
            await client.request("GET", server.url("/1"), redirects_max=1)
        unfollowed = await client.request("POST", server.url("/1"), redirects_max=0)
        assert (unfollowed.status, unfollowed.headers["location"]) == (302, "2?x=1")
        server.answers["/loop"] = redirect("/loop")
        with pytest.raises(RedirectRefused, match="more than 5 times"):
            await client.request("GET", server.url("/loop"))


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://10.0.0.1/", "url_address_not_public"),
        ("https://169.254.169.254/latest", "url_address_not_public"),
        ("https://accounts:8001/", "url_address_not_public"),
        ("file:///etc/passwd", "url_refused"),
        ("http://a:b@shop.test/", "url_refused"),
        ("http://shop.example/", "url_refused"),
        ("https://[", "url_refused"),
    ],
)
async def test_redirects_to_where_nobody_may_be_sent(location: str, code: str) -> None:
    async with web() as server, out() as client:
        server.answers["/"] = redirect(location)
        with pytest.raises(RedirectRefused) as refused:
            await client.request("GET", server.url("/"))
        assert refused.value.extra.get("refused") == code
        assert len(server.requests) == 1


async def test_a_redirect_to_a_name_that_leads_inside() -> None:
    names = Names(inner_example=[["10.9.9.9"]])
    policy = OutboundPolicy.parse("127.0.0.1", https_only=False)
    async with web() as server, out(policy, resolver=names) as client:
        server.answers["/"] = redirect("http://inner.example/")
        with pytest.raises(AddressNotPublic):
            await client.request("GET", server.url("/"))


async def test_a_post_becomes_a_get_as_browsers_do_it() -> None:
    async with web() as server, out() as client:
        server.answers |= {
            "/303": redirect("/end", 303),
            "/301": redirect("/end", 301),
            "/308": redirect("/end", 308),
            "/end": ok(b""),
        }
        for path in ("/303", "/301", "/308"):
            await client.request(
                "POST", server.url(path), content=b"x", headers={"content-type": "text/plain"}
            )
        after = [request for request in server.requests if " /end " in request]
        assert [request.split(" ")[0] for request in after] == ["GET", "GET", "POST"]
        assert ["content-type" in request for request in after] == [False, False, True]


async def test_certificates_hold_for_the_name_not_for_the_address() -> None:
    authority = Authority()
    names = Names(shop_test=[["127.0.0.1"]], other_test=[["127.0.0.1"]])
    async with web(authority.server("shop.test")) as server:
        server.answers |= {"/": ok(b"safe"), "/down": redirect(server.url("/", host="shop.test"))}
        async with out(resolver=names, tls=authority.client()) as client:
            reply = await client.request("GET", server.url("/", host="shop.test", scheme="https"))
            assert reply.body == b"safe"
            with pytest.raises(TlsRefused, match=r"other\.test"):
                await client.request("GET", server.url("/", host="other.test", scheme="https"))
            with pytest.raises(TlsRefused):
                await client.request("GET", server.url("/", scheme="https"))
            with pytest.raises(RedirectRefused, match="from https to http"):
                await client.request("GET", server.url("/down", host="shop.test", scheme="https"))
        async with out(resolver=names) as client:
            with pytest.raises(TlsRefused):
                await client.request("GET", server.url("/", host="shop.test", scheme="https"))


async def test_a_body_over_the_limit_is_refused() -> None:
    async with web() as server, out() as client:
        server.answers["/"] = ok(b"x" * 1_001)
        assert len((await client.request("GET", server.url("/"), body_bytes_max=1_001)).body) == 1_001
        with pytest.raises(AnswerTooLarge, match="more than 1000 bytes"):
            await client.request("GET", server.url("/"), body_bytes_max=1_000)
        server.answers["/said"] = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"
        with pytest.raises(AnswerTooLarge):
            await client.request("GET", server.url("/said"))

        async def endless(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"4\r\nmore\r\n" * 1_000)
                await writer.drain()

        server.scripts["/endless"] = endless
        with pytest.raises(AnswerTooLarge):
            await client.request("GET", server.url("/endless"))


async def _sizes(answer: OutboundAnswer, sizes: list[int]) -> None:
    async for chunk in answer.chunks():
        sizes.append(len(chunk))


async def test_a_compressed_body_is_counted_decoded_and_never_held() -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    assert len(bomb) < 70_000
    async with web() as server, out() as client:
        server.answers["/bomb"] = ok(bomb, "Content-Encoding: gzip")
        async with client.stream("GET", server.url("/bomb"), body_bytes_max=1_000_000) as answer:
            sizes: list[int] = []
            with pytest.raises(AnswerTooLarge):
                await _sizes(answer, sizes)
            assert max(sizes) <= 256 * 1024
            assert sum(sizes) <= 1_000_000
        nothing = gzip.compress(b"") * 120_000
        server.answers["/nothing"] = ok(nothing, "Content-Encoding: gzip")
        with pytest.raises(AnswerTooLarge):
            await client.request("GET", server.url("/nothing"), body_bytes_max=10)
        assert all("accept-encoding: gzip\r\n" in request for request in server.requests)


async def test_gzip_of_several_members_and_what_is_no_gzip() -> None:
    async with web() as server, out() as client:
        server.answers["/two"] = ok(
            gzip.compress(b"one,") + gzip.compress(b"two") + bytes(512), "Content-Encoding: GZIP"
        )
        assert (await client.request("GET", server.url("/two"))).body == b"one,two"
        server.answers["/none"] = ok(b"", "Content-Encoding: gzip")
        assert (await client.request("HEAD", server.url("/none"))).body == b""
        for path, body, encoding in (
            ("/bad", b"hello", "gzip"),
            ("/br", b"x", "br"),
            ("/raw", zlib.compress(b"x"), "deflate"),
        ):
            server.answers[path] = ok(body, f"Content-Encoding: {encoding}")
            with pytest.raises(AnswerBroken):
                await client.request("GET", server.url(path))


async def test_a_body_that_ends_too_early_is_told_from_one_that_ends() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with web() as server, out() as client:
        server.answers["/length"] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
        server.answers["/chunk"] = chunked + b"a\r\nhalf"
        server.answers["/last"] = chunked + b"4\r\nhalf\r\n"
        server.answers["/gzip"] = (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"all of it")[:-6]
        )
        for path in ("/length", "/chunk", "/last", "/gzip"):
            with pytest.raises(AnswerTruncated):
                await client.request("GET", server.url(path))
        server.answers["/whole"] = chunked + b"4\r\nfull\r\n0\r\n\r\n"
        server.answers["/until"] = b"HTTP/1.1 200 OK\r\n\r\nuntil closed"
        server.answers["/zipped"] = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(
            b"all"
        )
        proven = {}
        for path in ("/whole", "/until", "/zipped"):
            async with client.stream("GET", server.url(path)) as answer:
                await answer.read()
                proven[path] = answer.end_proven
        assert proven == {"/whole": True, "/until": False, "/zipped": True}


async def test_answers_that_are_none() -> None:
    async with web() as server, out() as client:
        server.answers |= {
            "/smtp": b"220 mail.example ESMTP\r\n",
            "/silent": b"",
            "/head": b"HTTP/1.1 200 OK\r\nX: 1",
        }
        server.answers["/long"] = b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 300_000 + b"\r\n\r\n"
        for path in ("/smtp", "/silent", "/head", "/long"):
            with pytest.raises((AnswerBroken, Unreachable)):
                await client.request("GET", server.url(path))
        with pytest.raises(UrlRefused):
            await client.request("GET", server.url("/smtp"), headers={"x": "a\r\nb: c"})
        gone = server.port
    async with out(resolver=Names()) as client:
        with pytest.raises(Unreachable):
            await client.request("GET", f"http://127.0.0.1:{gone}/")
        with pytest.raises(NameUnresolved):
            await client.request("GET", "https://nowhere.example/")


async def test_time_limits() -> None:
    never = asyncio.Event()

    async def silent(writer: asyncio.StreamWriter) -> None:
        await never.wait()

    async def trickling(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not never.is_set():
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with web() as server, out() as client:
        server.scripts |= {"/silent": silent, "/trickling": trickling}
        try:
            for limits in (Timeouts(read_s=0.1), Timeouts(total_s=0.3)):
                with pytest.raises(TimedOut):
                    await client.request("GET", server.url("/silent"), timeouts=limits)
            with pytest.raises(TimedOut):
                await client.request("GET", server.url("/trickling"), timeouts=Timeouts(total_s=0.3))
        finally:
            never.set()


async def test_a_name_server_that_never_answers() -> None:
    class Silent(Names):
        async def addresses(self, host: str, port: int) -> Sequence[Address]:
            await asyncio.Event().wait()
            raise AssertionError

    async with out(resolver=Silent()) as client:
        with pytest.raises(TimedOut):
            await client.request("GET", "https://shop.example/", timeouts=Timeouts(connect_s=0.1))


async def test_names_of_a_dead_name_server_hold_up_no_other() -> None:
    """However many calls ask for them, over and over: a name has one thread, the names of an owner have four."""
    asked, silent = [], threading.Event()

    def look_up(host: str, port: int) -> list[Address]:
        asked.append(host)
        if host.endswith("dead.example"):
            silent.wait(10)
            raise OSError
        return [ip_address("192.0.2.1")]

    resolver = SystemResolver(look_up)
    try:
        hosts = [f"h{number}.dead.example" for number in range(LOOKUPS_MAX)] * 3
        waiting = [asyncio.create_task(resolver.addresses(host, 443)) for host in hosts]
        assert await resolver.addresses("alive.example", 443) == [ip_address("192.0.2.1")]
        async with asyncio.timeout(20):
            while len(asked) < 5:  # a thread of a name that is not answered may begin after the answered one
                await asyncio.sleep(0.01)
        assert sorted(asked) == ["alive.example", *(f"h{number}.dead.example" for number in range(4))]
        silent.set()
        refused = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(one, NameUnresolved) for one in refused)
        assert len(asked) == LOOKUPS_MAX + 1
    finally:
        silent.set()
        resolver.close()


@pytest.mark.parametrize(
    ("host", "parent"),
    [("a.b.shop.example", "shop.example"), ("x.shop.co.uk", "shop.co.uk"), ("shop", "shop")],
)
def test_whose_name_it_is(host: str, parent: str) -> None:
    assert parent_of(host) == parent


async def test_no_more_connections_than_allowed() -> None:
    release = asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(ok(b"late"))

    async with web() as server, out(connections_max=1) as client:
        server.scripts["/slow"] = slow
        first = asyncio.create_task(client.request("GET", server.url("/slow")))
        while not server.requests:
            await asyncio.sleep(0.01)
        with pytest.raises(Crowded):
            await client.request("GET", server.url("/slow"), timeouts=Timeouts(connect_s=0.1))
        release.set()
        assert (await first).body == b"late"


async def test_every_call_is_counted() -> None:
    async with web() as server, Outbound(LOCAL, purpose="counted", timeouts=QUICK) as client:
        server.answers |= {"/": ok(b""), "/no": b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"}
        for url in (server.url("/"), server.url("/no"), "https://10.0.0.1/"):
            with suppress(OutboundFailure):
                await client.request("GET", url)
    text = exposition().decode()
    for outcome in ("2xx", "4xx", "url_address_not_public"):
        assert f'vitrin_outbound_calls_total{{outcome="{outcome}",purpose="counted"}} 1.0' in text
