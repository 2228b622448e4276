from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest

from tests.accounts.conftest import SERVICE_TOKEN, MovingClock, Shop
from vitrin.kit.clock import system_clock, to_us
from vitrin.kit.grpc import GrpcServer, channel, error_code
from vitrin.protos.accounts.v1 import (
    access_pb2,
    access_pb2_grpc,
    connection_pb2,
    connection_pb2_grpc,
    events_pb2,
)


@pytest.fixture
async def open_channel(rpc: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with channel(f"127.0.0.1:{rpc.port}", SERVICE_TOKEN) as opened:
        yield opened


@pytest.fixture
def leases(open_channel: grpc.aio.Channel) -> connection_pb2_grpc.ConnectionServiceAsyncStub:
    return connection_pb2_grpc.ConnectionServiceStub(open_channel)


def lease(shop: Shop, connection_id: str, min_valid_s: int = 0) -> connection_pb2.LeaseTokenRequest:
    return connection_pb2.LeaseTokenRequest(
        brand_id=shop.id, connection_id=connection_id, min_valid_s=min_valid_s
    )


async def refusal(call: Any) -> tuple[grpc.StatusCode, str | None]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), error_code(refused.value)


async def test_check_key_tells_key_and_brand(shop: Shop, open_channel: grpc.aio.Channel) -> None:
    stub = access_pb2_grpc.AccessServiceStub(open_channel)
    key_id = shop.test.split("_")[2]
    answer = await stub.CheckKey(access_pb2.CheckKeyRequest(key_id=key_id))
    assert (answer.found, answer.key.key_id, answer.key.brand_id) == (True, key_id, shop.id)
    assert (answer.key.mode, answer.key.role) == (events_pb2.KEY_MODE_TEST, "owner")
    assert answer.brand.slug == shop.brand["slug"]
    assert (await stub.CheckKey(access_pb2.CheckKeyRequest(key_id="nobody"))).found is False


async def test_a_lease_gives_the_token_and_its_end(
    shop: Shop, leases: connection_pb2_grpc.ConnectionServiceAsyncStub
) -> None:
    made = (await shop.connect(access_token="plat-1", external_ids={"catalog_id": "9"})).json()
    before = to_us(system_clock() + timedelta(seconds=600))
    answer = await leases.LeaseToken(lease(shop, made["id"]))
    after = to_us(system_clock() + timedelta(seconds=600))
    assert (answer.access_token, answer.base_url) == ("plat-1", made["base_url"])
    assert dict(answer.external_ids) == {"catalog_id": "9"}
    assert answer.expires_at_us == 0
    assert before <= answer.lease_until_us <= after


async def test_the_last_minutes_are_lent_with_their_true_end(
    shop: Shop, leases: connection_pb2_grpc.ConnectionServiceAsyncStub
) -> None:
    end = system_clock() + timedelta(minutes=5)
    made = (await shop.connect(expires_at=end.isoformat())).json()
    answer = await leases.LeaseToken(lease(shop, made["id"]))
    assert (answer.lease_until_us, answer.expires_at_us) == (to_us(end), to_us(end))
    status = await refusal(leases.LeaseToken(lease(shop, made["id"], 600)))
    assert status == (grpc.StatusCode.FAILED_PRECONDITION, "token_expires_soon")
    assert (await shop.call("GET", f"/v1/connections/{made['id']}")).json()["state"] == "active"


async def test_an_expired_token_is_not_lent_and_moves_the_state(
    shop: Shop, leases: connection_pb2_grpc.ConnectionServiceAsyncStub, clock: MovingClock
) -> None:
    end = system_clock() + timedelta(minutes=5)
    made = (await shop.connect(expires_at=end.isoformat())).json()
    clock.ahead = timedelta(minutes=6)
    for _ in range(2):
        status = await refusal(leases.LeaseToken(lease(shop, made["id"])))
        assert status == (grpc.StatusCode.FAILED_PRECONDITION, "token_expired")
    read = (await shop.call("GET", f"/v1/connections/{made['id']}")).json()
    assert (read["state"], read["version"]) == ("token_expired", 2)


async def test_what_is_not_there_is_not_lent(
    shop: Shop, other: Shop, leases: connection_pb2_grpc.ConnectionServiceAsyncStub
) -> None:
    theirs = (await other.connect()).json()["id"]
    gone = (await shop.connect()).json()["id"]
    await shop.call("DELETE", f"/v1/connections/{gone}")
    for connection_id in (theirs, gone, str(uuid4()), "nonsense"):
        status = await refusal(leases.LeaseToken(lease(shop, connection_id)))
        assert status == (grpc.StatusCode.NOT_FOUND, "connection_not_found")


async def test_a_platforms_refusal_is_kept_until_a_new_token_comes(
    shop: Shop, leases: connection_pb2_grpc.ConnectionServiceAsyncStub
) -> None:
    made = (await shop.connect()).json()
    report = connection_pb2.ReportStateRequest(
        brand_id=shop.id, connection_id=made["id"], state="refused", code="190", message="no permission"
    )
    for _ in range(2):
        await leases.ReportState(report)
    path = f"/v1/connections/{made['id']}"
    read = (await shop.call("GET", path)).json()
    assert (read["state"], read["last_error"], read["version"]) == ("refused", "190: no permission", 2)
    status = await refusal(leases.LeaseToken(lease(shop, made["id"])))
    assert status == (grpc.StatusCode.FAILED_PRECONDITION, "connection_refused")
    await shop.call("PATCH", path, {"access_token": "new"})
    assert (await leases.LeaseToken(lease(shop, made["id"]))).access_token == "new"
    assert (await shop.call("GET", path)).json()["last_error"] == ""


async def test_only_known_states_are_reported(
    shop: Shop, leases: connection_pb2_grpc.ConnectionServiceAsyncStub
) -> None:
    made = (await shop.connect()).json()
    for state in ("deleted", "happy", ""):
        request = connection_pb2.ReportStateRequest(brand_id=shop.id, connection_id=made["id"], state=state)
        assert (await refusal(leases.ReportState(request)))[1] == "state_unknown"
    assert (await shop.call("GET", f"/v1/connections/{made['id']}")).json()["version"] == 1
