"""The one transport to the platforms: time-outs, fixed rates, bounded concurrency, and three ways a call can end.

A call ends in exactly one of these, and the difference is what keeps a platform's state right:

    Reply            a complete answer, whatever its status; the connector classifies its body
    NotSent          nothing left the house (no connection, no free place in the pool): safe to send again
    UnknownOutcome   the request was sent, but no complete answer came back: look before repeating

Errors:  TransportFailure <- NotSent, UnknownOutcome.

Only calls marked `safe` (reads) are repeated here, with jitter. Tokens travel in headers, which are in no repr,
log line or metric; a connector never puts one in a URL, since URLs are logged.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import httpx
import orjson

from vitrin.kit.metrics import counter, histogram

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 60.0
WRITE_TIMEOUT_S: Final = 60.0
POOL_TIMEOUT_S: Final = 10.0
TOTAL_TIMEOUT_S: Final = 180.0
"""Upper bound of one attempt, so that an answer that trickles byte by byte ends too."""
REPLY_BYTES_MAX: Final = 32 * 1024 * 1024
CONNECTIONS_MAX: Final = 64
CONNECTIONS_IDLE_MAX: Final = 16
CONNECTION_IDLE_S: Final = 20.0
SAFE_ATTEMPTS_MAX: Final = 3
BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MAX_S: Final = 5.0
WINDOWS_MAX: Final = 10_000
"""Limiters kept in memory; beyond it, those that stand full (and so carry no information) are dropped."""
RETRIED_STATUSES: Final = frozenset({500, 502, 503, 504})

_CALLS = counter(
    "vitrin_platform_calls_total",
    "Attempts of calls to platforms by how they ended: 2xx to 5xx, not_sent, unknown.",
    ("platform", "endpoint", "outcome"),
)
_SECONDS = histogram(
    "vitrin_platform_call_seconds",
    "Time of one attempt of a call to a platform, from taking a connection to the last byte of the answer.",
    ("platform", "endpoint"),
)
_WAIT = histogram(
    "vitrin_platform_limiter_wait_seconds",
    "Time that a call waited for the platform's rate before it was sent.",
    ("platform", "endpoint"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A fixed rate of one endpoint class of one account: at most `calls` in any `per_s` seconds."""

    endpoint: str
    calls: int
    per_s: float

    def __post_init__(self) -> None:
        if self.calls < 1 or self.per_s <= 0:
            raise ValueError(f"rate of {self.endpoint}: calls and per_s must be above 0")


class CallWindow:
    """Sliding window: quotas are counted per minute or second, and a token window lets twice as much through in the
    worst one. Time is an argument, in seconds of any monotonic clock; it never sleeps.

    `take` always takes, also ahead of time, and answers how long to wait: callers are served in the order they asked.
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._starts_s: deque[float] = deque(maxlen=rate.calls)

    def wait_s(self, now_s: float) -> float:
        """Seconds until one more call could go at once; takes nothing."""
        if len(self._starts_s) < self.rate.calls:
            return 0.0
        return max(0.0, self._starts_s[0] + self.rate.per_s - now_s)

    def take(self, now_s: float) -> float:
        """Takes the next place and answers the seconds to wait before the call may go."""
        wait = self.wait_s(now_s)
        self._starts_s.append(now_s + wait)
        return wait

    def is_quiet(self, now_s: float) -> bool:
        """Nothing that it remembers matters any more."""
        return not self._starts_s or self._starts_s[-1] + self.rate.per_s <= now_s


class TransportFailure(Exception):
    """The call has no complete answer. `reason` is a short stable word, `detail` what the transport said."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class NotSent(TransportFailure):
    """Nothing was sent: repeating is safe."""


class UnknownOutcome(TransportFailure):
    """Sent, perhaps handled, but not (completely) answered: find out what is there before repeating a write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. `account` and `rate.endpoint` name the limiter; `safe` calls change nothing and may be repeated."""

    platform: str
    account: str
    rate: Rate
    method: str
    url: str
    safe: bool
    concurrency_max: int = 4
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)
    reply_bytes_max: int = REPLY_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> object | None:
        """The decoded body, or None where it is not JSON."""
        try:
            decoded: object = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return decoded


@dataclass(slots=True)
class _Place:
    """The concurrency of one account; forgotten when nobody uses it."""

    semaphore: asyncio.Semaphore
    users: int = 0


class PlatformHttp:
    """One per process. Clock, randomness and sleep are arguments; closing it closes the connections."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        read_timeout_s: float = READ_TIMEOUT_S,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
        proxy: str | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._jitter = jitter
        self._sleep = sleep
        self._total_timeout_s = total_timeout_s
        self._windows: dict[tuple[str, str, str], CallWindow] = {}
        self._places: dict[tuple[str, str], _Place] = {}
        self._read_timeout_s = read_timeout_s
        self._proxy = proxy
        self._clients: dict[bool, httpx.AsyncClient] = {}

    def _client(self, url: str) -> httpx.AsyncClient:
        """One client for https and one for plain addresses (the sandbox): the certificate store is 6 MB, and is
        loaded only by who needs it."""
        secure = not url.startswith("http://")
        if secure not in self._clients:
            self._clients[secure] = httpx.AsyncClient(
                verify=secure,
                timeout=httpx.Timeout(
                    connect=CONNECT_TIMEOUT_S,
                    read=self._read_timeout_s,
                    write=WRITE_TIMEOUT_S,
                    pool=POOL_TIMEOUT_S,
                ),
                limits=httpx.Limits(
                    max_connections=CONNECTIONS_MAX,
                    max_keepalive_connections=CONNECTIONS_IDLE_MAX,
                    keepalive_expiry=CONNECTION_IDLE_S,
                ),
                follow_redirects=False,
                trust_env=False,
                proxy=self._proxy,
            )
        return self._clients[secure]

    async def __aenter__(self) -> "PlatformHttp":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    def ready_in_s(self, *, platform: str, account: str, rate: Rate) -> float:
        """Seconds that a call of this endpoint would now wait for its rate; 0 when it could go at once."""
        window = self._windows.get((platform, account, rate.endpoint))
        return 0.0 if window is None else window.wait_s(self._monotonic())

    async def request(self, call: Call) -> Reply:
        """Waits for the rate and a free place, then sends. Never call it with a database transaction open.

        Raises NotSent or UnknownOutcome. Safe calls are tried up to SAFE_ATTEMPTS_MAX times.
        """
        attempts = SAFE_ATTEMPTS_MAX if call.safe else 1
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                reply = await self._attempt(call)
            except TransportFailure:
                if last:
                    raise
            else:
                if last or reply.status not in RETRIED_STATUSES:
                    return reply
            await self._sleep(self._backoff_s(attempt))
        raise AssertionError("the last attempt returns or raises")

    def _backoff_s(self, attempt: int) -> float:
        ceiling: float = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** (attempt - 1))
        return ceiling * (0.5 + self._jitter() / 2)

    async def _attempt(self, call: Call) -> Reply:
        endpoint = call.rate.endpoint
        wait = self._window(call).take(self._monotonic())
        _WAIT.labels(call.platform, endpoint).observe(wait)
        if wait > 0:
            await self._sleep(wait)
        async with self._place(call):
            started = self._monotonic()
            outcome = "unknown"
            try:
                reply = await self._send(call)
                outcome = f"{reply.status // 100}xx"
            except NotSent:
                outcome = "not_sent"
                raise
            finally:
                _SECONDS.labels(call.platform, endpoint).observe(self._monotonic() - started)
                _CALLS.labels(call.platform, endpoint, outcome).inc()
        return reply

    async def _send(self, call: Call) -> Reply:
        try:
            async with asyncio.timeout(self._total_timeout_s):
                return await self._exchange(call)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            raise NotSent(type(error).__name__, str(error)) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError) as error:
            raise NotSent(type(error).__name__, str(error)) from error
        except (httpx.RequestError, TimeoutError) as error:
            raise UnknownOutcome(type(error).__name__, str(error)) from error

    async def _exchange(self, call: Call) -> Reply:
        async with self._client(call.url).stream(
            call.method, call.url, params=dict(call.params), headers=dict(call.headers), content=call.content
        ) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > call.reply_bytes_max:
                    raise UnknownOutcome("reply_too_large", f"more than {call.reply_bytes_max} bytes")
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status_code, headers, bytes(body))

    def _window(self, call: Call) -> CallWindow:
        key = (call.platform, call.account, call.rate.endpoint)
        window = self._windows.get(key)
        if window is None or window.rate != call.rate:
            now_s = self._monotonic()
            if len(self._windows) >= WINDOWS_MAX:
                self._windows = {k: b for k, b in self._windows.items() if not b.is_quiet(now_s)}
            window = self._windows[key] = CallWindow(call.rate)
        return window

    @asynccontextmanager
    async def _place(self, call: Call) -> AsyncIterator[None]:
        key = (call.platform, call.account)
        place = self._places.setdefault(key, _Place(asyncio.Semaphore(call.concurrency_max)))
        place.users += 1
        try:
            async with place.semaphore:
                yield
        finally:
            place.users -= 1
            if place.users == 0:
                del self._places[key]
