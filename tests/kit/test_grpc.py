from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from vitrin.kit.errors import Conflict, NotFound
from vitrin.kit.grpc import GrpcServer, channel, error_code
from vitrin.kit.grpc.server import CannotListen
from vitrin.kit.metrics import exposition
from vitrin.kit.settings import GrpcSettings
from vitrin.protos.accounts.v1 import access_pb2, access_pb2_grpc

TOKEN = "a-token-of-the-tests"
COUNTED_WITHIN_S = 30


class Expired(Conflict):
    code = "token_expired"


class Access(access_pb2_grpc.AccessServiceServicer):
    """A servicer with a behaviour per key id; remembers what it saw."""

    def __init__(self) -> None:
        self.remaining_s: list[float | None] = []

    async def CheckKey(self, request, context):  # type: ignore[no-untyped-def] # noqa: N802
        self.remaining_s.append(context.time_remaining())
        match request.key_id:
            case "missing":
                raise NotFound("no such key")
            case "expired":
                raise Expired("too late")
            case "broken":
                raise ZeroDivisionError("inner text")
            case "never":
                await asyncio.Event().wait()
        return access_pb2.CheckKeyResponse(found=True)


access = Access()


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[GrpcServer]:
    settings = GrpcSettings(service="probe", service_token=TOKEN)
    server = GrpcServer(
        settings, [lambda server: access_pb2_grpc.add_AccessServiceServicer_to_server(access, server)], TOKEN
    )
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def stub(server: GrpcServer) -> AsyncIterator[access_pb2_grpc.AccessServiceAsyncStub]:
    async with channel(f"127.0.0.1:{server.port}", TOKEN) as open_channel:
        yield access_pb2_grpc.AccessServiceStub(open_channel)


async def test_a_call_carries_token_and_default_deadline(
    stub: access_pb2_grpc.AccessServiceAsyncStub,
) -> None:
    assert (await stub.CheckKey(access_pb2.CheckKeyRequest(key_id="k"))).found is True
    remaining = access.remaining_s[-1]
    assert remaining is not None
    assert 0 < remaining < 3


async def test_an_own_deadline_is_kept(stub: access_pb2_grpc.AccessServiceAsyncStub) -> None:
    await stub.CheckKey(access_pb2.CheckKeyRequest(key_id="k"), timeout=30)
    remaining = access.remaining_s[-1]
    assert remaining is not None
    assert 10 < remaining < 31  # gRPC's clock reads up to a tenth of a second more than was given


async def test_the_deadline_ends_a_call_that_hangs(server: GrpcServer) -> None:
    async with channel(f"127.0.0.1:{server.port}", TOKEN, default_deadline_s=0.2) as open_channel:
        stub = access_pb2_grpc.AccessServiceStub(open_channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.CheckKey(access_pb2.CheckKeyRequest(key_id="never"))
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_wrong_token_is_refused_before_the_servicer(server: GrpcServer) -> None:
    calls = len(access.remaining_s)
    async with channel(f"127.0.0.1:{server.port}", "another-token") as open_channel:
        stub = access_pb2_grpc.AccessServiceStub(open_channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.CheckKey(access_pb2.CheckKeyRequest(key_id="k"))
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert error_code(refused.value) == "service_token_wrong"
    assert len(access.remaining_s) == calls


async def counted(labels: str) -> None:
    """The server counts a call when it is over, which may be after its caller has the answer."""
    line = f'method="/vitrin.protos.accounts.v1.AccessService/CheckKey",{labels}'
    async with asyncio.timeout(COUNTED_WITHIN_S):
        while line not in exposition().decode():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("key_id", "status", "code"),
    [
        ("missing", grpc.StatusCode.NOT_FOUND, "not_found"),
        ("expired", grpc.StatusCode.FAILED_PRECONDITION, "token_expired"),
        ("broken", grpc.StatusCode.INTERNAL, "internal"),
    ],
)
async def test_errors_keep_their_code(
    stub: access_pb2_grpc.AccessServiceAsyncStub, key_id: str, status: grpc.StatusCode, code: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.CheckKey(access_pb2.CheckKeyRequest(key_id=key_id))
    assert refused.value.code() is status
    assert error_code(refused.value) == code
    assert "inner text" not in (refused.value.details() or "")
    await counted(f'service="probe",status="{status.name}"')


async def test_health_needs_no_token(server: GrpcServer) -> None:
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{server.port}", options=[("grpc.enable_http_proxy", 0)]
    ) as open_channel:
        health = health_pb2_grpc.HealthStub(open_channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=2)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_taken_port_is_named(server: GrpcServer) -> None:
    second = GrpcServer(GrpcSettings(port=server.port, service_token=TOKEN), [], TOKEN)
    with pytest.raises(CannotListen, match=str(server.port)):
        await second.start()
