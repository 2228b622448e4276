"""Calls to addresses that a brand chose: its webhook endpoints, its feeds, its pictures.

    async with Outbound(policy, purpose="webhook") as out:
        reply = await out.request("POST", url, headers=..., content=..., redirects_max=0)
    async with Outbound(policy, purpose="import") as out:
        async with out.stream("GET", url, body_bytes_max=1 << 30) as answer:
            async for chunk in answer.chunks(): ...

What holds for every call: only http and https, as `check_url` allows; the address that is connected to was checked,
with every redirect and every connection anew (DNS rebinding); TLS certificates are verified against the name; no
proxy, cookie or netrc of this process is used; time, headers, redirects and the decoded body have limits.

A redirect is followed by hand, `redirects_max` times. With `redirects_max=0` the redirect is the answer: its status is
no success, so a webhook fails by it, and the log of deliveries can show it. Whatever raises is an OutboundFailure
(`errors.py`); an answer with any status is a reply, and what it means is the caller's.

Connections are not kept by default: each call looks the name up again, and no call is lost to a connection that the
other side closed a moment ago. The time limits bound what we wait for, not what the caller does between two chunks.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import httpcore
import httpx

from vitrin.kit.metrics import counter, histogram
from vitrin.kit.outbound.decoding import ACCEPTED, decoder_of, proves_its_end
from vitrin.kit.outbound.errors import (
    AnswerBroken,
    AnswerTooLarge,
    AnswerTruncated,
    Crowded,
    OutboundFailure,
    RedirectRefused,
    TimedOut,
    TlsRefused,
    Unreachable,
    UrlRefused,
)
from vitrin.kit.outbound.network import GuardedNetwork, Resolver, SystemResolver
from vitrin.kit.outbound.policy import OutboundPolicy, check_url, shown

BODY_BYTES_MAX: Final = 64 * 1024
REDIRECTS_MAX: Final = 5
CONNECTIONS_MAX: Final = 64
CONNECTION_IDLE_S: Final = 20.0
CHUNK_BYTES: Final = 64 * 1024
RAW_SLACK_BYTES: Final = 1024 * 1024
"""Compressed bytes beyond the limit of the decoded ones: gzip of nothing is something."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_OURS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect"}
)
_SECRET: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
_AGENT: Final = "Vitrin/1"

_CALLS = counter(
    "vitrin_outbound_calls_total",
    "Calls to addresses that brands chose, by purpose and how they ended: 2xx to 5xx, or the code of the failure.",
    ("purpose", "outcome"),
)
_SECONDS = histogram(
    "vitrin_outbound_call_seconds",
    "Time of a call to an address that a brand chose, from its beginning with all redirects to the end of the body.",
    ("purpose",),
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `total_s` bounds the whole call: names, connections, redirects, the answer and its body."""

    connect_s: float = 5.0
    read_s: float = 15.0
    total_s: float = 30.0


@dataclass(frozen=True, slots=True)
class OutboundReply:
    """A complete answer. Header names are lower-case; `url` is the last one, after redirects; the body is decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str = field(repr=False)


class OutboundAnswer:
    """An answer whose body is still to come; read it once, within the `stream` that gave it."""

    def __init__(
        self, response: httpcore.Response, url: httpx.URL, waits: "_Waits", body_bytes_max: int
    ) -> None:
        self.status = response.status
        self.headers = _headers(response)
        self.url = str(url)
        self.bytes_read = 0
        """Decoded bytes that `chunks` has given so far."""
        self._response = response
        self._where = shown(url)
        self._waits = waits
        self._max = body_bytes_max

    @property
    def _encoding(self) -> str:
        return self.headers.get("content-encoding", "")

    @property
    def bytes_declared(self) -> int | None:
        """Bytes on the wire as the header says; None where it does not."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def end_proven(self) -> bool:
        """Whether the end can be told from a broken connection: by its length, by chunks, or by gzip's trailer.
        Otherwise the body is whatever came until the other side closed."""
        framed = self.bytes_declared is not None or "transfer-encoding" in self.headers
        return framed or proves_its_end(self._encoding)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The decoded body. Raises AnswerTooLarge, AnswerTruncated, AnswerBroken, TimedOut, Unreachable."""
        decoder = decoder_of(self._encoding)
        declared = self.bytes_declared
        if declared is not None and declared > self._max + RAW_SLACK_BYTES:
            raise self._too_large()
        raw_bytes = 0
        source = self._response.aiter_stream().__aiter__()
        while (raw := await self._next(source)) is not None:
            raw_bytes += len(raw)
            if raw_bytes > self._max + RAW_SLACK_BYTES:
                raise self._too_large()
            for chunk in decoder.feed(raw):
                self.bytes_read += len(chunk)
                if self.bytes_read > self._max:
                    raise self._too_large()
                yield chunk
        decoder.end()

    async def read(self) -> bytes:
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
        return bytes(body)

    async def _next(self, source: AsyncIterator[bytes]) -> bytes | None:
        with _translated(self._where, answered=True):
            async with self._waits.within():
                return await anext(source, None)

    def _too_large(self) -> AnswerTooLarge:
        return AnswerTooLarge(f"{self._where} answered with more than {self._max} bytes", bytes_max=self._max)


@dataclass(frozen=True, slots=True)
class _Waits:
    """One call's deadline, on the loop's clock, shared by all of its waits."""

    timeouts: Timeouts
    deadline: float

    def within(self) -> asyncio.Timeout:
        return asyncio.timeout_at(self.deadline)

    def extensions(self) -> dict[str, object]:
        limits = self.timeouts
        return {
            "timeout": {
                "connect": limits.connect_s,
                "read": limits.read_s,
                "write": limits.read_s,
                "pool": limits.connect_s,
            }
        }


@dataclass(slots=True)
class _Hop:
    method: str
    url: httpx.URL
    headers: dict[str, str]
    content: bytes | None


class Outbound:
    """One per process and purpose. Close it, or use it as a context manager.

    `purpose` is a label of the metrics. `resolver` and `tls` are for tests and for machines with their own roots."""

    def __init__(
        self,
        policy: OutboundPolicy,
        *,
        purpose: str,
        timeouts: Timeouts | None = None,
        connections_max: int = CONNECTIONS_MAX,
        connections_idle_max: int = 0,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy
        self._purpose = purpose
        self._timeouts = timeouts or Timeouts()
        self._connections_max = connections_max
        self._connections_idle_max = connections_idle_max
        self._resolver = resolver or SystemResolver()
        self._network = GuardedNetwork(policy, self._resolver)
        self._tls = tls
        self._monotonic = monotonic
        self._pools: dict[bool, httpcore.AsyncConnectionPool] = {}

    async def __aenter__(self) -> "Outbound":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()
        self._resolver.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        body_bytes_max: int = BODY_BYTES_MAX,
        redirects_max: int = REDIRECTS_MAX,
        timeouts: Timeouts | None = None,
    ) -> OutboundReply:
        """The whole answer. Raises OutboundFailure."""
        async with self.stream(
            method,
            url,
            headers=headers,
            content=content,
            body_bytes_max=body_bytes_max,
            redirects_max=redirects_max,
            timeouts=timeouts,
        ) as answer:
            body = await answer.read()
            return OutboundReply(answer.status, answer.headers, body, answer.url)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        body_bytes_max: int = BODY_BYTES_MAX,
        redirects_max: int = REDIRECTS_MAX,
        timeouts: Timeouts | None = None,
    ) -> AsyncIterator[OutboundAnswer]:
        """The answer, its body still to be read. Raises OutboundFailure, also while the body is read."""
        limits = timeouts or self._timeouts
        waits = _Waits(limits, asyncio.get_running_loop().time() + limits.total_s)
        started, outcome = self._monotonic(), "gone"
        given = {name.lower(): value for name, value in (headers or {}).items()}
        try:
            hop = _Hop(method.upper(), check_url(url, self.policy), given, content)
            for followed in range(redirects_max + 1):
                response = await self._send(hop, waits)
                try:
                    turned = _redirect(hop, response, self.policy) if redirects_max else None
                    if turned is None:
                        outcome = f"{response.status // 100}xx"
                        yield OutboundAnswer(response, hop.url, waits, body_bytes_max)
                        return
                finally:
                    await response.aclose()
                if followed == redirects_max:
                    raise RedirectRefused(
                        f"{shown(check_url(url, self.policy))} redirects more than {redirects_max} times"
                    )
                hop = turned
        except OutboundFailure as failure:
            outcome = failure.code
            raise
        finally:
            _CALLS.labels(self._purpose, outcome).inc()
            _SECONDS.labels(self._purpose).observe(self._monotonic() - started)

    async def _send(self, hop: _Hop, waits: _Waits) -> httpcore.Response:
        url = hop.url
        headers = {name: value for name, value in hop.headers.items() if name not in _OURS}
        headers.setdefault("user-agent", _AGENT)
        headers |= {"host": url.netloc.decode("ascii"), "accept-encoding": ACCEPTED}
        if hop.content is not None or hop.method in {"POST", "PUT", "PATCH"}:
            headers["content-length"] = str(len(hop.content or b""))
        request = httpcore.Request(
            method=hop.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=[(name.encode("ascii"), value.encode("utf-8")) for name, value in headers.items()],
            content=hop.content or b"",
            extensions=waits.extensions(),
        )
        with _translated(shown(url), answered=False):
            async with waits.within():
                return await self._pool(url.scheme == "https").handle_async_request(request)

    def _pool(self, secure: bool) -> httpcore.AsyncConnectionPool:
        """The certificate store is 6 MB: loaded once, and only by who needs it."""
        if secure not in self._pools:
            if secure and self._tls is None:
                self._tls = httpx.create_ssl_context(trust_env=False)
            self._pools[secure] = httpcore.AsyncConnectionPool(
                ssl_context=self._tls if secure else None,
                max_connections=self._connections_max,
                max_keepalive_connections=self._connections_idle_max,
                keepalive_expiry=CONNECTION_IDLE_S,
                network_backend=self._network,
            )
        return self._pools[secure]


def _headers(response: httpcore.Response) -> dict[str, str]:
    """Repeated ones are joined as RFC 9110 5.2 says."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _redirect(hop: _Hop, response: httpcore.Response, policy: OutboundPolicy) -> _Hop | None:
    """Where the answer sends us; None where it does not. Raises RedirectRefused where nobody may be sent."""
    location = _headers(response).get("location", "")
    if response.status not in _REDIRECTS or not location:
        return None
    try:
        url = check_url(str(hop.url.join(location)), policy)
    except (httpx.InvalidURL, ValueError) as error:
        raise RedirectRefused(f"{shown(hop.url)} redirects to what is no URL: {error}") from None
    except OutboundFailure as failure:
        raise RedirectRefused(f"{shown(hop.url)} redirects: {failure.detail}", refused=failure.code) from None
    if hop.url.scheme == "https" and url.scheme != "https":
        raise RedirectRefused(f"{shown(hop.url)} redirects from https to http")
    headers = dict(hop.headers)
    if (url.scheme, url.netloc) != (hop.url.scheme, hop.url.netloc):
        headers = {name: value for name, value in headers.items() if name not in _SECRET}
    becomes_get = response.status == 303 or (response.status in {301, 302} and hop.method == "POST")
    if becomes_get and hop.method != "HEAD":
        return _Hop("GET", url, {n: v for n, v in headers.items() if not n.startswith("content-")}, None)
    return _Hop(hop.method, url, headers, hop.content)


@contextmanager
def _translated(where: str, *, answered: bool) -> Iterator[None]:
    """The transport's errors as ours. `answered`: the head of the answer has come, so what breaks is its body."""
    try:
        yield
    except httpcore.PoolTimeout:
        raise Crowded(f"no connection was free for {where}") from None
    except httpcore.ConnectTimeout:
        raise TimedOut(f"{where} let nobody connect in time", phase="connect") from None
    except (TimeoutError, httpcore.TimeoutException):
        raise TimedOut(
            f"{where} did not {'end its' if answered else ''} answer in time", phase="answer"
        ) from None
    except httpcore.ConnectError as error:
        if isinstance(error.__cause__, ssl.SSLError) or "certificate" in str(error).lower():
            raise TlsRefused(f"{where}: {_reason(error)}") from None
        raise Unreachable(f"no connection to {where}") from None
    except httpcore.RemoteProtocolError as error:
        if answered:
            raise AnswerTruncated(f"the answer of {where} broke off: {error}") from None
        raise AnswerBroken(f"{where}: {error}") from None
    except httpcore.NetworkError as error:
        if answered:
            raise AnswerTruncated(f"the connection to {where} broke: {_reason(error)}") from None
        raise Unreachable(f"the connection to {where} broke before an answer came") from None
    except (httpcore.UnsupportedProtocol, httpcore.LocalProtocolError, UnicodeError) as error:
        raise UrlRefused(f"the call cannot be written as HTTP: {error}", reason="form") from None


def _reason(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    return str(cause or error)
