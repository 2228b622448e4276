"""Keys of accounts, by gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import grpc

from vitrin.kit.clock import EPOCH, from_us, to_us
from vitrin.kit.grpc.errors import error_code
from vitrin.kit.seal.errors import SealRefused, SealUnavailable
from vitrin.kit.seal.keys import ById, Day, Leased, Person, Receipt, Wanted
from vitrin.protos.accounts.v1 import seal_pb2, seal_pb2_grpc

DEADLINE_S: Final = 2.0
_REFUSALS: Final = (
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
)


class AccountsKeys:
    """The KeySource behind a channel to accounts, which takes 500 in one question."""

    def __init__(self, channel: grpc.aio.Channel, *, deadline_s: float = DEADLINE_S) -> None:
        self._stub = seal_pb2_grpc.SealServiceStub(channel)
        self._deadline_s = deadline_s

    async def lease(self, brand: UUID, wanted: Sequence[Wanted]) -> tuple[list[Leased], float]:
        request = seal_pb2.LeaseKeysRequest(brand_id=str(brand))
        for one in wanted:
            match one.of:
                case Person(subject):
                    request.subjects.add(subject=subject, create=True, happened_at_us=to_us(one.happened_at))
                case Day(day):
                    request.days.add(day=day.isoformat(), create=True)
                case ById(key_id):
                    request.key_ids.append(key_id)
        answer = await self._called(self._stub.LeaseKeys, request)
        people, days, ids = iter(answer.subjects), iter(answer.days), iter(answer.key_ids)
        lists = {Person: people, Day: days, ById: ids}
        return [_leased(next(lists[type(one.of)])) for one in wanted], float(answer.good_for_s)

    async def destroy(self, brand: UUID, subjects: Sequence[str], *, actor: str) -> list[Receipt]:
        request = seal_pb2.DestroySubjectsRequest(brand_id=str(brand), subjects=subjects, actor=actor)
        answer = await self._called(self._stub.DestroySubjects, request)
        return [
            Receipt(
                destroyed_at=from_us(one.destroyed_at_us) or EPOCH,
                leases_end_at=from_us(one.leases_end_at_us) or EPOCH,
                last_at=from_us(one.last_at_us) or EPOCH,
                keys=one.keys,
            )
            for one in answer.receipts
        ]

    async def _called(self, call: Any, request: Any) -> Any:
        try:
            return await call(request, timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            if error.code() in _REFUSALS:
                raise SealRefused(error.details() or "", reason=error_code(error)) from None
            raise SealUnavailable(f"Accounts: {error.code().name}.") from None


def _leased(one: seal_pb2.LeasedKey) -> Leased:
    match one.state:
        case seal_pb2.KEY_STATE_LIVE:
            return Leased("live", one.key_id, one.key, from_us(one.destroyed_at_us))
        case seal_pb2.KEY_STATE_DESTROYED:
            return Leased("destroyed", one.key_id, destroyed_at=from_us(one.destroyed_at_us))
        case _:
            return Leased("unknown")
