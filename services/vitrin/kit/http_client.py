"""The one transport to the platforms: time-outs, learned rates, bulkheads, breakers, and three ways a call can end.

A call ends in exactly one of these, and the difference is what keeps a platform's state right:

    Reply            a complete answer, whatever its status; the connector classifies its body
    NotSent          nothing left the house (no connection, turned away by our own limits): safe to send again
    UnknownOutcome   the request was sent, but no complete answer came back: look before repeating

Errors:  TransportFailure <- NotSent <- NotNow; TransportFailure <- UnknownOutcome.

Only calls marked `safe` (reads) are repeated here, with jitter. Tokens travel in headers, which are in no repr,
log line or metric; a connector never puts one in a URL, since URLs are logged.

Every endpoint class of a platform has its own connections, so that one that hangs cannot use up another's. When a call
may go is decided in `kit.delivery`; the connector says by `ReadSignal` what an answer means for that.
"""

import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import httpx
import orjson

from vitrin.kit.delivery.breaker import BreakerRules, Health
from vitrin.kit.delivery.gate import Gates, Signal, TurnedAway
from vitrin.kit.delivery.rate import Priority, Rate
from vitrin.kit.metrics import counter, histogram

__all__ = [
    "Call",
    "NotNow",
    "NotSent",
    "PlatformHttp",
    "Priority",
    "Rate",
    "ReadSignal",
    "Reply",
    "TransportFailure",
    "UnknownOutcome",
    "signal_by_status",
]

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 60.0
WRITE_TIMEOUT_S: Final = 60.0
POOL_TIMEOUT_S: Final = 10.0
TOTAL_TIMEOUT_S: Final = 180.0
"""Upper bound of one attempt, so that an answer that trickles byte by byte ends too."""
REPLY_BYTES_MAX: Final = 32 * 1024 * 1024
CONNECTIONS_MAX: Final = 32
"""Per endpoint class of a platform; a brand has `concurrency_max` of them at most."""
CONNECTIONS_IDLE_MAX: Final = 8
CONNECTION_IDLE_S: Final = 20.0
SAFE_ATTEMPTS_MAX: Final = 3
BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MAX_S: Final = 5.0
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


class TransportFailure(Exception):
    """The call has no complete answer. `reason` is a short stable word, `detail` what the transport said."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class NotSent(TransportFailure):
    """Nothing was sent: repeating is safe."""


class NotNow(NotSent):
    """Turned away by our own limits. `reason`: endpoint_resting (it failed again and again), crowded, no_turn."""

    def __init__(self, reason: str, retry_after_s: float) -> None:
        super().__init__(reason, f"again in {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class UnknownOutcome(TransportFailure):
    """Sent, perhaps handled, but not (completely) answered: find out what is there before repeating a write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. `account` and `rate.endpoint` name the limiter; `brand` and `rate.endpoint` the bulkhead and breaker.

    `safe` calls change nothing and may be repeated; `concurrency_max` calls of the brand's endpoint go at once."""

    platform: str
    account: str
    rate: Rate
    method: str
    url: str
    safe: bool
    brand: str = ""
    priority: Priority = Priority.SLOW
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


ReadSignal = Callable[[Reply], Signal]
"""Pure: what an answer says about the endpoint's health and quota. Bodies count, not only statuses."""


def signal_by_status(reply: Reply) -> Signal:
    """For answers that nobody reads more closely."""
    return Signal(health=Health.UNWELL if reply.status >= 500 else Health.WELL, throttled=reply.status == 429)


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
        breaker_rules: BreakerRules | None = None,
        rate_factor: float = 1.0,
    ) -> None:
        """`rate_factor` multiplies the documented rates: above 1 only where a sandbox counts no calls."""
        self._monotonic = monotonic
        self._jitter = jitter
        self._sleep = sleep
        self._total_timeout_s = total_timeout_s
        self._gates = Gates(
            monotonic=monotonic,
            sleep=sleep,
            jitter=jitter,
            breaker_rules=breaker_rules,
            rate_factor=rate_factor,
        )
        self._read_timeout_s = read_timeout_s
        self._proxy = proxy
        self._tls: ssl.SSLContext | None = None
        self._clients: dict[tuple[str, str, bool], httpx.AsyncClient] = {}

    def _client(self, call: Call) -> httpx.AsyncClient:
        """The certificate store is 6 MB: loaded once, and only by who needs it (the sandbox does not)."""
        secure = not call.url.startswith("http://")
        key = (call.platform, call.rate.endpoint, secure)
        if key not in self._clients:
            if secure and self._tls is None:
                self._tls = httpx.create_ssl_context(trust_env=False)
            self._clients[key] = httpx.AsyncClient(
                verify=self._tls if secure and self._tls else False,
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
        return self._clients[key]

    async def __aenter__(self) -> "PlatformHttp":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    def ready_in_s(
        self,
        *,
        platform: str,
        account: str,
        rate: Rate,
        brand: str = "",
        priority: Priority = Priority.SLOW,
    ) -> float:
        """Seconds that a call of this endpoint and lane would now wait: for its rate, or for a breaker to let it
        through; 0 when it could go at once. Ask before taking work: a call that waits holds its items."""
        return self._gates.ready_in_s(_Asking(platform, account, brand, rate, priority))

    def waiting(self, brand: str, platform: str, endpoint: str) -> int:
        """Calls of a brand that wait for their turn at an endpoint now."""
        return self._gates.waiting(brand, platform, endpoint)

    async def request(self, call: Call, *, read: ReadSignal = signal_by_status) -> Reply:
        """Waits for the call's turn, then sends. Never call it with a database transaction open.

        Raises NotSent (NotNow where our own limits turn it away) or UnknownOutcome. Safe calls are tried up to
        SAFE_ATTEMPTS_MAX times.
        """
        attempts = SAFE_ATTEMPTS_MAX if call.safe else 1
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                reply, signal = await self._attempt(call, read)
            except NotNow:
                raise
            except TransportFailure:
                if last:
                    raise
            else:
                if last or signal.throttled or reply.status not in RETRIED_STATUSES:
                    return reply
            await self._sleep(self._backoff_s(attempt))
        raise AssertionError("the last attempt returns or raises")

    def _backoff_s(self, attempt: int) -> float:
        ceiling: float = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** (attempt - 1))
        return ceiling * (0.5 + self._jitter() / 2)

    async def _attempt(self, call: Call, read: ReadSignal) -> tuple[Reply, Signal]:
        endpoint = call.rate.endpoint
        try:
            held = await self._gates.enter(call)
        except TurnedAway as away:
            raise NotNow(away.reason, away.retry_after_s) from None
        started = self._monotonic()
        outcome, signal = "unknown", Signal(health=Health.ABANDONED)
        try:
            reply = await self._send(call)
            outcome, signal = f"{reply.status // 100}xx", read(reply)
        except NotSent:
            outcome, signal = "not_sent", Signal(health=Health.UNWELL, counted=False)
            raise
        except UnknownOutcome:
            signal = Signal(health=Health.UNWELL)
            raise
        finally:
            self._gates.leave(held, signal)
            _SECONDS.labels(call.platform, endpoint).observe(self._monotonic() - started)
            _CALLS.labels(call.platform, endpoint, outcome).inc()
        return reply, signal

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
        async with self._client(call).stream(
            call.method, call.url, params=dict(call.params), headers=dict(call.headers), content=call.content
        ) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > call.reply_bytes_max:
                    raise UnknownOutcome("reply_too_large", f"more than {call.reply_bytes_max} bytes")
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status_code, headers, bytes(body))


@dataclass(frozen=True, slots=True)
class _Asking:
    """A call that is only thought of."""

    platform: str
    account: str
    brand: str
    rate: Rate
    priority: Priority
    concurrency_max: int = 1
