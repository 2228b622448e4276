"""The door of every platform: reads the body up to its cap, meets faults, calls the platform, keeps the log."""

import asyncio
from dataclasses import replace
from time import perf_counter

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from vitrin.sandbox.bodies import form_fields, read_capped
from vitrin.sandbox.delivery import DROPPED_STATUS, drop, hold, spoiled
from vitrin.sandbox.fault_book import Hit, Plan, Subject
from vitrin.sandbox.fault_kinds import FaultKind
from vitrin.sandbox.metrics import FAULTS, ITEMS_RECEIVED, REQUEST_SECONDS, REQUESTS
from vitrin.sandbox.request_log import LogEntry, without_secrets
from vitrin.sandbox.wire import Call, Door, Reply
from vitrin.sandbox.world import World

logger = structlog.get_logger(__name__)

HELD = frozenset({FaultKind.TIMEOUT_BEFORE, FaultKind.TIMEOUT_AFTER, FaultKind.HANG})
UNREADABLE = frozenset({FaultKind.TRUNCATE, FaultKind.GARBAGE})


class PlatformGate:
    """Serves one platform."""

    def __init__(self, *, world: World, platform: Door) -> None:
        self._world = world
        self._platform = platform

    async def serve(self, request: Request) -> Response:
        """Answer one request, or close the connection if a fault says so."""
        call = await self._read(request)
        started = perf_counter()
        subject = self._subject(call)
        plan = self._world.faults.plan(subject)
        for hit in plan.hits:
            FAULTS.labels(self._platform.name, hit.spec.kind).inc()
        arrived_ms = call.received_ms
        if plan.delay_ms:
            await asyncio.sleep(plan.delay_ms / 1000)
            call = replace(call, received_ms=self._world.now_ms())
        if plan.instead is not None:
            reply = self._instead(call, plan.instead)
        else:
            reply = self._answer(replace(call, effects=plan.effects))
        cut = _cutting(plan)
        if cut is not None:
            reply.outcome = "dropped" if cut.spec.kind is not FaultKind.RESET else "reset"
        seconds = perf_counter() - started
        answer = self._finish(
            replace(call, received_ms=arrived_ms), reply, plan=plan, subject=subject, seconds=seconds
        )
        return await self._deliver(request, answer, plan)

    async def _deliver(self, request: Request, answer: Response, plan: Plan) -> Response:
        cut = _cutting(plan)
        if cut is not None and cut.spec.kind is not FaultKind.RESET:
            if cut.spec.kind in HELD:
                await hold(request, hold_ms=cut.spec.held_ms)
            return await drop(request)
        return spoiled(answer, plan.answer.spec) if plan.answer is not None else answer

    def _subject(self, call: Call) -> Subject:
        platform = self._platform

        def accounts() -> frozenset[str]:
            account = platform.account_of(call)
            return account.names if account is not None else frozenset()

        return Subject(
            platform=platform.name,
            method=call.method,
            path=call.path,
            endpoint=platform.endpoint_of(call),
            now_ms=call.received_ms,
            accounts=accounts,
            items=lambda: platform.items_of(call),
        )

    def _instead(self, call: Call, hit: Hit) -> Reply:
        """The answer that a fault gives in the platform's place."""
        spec, platform = hit.spec, self._platform
        if spec.kind in HELD or (spec.kind is FaultKind.OUTAGE and spec.drop):
            return Reply(DROPPED_STATUS, None)
        if spec.kind is FaultKind.THROTTLE:
            reply = platform.throttled(call, code=spec.code, regain_s=spec.regain_s)
        elif spec.kind is FaultKind.OUTAGE:
            reply = self._named("unavailable", call)
        elif spec.kind is FaultKind.REFUSE_BATCH and spec.error is None:
            reply = platform.batch_refused(call)
        elif spec.error is not None:
            reply = self._named(spec.error, call)
        else:
            reply = Reply(500, spec.body, outcome="refused")
        if spec.status is not None:
            reply.status = spec.status
        return reply

    def _named(self, name: str, call: Call) -> Reply:
        """The platform's error; a fault for all platforms may name one that only another has."""
        return self._platform.named_error(name, call) or Reply(500, None, outcome="error")

    def _answer(self, call: Call) -> Reply:
        try:
            return self._platform.handle(call)
        except Exception:
            logger.exception("sandbox.platform_failed", platform=self._platform.name, path=call.path)
            return self._named("unknown", call)

    def _finish(self, call: Call, reply: Reply, *, plan: Plan, subject: Subject, seconds: float) -> Response:
        world, name = self._world, self._platform.name
        if reply.account is None and (account := self._platform.account_of(call)) is not None:
            reply.account = account.log_name
        item_ids = reply.item_ids or subject.item_ids
        entry = LogEntry(
            seq=world.log.next_seq(),
            received_ms=call.received_ms,
            duration_ms=seconds * 1000,
            platform=name,
            account=reply.account,
            endpoint=subject.endpoint,
            method=call.method,
            path=call.path,
            query=without_secrets(call.query),
            status=None if _cutting(plan) is not None else reply.status,
            outcome=reply.outcome,
            error_code=reply.error_code,
            item_count=len(item_ids),
            accepted_count=reply.accepted_count,
            item_ids=list(item_ids[: world.settings.log_item_ids_max]),
            operations=reply.operations,
            handle=reply.handle,
            readable=plan.answer is None or plan.answer.spec.kind not in UNREADABLE,
            injected=[hit.as_json(item_ids_max=world.settings.log_item_ids_max) for hit in plan.hits],
        )
        world.log.add(entry)
        REQUESTS.labels(name, reply.outcome).inc()
        REQUEST_SECONDS.labels(name).observe(seconds)
        if reply.operations:
            ITEMS_RECEIVED.labels(name).inc(len(reply.item_ids))
        encoded = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
        return Response(
            b"" if reply.body is None else encoded,
            status_code=reply.status,
            headers=reply.headers,
            media_type="application/json",
        )

    async def _read(self, request: Request) -> Call:
        body, body_bytes = await read_capped(request, bytes_max=self._platform.body_bytes_max)
        root = f"/{self._platform.host}"
        base = f"{request.url.scheme}://{request.url.netloc}{root}"
        return Call(
            method=request.method,
            path=request.url.path.removeprefix(root) or "/",
            query=dict(request.query_params),
            headers=request.headers,
            body=body,
            body_bytes=body_bytes,
            form=await form_fields(request.headers, body),
            base_url=base,
            received_ms=self._world.now_ms(),
        )


def _cutting(plan: Plan) -> Hit | None:
    """The fault that ends the connection before the client has an answer, if any."""
    hit = plan.instead or plan.answer
    if hit is None:
        return None
    kind = hit.spec.kind
    cuts = kind in HELD or kind is FaultKind.RESET or (kind is FaultKind.OUTAGE and hit.spec.drop)
    return hit if cuts else None
