"""One request at the door: its head, its key, its body within limits, and its answer."""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from vitrin.kit.errors import VitrinError
from vitrin.kit.http.problems import problem_bytes, problem_headers
from vitrin.kit.ids import new_uuid
from vitrin.retargeting.errors import (
    BodyTooSlow,
    Crowded,
    EncodingUnknown,
    EventsTooLarge,
    KeyInAddress,
    WriteKeyMissing,
)

BODY_BYTES_MAX: Final = 1024 * 1024
BODY_S: Final = 10.0
HELD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of bodies that are in memory at once."""
CROWDED_RETRY_AFTER_S: Final = 2
Header = tuple[bytes, bytes]


class Refusal(Exception):
    """`more_body`: the rest of the body is on its way."""

    def __init__(self, outcome: str, error: VitrinError, *, more_body: bool = False) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.error = error
        self.more_body = more_body


class Head(NamedTuple):
    """What the door looks at. `authorization` and `origin` None: not sent."""

    authorization: str | None
    origin: str | None
    length: int | None
    encoding: str
    user_agent: str
    forwarded: str
    gpc: bool
    expects: bool


def head_of(scope: Scope) -> Head:
    authorization = origin = None
    length, encoding, user_agent, forwarded, gpc, expects = None, "", "", "", False, False
    for name, value in scope["headers"]:
        match name:
            case b"authorization":
                authorization = value.decode("latin-1")
            case b"origin":
                origin = value.decode("latin-1")
            case b"content-length":
                length = int(value) if value.isdigit() else None
            case b"content-encoding":
                encoding = value.decode("latin-1").strip().lower()
            case b"user-agent":
                user_agent = value.decode("utf-8", "replace")[:512].replace("\x00", "")
            case b"x-forwarded-for":
                forwarded = value.decode("latin-1")
            case b"sec-gpc":
                gpc = value == b"1"
            case b"expect":
                expects = True
    return Head(authorization, origin, length, encoding, user_agent, forwarded, gpc, expects)


def token_of(head: Head, scope: Scope) -> str:
    """From the header (Bearer, or Segment's basic authentication), or a publishable key from the address: a browser's
    beacon sends no header. Raises Refusal."""
    if head.authorization is not None:
        scheme, _, rest = head.authorization.partition(" ")
        match scheme.lower():
            case "bearer":
                return rest.strip()
            case "basic":
                try:
                    decoded = base64.b64decode(rest.strip(), validate=True).decode("latin-1")
                except binascii.Error:
                    raise Refusal("unauthenticated", WriteKeyMissing()) from None
                return decoded.partition(":")[0]
        raise Refusal("unauthenticated", WriteKeyMissing())
    query = scope["query_string"]
    token = parse_qs(query.decode("latin-1")).get("key", [""])[0] if query else ""
    if not token:
        raise Refusal("unauthenticated", WriteKeyMissing())
    if not token.startswith("pk_"):
        raise Refusal("forbidden", KeyInAddress())
    return token


def address_of(head: Head, scope: Scope, proxy_hops: int) -> str:
    """The shopper's: the peer, or what the outermost of our proxies saw."""
    if proxy_hops and head.forwarded:
        hops = [one.strip() for one in head.forwarded.split(",")]
        return hops[-min(proxy_hops, len(hops))][:64]
    client = scope.get("client")
    return str(client[0]) if client else ""


@dataclass(slots=True)
class Held:
    """What the bodies of all open requests hold in memory."""

    bytes: int = 0

    def add(self, size: int) -> None:
        if self.bytes + size > HELD_BYTES_MAX:
            raise Refusal("crowded", Crowded(retry_after_s=CROWDED_RETRY_AFTER_S), more_body=True)
        self.bytes += size


async def body_of(head: Head, receive: Receive, held: Held, *, within_s: float = BODY_S) -> bytes:
    """What it holds of `held` is given back by the caller, who asks for it by the body's length; here on a refusal.
    Raises Refusal."""
    if head.encoding not in ("", "identity"):
        raise Refusal("unreadable", EncodingUnknown(), more_body=not head.expects)
    if head.length is not None and head.length > BODY_BYTES_MAX:
        raise Refusal("too_large", _too_large(), more_body=not head.expects)
    size, parts = 0, list[bytes]()
    try:
        async with asyncio.timeout(within_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal("too_slow", BodyTooSlow("The sender went away."))
                part: bytes = message.get("body", b"")
                more: bool = message.get("more_body", False)
                if size + len(part) > BODY_BYTES_MAX:
                    raise Refusal("too_large", _too_large(), more_body=more)
                held.add(len(part))
                size += len(part)
                if not more and not parts:
                    return part
                parts.append(part)
                if not more:
                    return b"".join(parts)
    except TimeoutError:
        held.bytes -= size
        raise Refusal("too_slow", BodyTooSlow(f"It took more than {within_s:g} s.")) from None
    except Refusal:
        held.bytes -= size
        raise


def _too_large() -> EventsTooLarge:
    return EventsTooLarge(f"A body may have {BODY_BYTES_MAX} bytes.", limit_bytes=BODY_BYTES_MAX)


def cors_headers(origin: str | None) -> list[Header]:
    """No cookies travel, so telling any page how it went gives nothing away: the key decides, and its origins."""
    if origin is None:
        return []
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"retry-after, ratelimit, ratelimit-policy"),
        (b"vary", b"origin"),
    ]


_PREFLIGHT: Final[list[Header]] = [
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", b"86400"),
    (b"content-length", b"0"),
]


async def answer_preflight(send: Send, origin: str | None) -> None:
    headers = [*cors_headers(origin or "*"), *_PREFLIGHT]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def answer(send: Send, status: int, body: bytes, headers: list[Header]) -> None:
    headers.append((b"content-type", b"application/json"))
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, error: VitrinError, origin: str | None, more: list[Header]) -> None:
    body = problem_bytes(error, str(new_uuid()))
    told: Mapping[str, str] = problem_headers(error)
    headers = [(name.encode(), value.encode()) for name, value in told.items()]
    if error.status in (408, 413):
        headers.append((b"connection", b"close"))
    if error.status == 405:
        headers.append((b"allow", b"POST, OPTIONS"))
    headers += [*cors_headers(origin), *more, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
