"""What happens around every gRPC call, on both sides."""

import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from grpc.aio import ClientCallDetails, Metadata

from vitrin.kit import metrics
from vitrin.kit.errors import VitrinError
from vitrin.kit.grpc.errors import CODE_KEY, status_of
from vitrin.kit.ids import new_uuid
from vitrin.kit.logs import get_logger, log_context

HEALTH_PREFIX = "/grpc.health.v1.Health/"
_AUTHORIZATION = "authorization"
_REQUEST_ID = "x-request-id"
_log = get_logger("vitrin.grpc")

REQUESTS = metrics.counter(
    "vitrin_grpc_requests_total",
    "gRPC calls answered by this process, by method and status.",
    ("service", "method", "status"),
)
SECONDS = metrics.histogram(
    "vitrin_grpc_request_seconds", "Time to answer one gRPC call, in seconds.", ("service", "method")
)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"


def _metadata(details: grpc.HandlerCallDetails, wanted: str) -> str | None:
    for key, value in details.invocation_metadata:
        if key == wanted:
            return value.decode() if isinstance(value, bytes) else value
    return None


class AuthServer(grpc.aio.ServerInterceptor):
    """Only callers with the service token get through; the health service is open, as probes expect."""

    def __init__(self, service_token: str) -> None:
        self._expected = f"Bearer {service_token}".encode()

        async def refuse(_request: object, context: Context) -> None:
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                "the service token is missing or wrong: set VITRIN_SERVICE_TOKEN to the same value everywhere",
                trailing_metadata=((CODE_KEY, "service_token_wrong"),),
            )

        self._refuse: Handler = grpc.unary_unary_rpc_method_handler(refuse)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        if handler_call_details.method.startswith(HEALTH_PREFIX):
            return await continuation(handler_call_details)
        given = _metadata(handler_call_details, _AUTHORIZATION) or ""
        if not hmac.compare_digest(given.encode(), self._expected):
            return self._refuse
        return await continuation(handler_call_details)


class ObserveServer(grpc.aio.ServerInterceptor):
    """Request id on log lines, metrics, VitrinError as a status; anything else is INTERNAL without its text."""

    def __init__(self, service: str) -> None:
        self._service = service

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(HEALTH_PREFIX):
            return handler
        call = _Call(
            self._service,
            handler_call_details.method,
            _metadata(handler_call_details, _REQUEST_ID) or str(new_uuid()),
        )
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                call.unary(handler.unary_unary), handler.request_deserializer, handler.response_serializer
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                call.stream(handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        return handler


class _Call:
    def __init__(self, service: str, method: str, request_id: str) -> None:
        self._service = service
        self._method = method
        self._request_id = request_id

    def unary(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        async def run(request: object, context: Context) -> Any:
            started = time.perf_counter()
            with log_context(request_id=self._request_id):
                try:
                    return await behaviour(request, context)
                except Exception as error:
                    await self._fail(error, context)
                finally:
                    self._note(context, started)

        return run

    def stream(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        async def run(request: object, context: Context) -> AsyncIterator[Any]:
            started = time.perf_counter()
            with log_context(request_id=self._request_id):
                try:
                    async for response in behaviour(request, context):
                        yield response
                except Exception as error:
                    await self._fail(error, context)
                finally:
                    self._note(context, started)

        return run

    async def _fail(self, error: Exception, context: Context) -> None:
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if isinstance(error, VitrinError):
            await context.abort(status_of(error), error.detail, trailing_metadata=((CODE_KEY, error.code),))
        _log.error("call_failed", method=self._method, exc_info=error)
        await context.abort(
            grpc.StatusCode.INTERNAL,
            f"internal error, request id {self._request_id}",
            trailing_metadata=((CODE_KEY, "internal"),),
        )

    def _note(self, context: Context, started: float) -> None:
        seconds = time.perf_counter() - started
        status = _status_name(context.code())
        REQUESTS.labels(self._service, self._method, status).inc()
        SECONDS.labels(self._service, self._method).observe(seconds)
        _log.info("call", method=self._method, status=status, ms=round(seconds * 1000, 1))


_NAMES = {status.value[0]: status.name for status in grpc.StatusCode}


def _status_name(code: object) -> str:
    if isinstance(code, grpc.StatusCode):
        return code.name
    return _NAMES.get(code, "UNKNOWN") if isinstance(code, int) else "OK"


def _with_defaults(details: ClientCallDetails, token: str, deadline_s: float) -> ClientCallDetails:
    metadata = Metadata(*(details.metadata or ()))
    metadata.add(_AUTHORIZATION, f"Bearer {token}")
    return ClientCallDetails(
        method=details.method,
        timeout=deadline_s if details.timeout is None else details.timeout,
        metadata=metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )


class UnaryCall(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, token: str, deadline_s: float) -> None:
        self._token = token
        self._deadline_s = deadline_s

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(_with_defaults(client_call_details, self._token, self._deadline_s), request)


class StreamCall(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, token: str, deadline_s: float) -> None:
        self._token = token
        self._deadline_s = deadline_s

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(_with_defaults(client_call_details, self._token, self._deadline_s), request)
