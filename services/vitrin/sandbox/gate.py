"""The door of every platform: reads the body up to its cap, meets faults, calls the platform, keeps the log."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl

import orjson
import structlog
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from vitrin.sandbox.faults import ActiveFault, FaultKind
from vitrin.sandbox.metrics import FAULTS, ITEMS_RECEIVED, REQUEST_SECONDS, REQUESTS
from vitrin.sandbox.request_log import LogEntry, without_secrets
from vitrin.sandbox.wire import Call, Platform, Reply
from vitrin.sandbox.world import World

logger = structlog.get_logger(__name__)

DROP_EXTENSION = "vitrin.sandbox.drop"
"""ASGI extension of the sandbox's own server: a function that closes the connection without an answer."""

FORM_FIELDS_MAX = 200
DROPPED_STATUS = 504


class PlatformGate:
    """Serves one platform."""

    def __init__(self, *, world: World, platform: Platform) -> None:
        self._world = world
        self._platform = platform

    async def serve(self, request: Request) -> Response:
        """Answer one request, or close the connection if a fault says so."""
        call = await self._read(request)
        fault = self._world.faults.match(platform=self._platform.name, method=call.method, path=call.path)
        started = perf_counter()
        if fault is None:
            reply = self._answer(call)
            return self._finish(call, reply, fault=None, seconds=perf_counter() - started)
        FAULTS.labels(self._platform.name, fault.spec.kind).inc()
        return await self._misbehave(request, call, fault, started=started)

    async def _misbehave(
        self, request: Request, call: Call, fault: ActiveFault, *, started: float
    ) -> Response:
        kind = fault.spec.kind
        if fault.spec.delay_ms:
            await asyncio.sleep(fault.spec.delay_ms / 1000)
        if kind is FaultKind.REFUSE:
            return self._finish(
                call, self._refusal(call, fault), fault=fault, seconds=perf_counter() - started
            )
        if kind is FaultKind.TIMEOUT_BEFORE:
            reply = Reply(DROPPED_STATUS, None, outcome="dropped")
        else:
            if kind is FaultKind.SLOW:
                call = self._at_this_moment(call)
            reply = self._answer(call)
        if kind is FaultKind.SLOW:
            return self._finish(call, reply, fault=fault, seconds=perf_counter() - started)
        reply.outcome = "dropped"
        self._finish(call, reply, fault=fault, seconds=perf_counter() - started, dropped=True)
        await _hold(request, hold_ms=fault.spec.hold_ms)
        return await _drop(request)

    def _at_this_moment(self, call: Call) -> Call:
        return Call(
            method=call.method,
            path=call.path,
            query=call.query,
            headers=call.headers,
            body=call.body,
            body_bytes=call.body_bytes,
            form=call.form,
            base_url=call.base_url,
            received_ms=self._world.now_ms(),
        )

    def _refusal(self, call: Call, fault: ActiveFault) -> Reply:
        spec = fault.spec
        if spec.error is not None:
            named = self._platform.named_error(spec.error, call)
            if named is not None:
                return named
        return Reply(spec.status or 500, spec.body, outcome="refused")

    def _answer(self, call: Call) -> Reply:
        try:
            return self._platform.handle(call)
        except Exception:
            logger.exception("sandbox.platform_failed", platform=self._platform.name, path=call.path)
            return self._platform.named_error("unknown", call) or Reply(500, None, outcome="error")

    def _finish(
        self, call: Call, reply: Reply, *, fault: ActiveFault | None, seconds: float, dropped: bool = False
    ) -> Response:
        world, name = self._world, self._platform.name
        entry = LogEntry(
            seq=world.log.next_seq(),
            received_ms=call.received_ms,
            duration_ms=seconds * 1000,
            platform=name,
            account=reply.account,
            method=call.method,
            path=call.path,
            query=without_secrets(call.query),
            status=None if dropped else reply.status,
            outcome=reply.outcome,
            error_code=reply.error_code,
            item_count=len(reply.item_ids),
            item_ids=list(reply.item_ids[: world.settings.log_item_ids_max]),
            operations=reply.operations,
            handle=reply.handle,
            fault=f"{fault.fault_id}:{fault.spec.kind}" if fault else None,
        )
        world.log.add(entry)
        REQUESTS.labels(name, reply.outcome).inc()
        REQUEST_SECONDS.labels(name).observe(seconds)
        if reply.operations:
            ITEMS_RECEIVED.labels(name).inc(len(reply.item_ids))
        return Response(
            b"" if reply.body is None else orjson.dumps(reply.body),
            status_code=reply.status,
            headers=reply.headers,
            media_type="application/json",
        )

    async def _read(self, request: Request) -> Call:
        body, body_bytes = await _read_capped(request, bytes_max=self._platform.body_bytes_max)
        root = f"/{self._platform.host}"
        base = f"{request.url.scheme}://{request.url.netloc}{root}"
        return Call(
            method=request.method,
            path=request.url.path.removeprefix(root) or "/",
            query=dict(request.query_params),
            headers=request.headers,
            body=body,
            body_bytes=body_bytes,
            form=await _form(request.headers, body),
            base_url=base,
            received_ms=self._world.now_ms(),
        )


async def _read_capped(request: Request, *, bytes_max: int) -> tuple[bytes | None, int]:
    """The body, or None when it is larger than the cap; the rest is then read and thrown away."""
    parts: list[bytes] = []
    size = 0
    with suppress(ClientDisconnect):
        async for part in request.stream():
            size += len(part)
            if size <= bytes_max:
                parts.append(part)
            else:
                parts.clear()
    return (b"".join(parts) if size <= bytes_max else None), size


async def _form(headers: Mapping[str, str], body: bytes | None) -> dict[str, str] | None:
    """The fields of a form-encoded or multipart body, None for any other."""
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body:
        return None
    if content_type == "application/x-www-form-urlencoded":
        pairs = parse_qsl(
            body.decode(errors="replace"), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX
        )
        return dict(pairs)
    if content_type != "multipart/form-data":
        return None

    async def stream() -> AsyncIterator[bytes]:
        yield body

    parser = MultiPartParser(
        headers,  # type: ignore[arg-type]
        stream(),  # type: ignore[arg-type]
        max_fields=FORM_FIELDS_MAX,
        max_part_size=len(body),
    )
    try:
        parsed = await parser.parse()
    except MultiPartException:
        return {}
    return {name: value for name, value in parsed.multi_items() if isinstance(value, str)}


async def _hold(request: Request, *, hold_ms: int) -> None:
    """Wait, but not longer than the client does."""

    async def disconnected() -> None:
        message: Any = {"type": "http.request"}
        while message["type"] != "http.disconnect":
            message = await request.receive()

    with suppress(TimeoutError):
        await asyncio.wait_for(disconnected(), hold_ms / 1000)


async def _drop(request: Request) -> Response:
    """Close the connection without an answer; on a server without the extension the answer is an empty 504."""
    drop: Callable[[], None] | None = request.scope.get("extensions", {}).get(DROP_EXTENSION)
    if drop is not None:
        drop()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return Response(status_code=DROPPED_STATUS)
