"""The door of webhooks, before the application and its middleware: read, check the signature, make it durable, answer.

It needs neither PostgreSQL nor Kafka nor accounts: secrets are in memory and what is taken lies in the spool. While the
secrets are not known yet (a cold start without accounts) a bounded number is taken unverified; the mover looks at them
before they count for anything."""

import asyncio
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send

from vitrin.catalog.shop import metrics
from vitrin.catalog.shop.binding import app_shop, is_about
from vitrin.catalog.shop.errors import (
    BodyTooSlow,
    ConnectionUnknown,
    Crowded,
    HeadWrong,
    MethodWrong,
    OfAnotherShop,
    SignatureWrong,
    UnverifiedFull,
    WebhookTooLarge,
)
from vitrin.catalog.shop.packing import Arrival, ShopKey, seal_for_spool
from vitrin.catalog.shop.secret_book import BookUnavailable, KnownShop, SecretBook
from vitrin.catalog.shop.subscribing import marks_of
from vitrin.catalog.shop.unverified import Unverified
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import TokenCipher
from vitrin.kit.errors import NotFound, VitrinError
from vitrin.kit.http.middleware import drain
from vitrin.kit.http.problems import problem_bytes, problem_headers
from vitrin.kit.ids import ConnectionId, new_uuid
from vitrin.kit.logs import get_logger
from vitrin.kit.spool import RecordTooLarge, Spool, SpoolFailing, SpoolFull
from vitrin.platforms.shop import DeliveryHead, HeadInvalid, ShopSpec

PREFIX: Final = "/v1/webhooks/"
BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of a webhook: a product with 2,000 variants has about 2 MB."""
HEADERS_BYTES_MAX: Final = 16 * 1024
OPEN_MAX: Final = 256
HELD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of bodies that are in memory at once."""
BODY_S: Final = 10.0
ID_CHARS_MAX: Final = 200
CROWDED_RETRY_AFTER_S: Final = 2
UNVERIFIED_RETRY_AFTER_S: Final = 60
_NOT_KEPT: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
_log = get_logger("vitrin.catalog.door")


@dataclass(frozen=True, slots=True)
class _Address:
    spec: ShopSpec
    connection: ConnectionId | None


class Refusal(Exception):
    """`more_body`: the rest of the body is on its way."""

    def __init__(self, outcome: str, error: VitrinError, *, more_body: bool = False) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.error = error
        self.more_body = more_body


class WebhookDoor:
    """ASGI around the application, which gets everything else."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        specs: Mapping[str, ShopSpec],
        book: SecretBook,
        spool: Spool,
        cipher: TokenCipher,
        unverified: Unverified,
        clock: Clock,
    ) -> None:
        self._app = app
        self._specs = specs
        self._book = book
        self._spool = spool
        self._cipher = cipher
        self._unverified = unverified
        self._clock = clock
        self._open = 0
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        platform = "other"
        try:
            address = self._address(scope)
            platform = address.spec.name
            outcome = await self._admit(address, scope, receive)
        except Refusal as refusal:
            metrics.DOOR.labels(platform, refusal.outcome).inc()
            if refusal.more_body:  # else the sender reads a reset, not our answer
                await drain(receive)
            await _refuse(send, refusal.error)
            return
        except Exception:
            _log.exception("webhook_door_broke", platform=platform)
            metrics.DOOR.labels(platform, "broke").inc()
            await _refuse(send, VitrinError(fix="Send it again in a few seconds."))
            return
        metrics.DOOR.labels(platform, outcome).inc()
        await _answer(send, 200, b"{}", {"content-type": "application/json"})
        metrics.ACK_SECONDS.labels(platform).observe(time.perf_counter() - started)

    def _address(self, scope: Scope) -> _Address:
        platform, _, rest = scope["path"].removeprefix(PREFIX).partition("/")
        spec = self._specs.get(platform)
        if spec is None:
            raise Refusal("wrong_path", NotFound("No shop of this kind sends webhooks here."))
        if scope["method"] != "POST":
            raise Refusal("wrong_path", MethodWrong())
        if not rest:
            return _Address(spec, None)
        named, _, mark = rest.partition("/")
        try:
            connection = ConnectionId(UUID(named))
        except ValueError:
            raise Refusal("unknown", ConnectionUnknown()) from None
        if not any(
            hmac.compare_digest(mark.encode(), one.encode()) for one in marks_of(self._cipher, connection)
        ):
            raise Refusal("unknown", ConnectionUnknown())
        return _Address(spec, connection)

    async def _admit(self, address: _Address, scope: Scope, receive: Receive) -> str:
        if self._open >= OPEN_MAX:
            raise Refusal("crowded", Crowded(retry_after_s=CROWDED_RETRY_AFTER_S))
        self._open += 1
        held = _Held(self)
        try:
            headers = _headers(scope)
            body = await _body(headers, receive, held)
            return await self._take(address, headers, body)
        finally:
            self._open -= 1
            self._held_bytes -= held.bytes

    def hold(self, size: int) -> None:
        if self._held_bytes + size > HELD_BYTES_MAX:
            raise Refusal("crowded", Crowded(retry_after_s=CROWDED_RETRY_AFTER_S))
        self._held_bytes += size

    async def _take(self, address: _Address, headers: Mapping[str, str], body: bytes) -> str:
        spec = address.spec
        try:
            head = spec.read_head(headers, body)
        except HeadInvalid as invalid:
            raise Refusal("wrong_head", HeadWrong(str(invalid))) from None
        if head.ping:
            return "ping"
        if not _usable(head.delivery_id) or not _usable(head.topic):
            raise Refusal("wrong_head", HeadWrong("The headers name no delivery id or topic."))
        signed_for = await self._signed_for(address, head, headers, body)
        if signed_for == ():
            return "nobody"
        if signed_for is None:
            if not self._unverified.take(len(body)):
                raise Refusal("unverified_full", UnverifiedFull(retry_after_s=UNVERIFIED_RETRY_AFTER_S))
            try:
                await self._keep(address, (), headers, body)
            except Refusal:
                self._unverified.release(len(body))
                raise
            return "taken_unverified"
        await self._keep(address, signed_for, headers, body)
        return "taken"

    async def _signed_for(
        self, address: _Address, head: DeliveryHead, headers: Mapping[str, str], body: bytes
    ) -> tuple[ShopKey, ...] | None:
        """The shops whose secret signed it; none: signed by an app of ours for a shop that nobody has here; None:
        nobody can say now."""
        if address.connection is None:
            return self._signed_by_app(address.spec, head, headers, body)
        known = self._book.get(address.connection)
        if known is not None and _signs(known, address.spec, headers, body):
            return _keys_if_about(known, address.spec, head, body)
        try:  # it may have been connected, or its secret replaced, a moment ago
            known = await self._book.ask(address.connection)
        except BookUnavailable:
            if known is None and not self._book.complete.is_set():
                return None
        if known is None or known.platform != address.spec.name:
            raise Refusal("unknown", ConnectionUnknown())
        if not _signs(known, address.spec, headers, body):
            raise Refusal("forged", SignatureWrong())
        return _keys_if_about(known, address.spec, head, body)

    def _signed_by_app(
        self, spec: ShopSpec, head: DeliveryHead, headers: Mapping[str, str], body: bytes
    ) -> tuple[ShopKey, ...] | None:
        shop = app_shop(spec, head=head, body=body)
        if not shop:
            raise Refusal("another_shop", OfAnotherShop())
        if not self._book.complete.is_set():
            return None
        found = [one for one in self._book.named(spec.name, shop) if _signs(one, spec, headers, body)]
        if found:
            return tuple((one.brand, one.connection) for one in found)
        if spec.own_secret or not spec.signed(headers, body, self._book.secrets_of(spec.name)):
            raise Refusal("forged", SignatureWrong())
        return ()

    async def _keep(
        self, address: _Address, signed_for: tuple[ShopKey, ...], headers: Mapping[str, str], body: bytes
    ) -> None:
        arrival = Arrival(
            platform=address.spec.name,
            connection=address.connection,
            signed_for=signed_for,
            received_at=self._clock(),
            headers=headers,
            body=body,
        )
        try:
            await self._spool.append(seal_for_spool(self._cipher, arrival))
        except (SpoolFull, SpoolFailing, RecordTooLarge) as refused:
            raise Refusal("spool_refused", refused) from None


class _Held:
    """What one request holds in memory."""

    def __init__(self, door: WebhookDoor) -> None:
        self._door = door
        self.bytes = 0

    def add(self, size: int) -> None:
        self._door.hold(size)
        self.bytes += size


def _signs(shop: KnownShop, spec: ShopSpec, headers: Mapping[str, str], body: bytes) -> bool:
    return shop.platform == spec.name and spec.signed(headers, body, shop.secrets)


def _keys_if_about(shop: KnownShop, spec: ShopSpec, head: DeliveryHead, body: bytes) -> tuple[ShopKey, ...]:
    if not is_about(spec, shop.names, head=head, body=body):
        raise Refusal("another_shop", OfAnotherShop())
    return ((shop.brand, shop.connection),)


def _usable(text: str) -> bool:
    return 0 < len(text) <= ID_CHARS_MAX and "\x00" not in text


def _headers(scope: Scope) -> dict[str, str]:
    """Lower-case; of several of one name the first, as the signature's; those that hold keys of others are left out."""
    found: dict[str, str] = {}
    size = 0
    for name, value in scope["headers"]:
        text = name.decode("latin-1").lower()
        if text in _NOT_KEPT:
            continue
        size += len(name) + len(value)
        found.setdefault(text, value.decode("latin-1"))
    if size > HEADERS_BYTES_MAX:
        raise Refusal("wrong_head", HeadWrong(f"The headers have more than {HEADERS_BYTES_MAX} bytes."))
    return found


async def _body(headers: Mapping[str, str], receive: Receive, held: _Held) -> bytes:
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > BODY_BYTES_MAX:
        raise Refusal("too_large", _too_large(), more_body="expect" not in headers)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal("too_slow", BodyTooSlow("The sender went away."))
                part = message.get("body", b"")
                size += len(part)
                if size > BODY_BYTES_MAX:
                    raise Refusal("too_large", _too_large(), more_body=message.get("more_body", False))
                held.add(len(part))
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Refusal("too_slow", BodyTooSlow()) from None


def _too_large() -> VitrinError:
    return WebhookTooLarge(f"A webhook may have {BODY_BYTES_MAX} bytes.", limit_bytes=BODY_BYTES_MAX)


async def _refuse(send: Send, error: VitrinError) -> None:
    body = problem_bytes(error, str(new_uuid()))
    headers = problem_headers(error)
    if error.status in (408, 413):
        headers["connection"] = "close"
    if error.status == 405:
        headers["allow"] = "POST"
    await _answer(send, error.status, body, headers)


async def _answer(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
