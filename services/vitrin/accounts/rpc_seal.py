"""The gRPC door to the keys of personal data."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import grpc

from vitrin.accounts.errors import BrandNotFound
from vitrin.accounts.errors_seal import DayGetsNoKey
from vitrin.accounts.service_seal import DayAsked, Lent, SealKeys, SubjectAsked
from vitrin.kit.clock import from_us, to_us
from vitrin.kit.ids import BrandId
from vitrin.protos.accounts.v1 import seal_pb2, seal_pb2_grpc

ACTOR = "service"
Context = grpc.aio.ServicerContext
_STATES = {
    "live": seal_pb2.KEY_STATE_LIVE,
    "destroyed": seal_pb2.KEY_STATE_DESTROYED,
    "unknown": seal_pb2.KEY_STATE_UNKNOWN,
}
NO_KEY = UUID(int=0)


class SealServicer(seal_pb2_grpc.SealServiceServicer):
    def __init__(self, keys: SealKeys) -> None:
        self._keys = keys

    async def LeaseKeys(  # noqa: N802 - the name of the rpc
        self, request: seal_pb2.LeaseKeysRequest, context: Context[Any, Any]
    ) -> seal_pb2.LeaseKeysResponse:
        lent = await self._keys.lend(
            _brand(request.brand_id),
            subjects=[
                SubjectAsked(one.subject, one.create, from_us(one.happened_at_us)) for one in request.subjects
            ],
            days=[DayAsked(_day(one.day), one.create) for one in request.days],
            key_ids=[_key_id(one) for one in request.key_ids],
        )
        return seal_pb2.LeaseKeysResponse(
            subjects=[_leased(one) for one in lent.subjects],
            days=[_leased(one) for one in lent.days],
            key_ids=[_leased(one) for one in lent.key_ids],
            good_for_s=int(self._keys.rules.lease.total_seconds()),
        )

    async def DestroySubjects(  # noqa: N802 - the name of the rpc
        self, request: seal_pb2.DestroySubjectsRequest, context: Context[Any, Any]
    ) -> seal_pb2.DestroySubjectsResponse:
        receipts = await self._keys.destroy(
            _brand(request.brand_id), list(request.subjects), actor=request.actor or ACTOR
        )
        return seal_pb2.DestroySubjectsResponse(
            receipts=[
                seal_pb2.Destruction(
                    destroyed_at_us=to_us(one.destroyed_at),
                    leases_end_at_us=to_us(one.leases_end_at),
                    last_at_us=to_us(one.last_at),
                    keys=one.keys,
                )
                for one in receipts
            ]
        )


def _leased(lent: Lent) -> seal_pb2.LeasedKey:
    return seal_pb2.LeasedKey(
        state=_STATES[lent.state],
        key_id="" if lent.key_id is None else str(lent.key_id),
        key=lent.key,
        destroyed_at_us=to_us(lent.destroyed_at),
    )


def _brand(text: str) -> BrandId:
    try:
        return BrandId(UUID(text))
    except ValueError:
        raise BrandNotFound from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DayGetsNoKey(f"{text[:40]!r} is no day.") from None


def _key_id(text: str) -> UUID:
    """What is no id at all is unknown too."""
    try:
        return UUID(text)
    except ValueError:
        return NO_KEY
