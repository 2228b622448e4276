"""Opening shops with a leased token, and telling accounts what a shop said of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import grpc

from vitrin.catalog.shop.repository_shops import ShopRow
from vitrin.kit.clock import Clock, from_us
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.ids import ConnectionId
from vitrin.kit.logs import get_logger
from vitrin.platforms.base import ChannelMisconfigured, FailureKind, PlatformFailure
from vitrin.platforms.shop import ShopSource, ShopSpec
from vitrin.protos.accounts.v1.connection_pb2 import LeaseTokenRequest, ReportStateRequest

if TYPE_CHECKING:
    from vitrin.protos.accounts.v1.connection_pb2_grpc import ConnectionServiceAsyncStub

UNINSTALLED: Final = "uninstalled"
"""An accounts of an earlier release does not know the state; to it the token was refused."""
LEASE_MARGIN: Final = timedelta(seconds=60)
REFUSALS: Final = frozenset({FailureKind.AUTH})
"""The token does not work. A permission that is missing concerns one call only."""
_FINAL: Final = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION})
_log = get_logger("vitrin.catalog.shop_sources")


class ShopClosedNow(Exception):
    """The shop cannot be asked until its connection changes. `problem`: code, message, fix."""

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(f"{code}: {message}")
        self.problem = {"code": code, "message": message, "fix": fix}


class ShopAway(Exception):
    """Accounts gave no token now: try again later."""


@dataclass(frozen=True, slots=True)
class _Open:
    version: int
    source: ShopSource
    until: datetime


class Sources:
    """Open shops, kept as long as their lease and version last."""

    def __init__(
        self,
        *,
        http: PlatformHttp,
        accounts: "ConnectionServiceAsyncStub",
        specs: Mapping[str, ShopSpec],
        clock: Clock,
    ) -> None:
        self._http = http
        self._accounts = accounts
        self._specs = specs
        self._clock = clock
        self._open: dict[ConnectionId, _Open] = {}

    def forget(self, connection: ConnectionId) -> None:
        self._open.pop(connection, None)

    async def open(self, row: ShopRow) -> ShopSource:
        """Raises ShopClosedNow, ShopAway."""
        held = self._open.get(row.connection_id)
        if held is not None and held.version == row.version and self._clock() < held.until:
            return held.source
        try:
            lease = await self._accounts.LeaseToken(
                LeaseTokenRequest(brand_id=str(row.brand_id), connection_id=str(row.connection_id))
            )
        except grpc.aio.AioRpcError as error:
            detail = error.details() or error.code().name
            if error.code() in _FINAL:
                raise ShopClosedNow("token_refused", detail, "Connect the shop again.") from None
            raise ShopAway(detail) from None
        try:
            source = self._specs[row.platform].open_shop(
                http=self._http,
                access_token=lease.access_token,
                external_ids=dict(row.external_ids),
                base_url=lease.base_url or row.base_url or None,
                brand=str(row.brand_id),
            )
        except ChannelMisconfigured as wrong:
            raise ShopClosedNow(wrong.code, wrong.message, wrong.fix) from None
        until = (from_us(lease.lease_until_us) or self._clock()) - LEASE_MARGIN
        self._open[row.connection_id] = _Open(row.version, source, until)
        return source

    async def report(self, row: ShopRow, failure: PlatformFailure, *, state: str = "token_expired") -> None:
        """Accounts hears what the shop said of the token. A lost report is only logged: it is told again at the next
        try."""
        self.forget(row.connection_id)
        for said in (state, "refused") if state == UNINSTALLED else (state,):
            request = ReportStateRequest(
                brand_id=str(row.brand_id),
                connection_id=str(row.connection_id),
                state=said,
                code=state if state == UNINSTALLED else failure.code,
                message=failure.message,
            )
            try:
                await self._accounts.ReportState(request)
            except grpc.aio.AioRpcError as error:
                _log.warning("report_lost", connection=str(row.connection_id), status=error.code().name)
                if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                    return
            else:
                return
