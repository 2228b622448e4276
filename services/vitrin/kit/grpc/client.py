"""The gRPC channel to another service: every call gets a deadline and the service token."""

import grpc

from vitrin.kit.grpc.interceptors import StreamCall, UnaryCall

DEADLINE_S = 2.0
STREAM_DEADLINE_S = 600.0
MESSAGE_BYTES_MAX = 16 * 1024 * 1024


def channel(
    address: str,
    service_token: str,
    default_deadline_s: float = DEADLINE_S,
    stream_deadline_s: float = STREAM_DEADLINE_S,
) -> grpc.aio.Channel:
    """Calls may set their own `timeout`; without one they get the default. Never goes through a proxy."""
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.enable_http_proxy", 0),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ],
        interceptors=[
            UnaryCall(service_token, default_deadline_s),
            StreamCall(service_token, stream_deadline_s),
        ],
    )
