"""The door of storefront events, before the application and its middleware: who, what, durable, answer.

It needs neither PostgreSQL nor Kafka nor accounts once it has seen a key: what it takes lies in the spool, sealed. An
answer of 200 means durable; it says of every event what became of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from vitrin.kit.access.errors import AccessUnavailable, ScopeMissing
from vitrin.kit.access.uses import KeyUses
from vitrin.kit.clock import Clock
from vitrin.kit.errors import Unauthenticated, VitrinError
from vitrin.kit.http.middleware import drain
from vitrin.kit.http.rate_limit import Quota
from vitrin.kit.logs import get_logger
from vitrin.kit.seal import SpoolSeal
from vitrin.kit.spool import RecordTooLarge, Spool, SpoolFailing, SpoolFull
from vitrin.retargeting.collector import metrics, segment, wire
from vitrin.retargeting.collector.carrier import Carrier, NotCarried
from vitrin.retargeting.collector.keys import DoorKeys, Held, principal_of
from vitrin.retargeting.collector.origins import allows
from vitrin.retargeting.collector.packing import Taken, indices_bytes, seal_for_spool
from vitrin.retargeting.collector.recent import Claim, RecentIds
from vitrin.retargeting.collector.request import (
    BODY_S,
    CROWDED_RETRY_AFTER_S,
    Head,
    Header,
    Refusal,
    address_of,
    answer,
    answer_preflight,
    body_of,
    cors_headers,
    head_of,
    refuse,
    token_of,
)
from vitrin.retargeting.collector.request import Held as HeldBytes
from vitrin.retargeting.collector.tally import Tally
from vitrin.retargeting.domain import checking
from vitrin.retargeting.domain.vocabulary import Source
from vitrin.retargeting.errors import (
    Crowded,
    EventsRefused,
    EventsUnreadable,
    MethodWrong,
    NotInKafka,
    OriginMissing,
    OriginNotAllowed,
    SentTooOften,
    TooManyEvents,
)

EVENTS_PATH: Final = "/v1/events"
SCOPE: Final = "events:write"
OPEN_MAX: Final = 1_024
NOT_CARRIED_RETRY_AFTER_S: Final = 5
_log = get_logger("vitrin.retargeting.door")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorParts:
    """What a door is made of. `carrier`: asked only where Kafka must have the events before the answer."""

    keys: DoorKeys
    spool: Spool
    seal: SpoolSeal
    recent: RecentIds
    tally: Tally
    quota: Quota
    clock: Clock
    carrier: Carrier | None = None
    ack_s: float = 5.0
    uses: KeyUses | None = None
    proxy_hops: int = 0
    body_s: float = BODY_S
    monotonic: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class _Read:
    """What is kept of a body while it becomes durable, by the index of its events; the events themselves are let go,
    since thousands of them would wait for the same sync. Empty texts where an event could not be read."""

    ids: Sequence[str]
    names: Sequence[str]
    refused: Mapping[int, checking.Refusal]
    results: list[str]

    @property
    def good(self) -> Sequence[int]:
        everything = range(len(self.ids))
        return [index for index in everything if index not in self.refused] if self.refused else everything


class EventDoor:
    """ASGI around the application, which gets everything else."""

    def __init__(self, app: ASGIApp, parts: DoorParts) -> None:
        self._app = app
        self._parts = parts
        self._open = 0
        self._held = HeldBytes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        kind = "event" if path == EVENTS_PATH else segment.PATHS.get(path)
        if kind is None or (kind == "event" and method not in ("POST", "OPTIONS")):
            await self._app(scope, receive, send)
            return
        await self._serve(kind, scope, receive, send)

    async def _serve(self, kind: str, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        shape = "events" if kind == "event" else "segment"
        head = head_of(scope)
        quota: list[Header] = []
        try:
            if scope["method"] == "OPTIONS":
                await answer_preflight(send, head.origin)
                return
            if scope["method"] != "POST":
                raise Refusal("wrong_method", MethodWrong())
            status, body = await self._admit(kind, head, scope, receive, quota)
        except Refusal as refusal:
            _requests_counter(shape, refusal.outcome).inc()
            if refusal.more_body:  # else the sender reads a reset, not our answer
                await drain(receive)
            await refuse(send, refusal.error, head.origin, quota)
            return
        except Exception:
            _log.exception("event_door_broke", shape=shape)
            _requests_counter(shape, "broke").inc()
            await refuse(send, VitrinError(fix="Send it again in a few seconds."), head.origin, quota)
            return
        _requests_counter(shape, "taken").inc()
        await answer(send, status, body, [*cors_headers(head.origin), *quota])
        metrics.ACK_SECONDS.observe(time.perf_counter() - started)

    async def _admit(
        self, kind: str, head: Head, scope: Scope, receive: Receive, quota: list[Header]
    ) -> tuple[int, bytes]:
        if self._open >= OPEN_MAX:
            raise Refusal("crowded", Crowded(retry_after_s=CROWDED_RETRY_AFTER_S), more_body=not head.expects)
        self._open += 1
        try:
            key = await self._key(head, scope, quota)
            body = await body_of(head, receive, self._held, within_s=self._parts.body_s)
            try:
                return await self._take(kind, head, scope, key, body)
            finally:
                self._held.bytes -= len(body)
        finally:
            self._open -= 1

    async def _key(self, head: Head, scope: Scope, quota: list[Header]) -> Held:
        parts = self._parts
        token = token_of(head, scope)
        more = not head.expects
        try:
            key = await parts.keys.of(token)
        except Unauthenticated as error:
            raise Refusal("unauthenticated", error, more_body=more) from None
        except AccessUnavailable as error:
            raise Refusal("keys_away", error, more_body=more) from None
        taken = parts.quota.take(key.key_id, parts.monotonic())
        quota += parts.quota.fields(taken)
        if not taken.allowed:
            limited = SentTooOften(
                f"The quota is {parts.quota.requests_max} requests, refilled over {parts.quota.window_s} s.",
                retry_after_s=taken.next_in_s,
            )
            raise Refusal("limited", limited, more_body=more)
        if SCOPE not in key.scopes:
            missing = ScopeMissing(
                f"This key has no scope {SCOPE!r}.", fix=f"Use a key with the scope {SCOPE!r}.", scope=SCOPE
            )
            raise Refusal("forbidden", missing, more_body=more)
        if key.kind == "publishable":
            if head.origin is None:
                raise Refusal("wrong_origin", OriginMissing(), more_body=more)
            if not allows(key.origins, head.origin):
                wrong = OriginNotAllowed(f"{head.origin[:255]!r} is not among the brand's origins.")
                raise Refusal("wrong_origin", wrong, more_body=more)
        if parts.uses is not None:
            parts.uses.note(principal_of(key))
        return key

    async def _take(self, kind: str, head: Head, scope: Scope, key: Held, body: bytes) -> tuple[int, bytes]:
        parts = self._parts
        received_ms = int(parts.clock().timestamp() * 1000)
        source = Source.SEGMENT if kind != "event" else _source(key)
        if kind != "event":
            body = _translated(kind, body, received_ms)
        try:
            read = _read(body, received_ms)
        except wire.BodyUnreadable as unreadable:
            body, broken = wire.mended(body), body
            if body == broken:
                raise Refusal("unreadable", EventsUnreadable(str(unreadable))) from None
            read = _read_mended(body, received_ms)
        pixel = key.kind == "publishable"
        taken = Taken(
            brand=key.brand,
            key_id=key.key_id,
            received_ms=received_ms,
            source=source,
            test=key.mode == "test",
            ip=address_of(head, scope, parts.proxy_hops) if pixel else "",
            user_agent=head.user_agent if pixel else "",
            gpc=head.gpc if pixel else False,
        )
        try:
            await self._keep(taken, body, read)
        finally:
            self._count(taken, read)
        return self._answer(kind, read)

    async def _keep(self, taken: Taken, body: bytes, read: _Read) -> None:
        """Durable, those that are not repetitions. One that somebody else is bringing waits for how that ends, and is
        brought by us where it failed."""
        recent, good = self._parts.recent, read.good
        while good:
            whole = len(good) == len(read.ids)
            claim = recent.claim(taken.brand, good, read.ids if whole else [read.ids[n] for n in good])
            durable = False
            try:
                if claim.mine:
                    await self._append(taken, body, claim, len(read.ids))
                durable = True
            finally:
                recent.settle(claim, durable=durable)
            if len(claim.mine) == len(read.ids):
                read.results = ["accepted"] * len(read.ids)
                return
            for index in claim.mine:
                read.results[index] = "accepted"
            for index in claim.seen:
                read.results[index] = "duplicate"
            again = []
            for index, other in claim.waiting:
                if await other.outcome():
                    read.results[index] = "duplicate"
                else:
                    again.append(index)
            good = again

    async def _append(self, taken: Taken, body: bytes, claim: Claim, of: int) -> None:
        parts = self._parts
        if len(claim.mine) != of:
            taken = msgspec.structs.replace(taken, accepted=indices_bytes(claim.mine))
        try:
            end = await parts.spool.append(seal_for_spool(parts.seal, taken, body))
            if parts.carrier is not None:
                await parts.carrier.carried(end, within_s=parts.ack_s)
        except (SpoolFull, SpoolFailing, RecordTooLarge) as refused:
            raise Refusal("spool_refused", refused) from None
        except NotCarried:
            raise Refusal("not_in_kafka", NotInKafka(retry_after_s=NOT_CARRIED_RETRY_AFTER_S)) from None

    def _count(self, taken: Taken, read: _Read) -> None:
        brand, tally, source = taken.brand, self._parts.tally, taken.source
        for result in ("accepted", "duplicate"):
            number = read.results.count(result)
            if number == len(read.names):
                names = read.names
            else:
                names = [
                    name for name, found in zip(read.names, read.results, strict=True) if found == result
                ]
            if number:
                _events_counter(source, result).inc(number)
                tally.add(brand, names, source=source, outcome=result)
        for index, refusal in read.refused.items():
            _events_counter(source, "refused").inc()
            metrics.REFUSED.labels(refusal.code).inc()
            tally.add(brand, [read.names[index]], source=source, outcome="refused", code=refusal.code)

    def _answer(self, kind: str, read: _Read) -> tuple[int, bytes]:
        number, accepted = len(read.results), read.results.count("accepted")
        if accepted == number:
            return 200, _all_accepted(number, segment=kind != "event")
        refused = len(read.refused)
        document: dict[str, Any] = {
            "accepted": accepted,
            "duplicate": number - accepted - refused,
            "refused": refused,
            "results": read.results,
            "problems": [{"index": index, **why._asdict()} for index, why in sorted(read.refused.items())],
        }
        if refused == number:
            first = read.refused[0]
            raise Refusal("refused", EventsRefused(first.message, field=first.field or None, **document))
        if kind != "event":
            document["success"] = True
        return 200, wire.encode(document)


def _translated(kind: str, body: bytes, received_ms: int) -> bytes:
    """Segment's shape as ours."""
    try:
        return wire.encode({"events": segment.events_of(kind, body, received_ms=received_ms)})
    except wire.BodyUnreadable as unreadable:
        raise Refusal("unreadable", EventsUnreadable(str(unreadable))) from None


def _read_mended(body: bytes, received_ms: int) -> _Read:
    try:
        return _read(body, received_ms)
    except wire.BodyUnreadable as unreadable:
        raise Refusal("unreadable", EventsUnreadable(str(unreadable))) from None


def _read(body: bytes, received_ms: int) -> _Read:
    """Raises Refusal, BodyUnreadable."""
    decoded = wire.decode(body)
    events = decoded.events
    if len(events) > wire.EVENTS_MAX:
        raise Refusal(
            "too_large",
            TooManyEvents(
                f"A request may have {wire.EVENTS_MAX} events.", limit=wire.EVENTS_MAX, sent=len(events)
            ),
        )
    refused = checking.refused_of(events, checking.Moment.of(received_ms))
    results = ["refused"] * len(events)
    if not decoded.refused:
        whole: Sequence[wire.WireEvent] = events  # type: ignore[assignment]
        return _Read([one.event_id for one in whole], [one.name for one in whole], refused, results)
    return _Read(
        ["" if one is None else one.event_id for one in events],
        ["" if one is None else one.name for one in events],
        {**decoded.refused, **refused},
        results,
    )


def _source(key: Held) -> Source:
    return Source.PIXEL if key.kind == "publishable" else Source.SERVER


_events_counter: Final = lru_cache(64)(metrics.EVENTS.labels)
_requests_counter: Final = lru_cache(256)(metrics.REQUESTS.labels)


@lru_cache(2 * wire.EVENTS_MAX)
def _all_accepted(number: int, *, segment: bool) -> bytes:
    document: dict[str, Any] = {
        "accepted": number,
        "duplicate": 0,
        "refused": 0,
        "results": ["accepted"] * number,
        "problems": [],
    }
    return wire.encode({**document, "success": True} if segment else document)
