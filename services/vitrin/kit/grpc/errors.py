"""How a VitrinError travels: its status as a gRPC status, its stable code in the trailing metadata."""

import grpc

from vitrin.kit.errors import VitrinError

CODE_KEY = "vitrin-code"
_STATUS = {
    400: grpc.StatusCode.FAILED_PRECONDITION,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


def status_of(error: VitrinError) -> grpc.StatusCode:
    return _STATUS.get(error.status, grpc.StatusCode.INTERNAL)


def error_code(error: grpc.aio.AioRpcError) -> str | None:
    """The stable code (`token_expired`, ...) that the other side sent, None where it sent none."""
    for key, value in error.trailing_metadata() or ():
        if key == CODE_KEY:
            return value.decode() if isinstance(value, bytes) else str(value)
    return None
