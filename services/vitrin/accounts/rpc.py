"""The gRPC door: other services check keys and borrow tokens here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import grpc

from vitrin.accounts import events
from vitrin.accounts.errors import BrandNotFound, ConnectionNotFound
from vitrin.accounts.service_leases import Leases, OwnDirectory
from vitrin.accounts.service_outgoing import Switches
from vitrin.accounts.service_shops import GOOD_FOR_S, ShopSecrets
from vitrin.accounts.service_uses import UseBook
from vitrin.kit.access.uses import KeyUse
from vitrin.kit.clock import EPOCH, from_us, to_us
from vitrin.kit.ids import BrandId, ConnectionId, KeyId
from vitrin.protos.accounts.v1 import access_pb2, access_pb2_grpc, connection_pb2, connection_pb2_grpc

ACTOR = "service"
Context = grpc.aio.ServicerContext


class AccessServicer(access_pb2_grpc.AccessServiceServicer):
    def __init__(self, directory: OwnDirectory, switches: Switches, uses: UseBook) -> None:
        self._directory = directory
        self._switches = switches
        self._uses = uses

    async def CheckKey(  # noqa: N802 - the name of the rpc
        self, request: access_pb2.CheckKeyRequest, context: Context[Any, Any]
    ) -> access_pb2.CheckKeyResponse:
        found = await self._directory.find(KeyId(request.key_id))
        if found is None:
            return access_pb2.CheckKeyResponse(found=False)
        key, brand = found
        return access_pb2.CheckKeyResponse(
            found=True, key=events.key_message(key), brand=events.brand_message(brand)
        )

    async def CheckOutgoing(  # noqa: N802 - the name of the rpc
        self, request: access_pb2.CheckOutgoingRequest, context: Context[Any, Any]
    ) -> access_pb2.CheckOutgoingResponse:
        try:
            brand_id = BrandId(UUID(request.brand_id))
        except ValueError:
            raise BrandNotFound from None
        rows = await self._switches.all_of(brand_id)
        return access_pb2.CheckOutgoingResponse(switches=[events.outgoing_message(row) for row in rows])

    async def ReportUse(  # noqa: N802 - the name of the rpc
        self, request: access_pb2.ReportUseRequest, context: Context[Any, Any]
    ) -> access_pb2.ReportUseResponse:
        try:
            uses = [
                KeyUse(KeyId(one.key_id), BrandId(UUID(one.brand_id)), from_us(one.used_at_us) or EPOCH)
                for one in request.uses
            ]
        except ValueError:
            raise BrandNotFound from None
        await self._uses.save(uses)
        return access_pb2.ReportUseResponse()


class ConnectionServicer(connection_pb2_grpc.ConnectionServiceServicer):
    def __init__(self, leases: Leases, shops: ShopSecrets) -> None:
        self._leases = leases
        self._shops = shops

    async def LeaseToken(  # noqa: N802 - the name of the rpc
        self, request: connection_pb2.LeaseTokenRequest, context: Context[Any, Any]
    ) -> connection_pb2.LeaseTokenResponse:
        brand_id, connection_id = _ids(request.brand_id, request.connection_id)
        leased = await self._leases.lease(
            brand_id, connection_id, min_valid_s=request.min_valid_s, actor=ACTOR
        )
        return connection_pb2.LeaseTokenResponse(
            access_token=leased.access_token,
            base_url=leased.row.base_url,
            lease_until_us=to_us(leased.until),
            expires_at_us=to_us(leased.row.expires_at),
            external_ids=leased.row.external_ids,
        )

    async def ReportState(  # noqa: N802 - the name of the rpc
        self, request: connection_pb2.ReportStateRequest, context: Context[Any, Any]
    ) -> connection_pb2.ReportStateResponse:
        brand_id, connection_id = _ids(request.brand_id, request.connection_id)
        error = ": ".join(part for part in (request.code, request.message) if part)
        await self._leases.report(brand_id, connection_id, state=request.state, error=error, actor=ACTOR)
        return connection_pb2.ReportStateResponse()

    async def LeaseShopSecrets(  # noqa: N802 - the name of the rpc
        self, request: connection_pb2.LeaseShopSecretsRequest, context: Context[Any, Any]
    ) -> AsyncIterator[connection_pb2.LeaseShopSecretsResponse]:
        """At least one page, so that who asks knows that this was all."""
        try:
            ids = [UUID(one) for one in request.connection_ids]
        except ValueError:
            raise ConnectionNotFound from None
        some = False
        async for page in self._shops.lease(ids):
            some = True
            yield connection_pb2.LeaseShopSecretsResponse(
                shops=[
                    connection_pb2.ShopSecrets(
                        brand_id=str(one.brand_id),
                        connection_id=str(one.connection_id),
                        platform=one.platform,
                        external_ids=one.external_ids,
                        secrets=one.secrets,
                    )
                    for one in page
                ],
                good_for_s=GOOD_FOR_S,
            )
        if not some:
            yield connection_pb2.LeaseShopSecretsResponse(good_for_s=GOOD_FOR_S)


def _ids(brand_id: str, connection_id: str) -> tuple[BrandId, ConnectionId]:
    """What is no id at all cannot be found either."""
    try:
        return BrandId(UUID(brand_id)), ConnectionId(UUID(connection_id))
    except ValueError:
        raise ConnectionNotFound from None
