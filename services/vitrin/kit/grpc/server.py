"""The gRPC server of one service: its servicers, the standard health service, token, metrics, errors."""

from collections.abc import Callable, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1.health import OVERALL_HEALTH  # type: ignore[import-untyped]
from grpc_health.v1.health import aio as health

from vitrin.kit.grpc.interceptors import AuthServer, ObserveServer
from vitrin.kit.logs import get_logger
from vitrin.kit.settings import GrpcSettings

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
STOP_GRACE_S = 5.0
_log = get_logger("vitrin.grpc")


class CannotListen(Exception):
    """The address is taken or not ours; the message names it."""


class GrpcServer:
    """`servicers` are functions that add themselves to the server. `port` is the real one after `start`."""

    def __init__(
        self,
        settings: GrpcSettings,
        servicers: Sequence[Callable[[grpc.aio.Server], None]],
        service_token: str,
    ) -> None:
        self._settings = settings
        self._health = health.HealthServicer()
        self.port = 0
        self._server = grpc.aio.server(
            interceptors=[ObserveServer(settings.service), AuthServer(service_token)],
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
            ],
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for add in servicers:
            add(self._server)

    async def start(self) -> None:
        """Raises CannotListen."""
        address = f"{self._settings.host}:{self._settings.port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {address}") from error
        await self._server.start()
        await self._health.set(OVERALL_HEALTH, health_pb2.HealthCheckResponse.SERVING)
        _log.info("grpc_listening", host=self._settings.host, port=self.port)

    async def stop(self) -> None:
        """Says NOT_SERVING, then lets open calls end for `STOP_GRACE_S`."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(STOP_GRACE_S)
