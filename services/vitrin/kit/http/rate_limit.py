"""How often an API key may call this process, and the headers that say so.

Field syntax: draft-ietf-httpapi-ratelimit-headers (version 10): `RateLimit-Policy: "key";q=12000;w=60` and
`RateLimit: "key";r=11999;t=1`, on every answer to a caller with a key, refused ones too.

The quota is a bucket: it holds `requests_max`, refills evenly over `window_s`; `t` says when it is full again. It is
counted per process: n processes let through n times as much. Wrong keys are not counted here, since there is nobody
to count them for: they cost a look into the replica, and are a matter of the proxy in front.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitrin.kit import metrics
from vitrin.kit.errors import TooMany

KEYS_MAX: Final = 10_000
"""Keys that are remembered; the one that was silent longest is forgotten first, and starts with a full bucket."""
POLICY: Final = "key"
_TAKEN: Final = "vitrin.rate"

REFUSED = metrics.counter(
    "vitrin_http_rate_limited_total",
    "Requests refused with 429, because their API key had used up its quota.",
)


class RateLimited(TooMany):
    code, title = "rate_limited", "This API key calls too often"
    fix = "Wait as long as Retry-After says. Send changes in batches: a batch of 10,000 is one request."


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one request; `remaining` are whole requests that could follow at once."""

    allowed: bool
    remaining: int
    full_in_s: int
    next_in_s: int


class Quota:
    """Of all keys of a process. Time is an argument, in seconds on a clock that never goes back."""

    def __init__(self, *, requests_max: int, window_s: int, keys_max: int = KEYS_MAX) -> None:
        self.requests_max = requests_max
        self.window_s = window_s
        self._per_s = requests_max / window_s
        self._keys_max = keys_max
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now_s: float) -> Taken:
        level, seen_s = self._levels.get(key, (float(self.requests_max), now_s))
        level = min(self.requests_max, level + (now_s - seen_s) * self._per_s)
        allowed = level >= 1
        if allowed:
            level -= 1
        self._levels[key] = (level, now_s)
        self._levels.move_to_end(key)
        if len(self._levels) > self._keys_max:
            self._levels.popitem(last=False)
        return Taken(
            allowed=allowed,
            remaining=math.floor(level),
            full_in_s=math.ceil((self.requests_max - level) / self._per_s),
            next_in_s=max(1, math.ceil((1 - level) / self._per_s)),
        )

    def fields(self, taken: Taken) -> list[tuple[bytes, bytes]]:
        policy = f'"{POLICY}";q={self.requests_max};w={self.window_s}'
        state = f'"{POLICY}";r={taken.remaining};t={taken.full_in_s}'
        return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]


def charge(scope: Scope, quota: Quota, key: str, now_s: float) -> None:
    """One request of this key. Raises RateLimited."""
    taken = quota.take(key, now_s)
    scope[_TAKEN] = quota.fields(taken)
    if not taken.allowed:
        REFUSED.inc()
        raise RateLimited(
            f"The quota is {quota.requests_max} requests, refilled over {quota.window_s} s.",
            retry_after_s=taken.next_in_s,
        )


class RateFields:
    """Puts what `charge` found on the answer, whatever it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and _TAKEN in scope:
                message["headers"] = [*message["headers"], *scope[_TAKEN]]
            await send(message)

        await self._app(scope, receive, told)
