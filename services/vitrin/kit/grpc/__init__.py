"""gRPC between services: server and client on grpc.aio with token, deadlines, metrics and our errors."""

from vitrin.kit.grpc.client import channel
from vitrin.kit.grpc.errors import error_code
from vitrin.kit.grpc.server import GrpcServer

__all__ = ["GrpcServer", "channel", "error_code"]
