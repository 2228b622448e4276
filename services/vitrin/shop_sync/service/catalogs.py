"""Opening platform catalogs: without a token to render, with a leased token to talk."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import grpc

from vitrin.events.envelope import from_us
from vitrin.kit.clock import Clock
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.ids import BrandId, ConnectionId
from vitrin.kit.logs import get_logger
from vitrin.platforms.base import CatalogChannel, ChannelMisconfigured
from vitrin.platforms.registry import PLATFORMS
from vitrin.protos.accounts.v1.connection_pb2 import LeaseTokenRequest, LeaseTokenResponse, ReportStateRequest
from vitrin.shop_sync.domain.values import Channel

if TYPE_CHECKING:
    from vitrin.protos.accounts.v1.connection_pb2_grpc import ConnectionServiceAsyncStub

FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)
LEASE_MARGIN: Final = timedelta(seconds=60)
_FINAL: Final = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION})
_log = get_logger("vitrin.shop_sync.catalogs")


class LeaseRefused(Exception):
    """Accounts gives no token for the connection (expired, not active, gone): work stops until it changes."""


class LeaseUnavailable(Exception):
    """Accounts did not answer: try again later."""


@dataclass(frozen=True, slots=True)
class _Open:
    version: tuple[object, ...]
    catalog: CatalogChannel
    until: datetime


def _config(channel: Channel) -> tuple[object, ...]:
    ids = tuple(sorted(channel.external_ids.items()))
    return (channel.platform, channel.base_url, ids, channel.market, channel.language, channel.currency)


class Catalogs:
    """Open catalogs, cached: for rendering as long as their settings last, for talking as long as the lease."""

    def __init__(self, *, http: PlatformHttp, accounts: "ConnectionServiceAsyncStub", clock: Clock) -> None:
        self._http = http
        self._accounts = accounts
        self._clock = clock
        self._renderers: dict[UUID, _Open] = {}
        self._open: dict[ConnectionId, _Open] = {}

    def lists_items(self, platform: str) -> bool:
        """Whether the platform can say what a catalog holds."""
        spec = PLATFORMS.get(platform)
        return spec is not None and spec.capabilities.lists_items

    def renderer(self, channel: Channel) -> CatalogChannel:
        """A catalog for its pure methods. Raises ChannelMisconfigured."""
        held = self._renderers.get(channel.channel_id)
        if held is None or held.version != _config(channel):
            catalog = self._make(channel, token="", base_url=channel.base_url)
            held = _Open(_config(channel), catalog, FOR_EVER)
            self._renderers[channel.channel_id] = held
        return held.catalog

    def opened(self, channel: Channel) -> CatalogChannel | None:
        """A catalog that can talk and was opened before; no I/O."""
        held = self._open.get(channel.connection_id)
        if held is not None and held.version == _config(channel) and self._clock() < held.until:
            return held.catalog
        return None

    async def open(self, channel: Channel) -> CatalogChannel:
        """A catalog that can talk. Raises LeaseRefused, LeaseUnavailable, ChannelMisconfigured."""
        held = self.opened(channel)
        if held is not None:
            return held
        lease = await self._lease(channel.brand_id, channel.connection_id)
        base_url = lease.base_url or channel.base_url
        catalog = self._make(channel, token=lease.access_token, base_url=base_url)
        until = from_us(lease.lease_until_us) - LEASE_MARGIN
        self._open[channel.connection_id] = _Open(_config(channel), catalog, until)
        return catalog

    def is_current(self, channel: Channel, catalog: CatalogChannel) -> bool:
        """False once the connection has changed: what a platform says of an older token is no news."""
        held = self._open.get(channel.connection_id)
        return held is not None and held.catalog is catalog

    def forget(self, connection: ConnectionId) -> None:
        """The connection changed or its token was refused: lease again."""
        self._open.pop(connection, None)

    async def report(self, channel: Channel, *, state: str, code: str, message: str) -> None:
        """Tell accounts what the platform said of the token. A lost report is only logged: the channel stands
        still anyway, and accounts hears it again at the next try."""
        self.forget(channel.connection_id)
        request = ReportStateRequest(
            brand_id=str(channel.brand_id),
            connection_id=str(channel.connection_id),
            state=state,
            code=code,
            message=message,
        )
        try:
            await self._accounts.ReportState(request)
        except grpc.aio.AioRpcError as error:
            _log.warning("report_lost", connection=str(channel.connection_id), status=error.code().name)

    async def _lease(self, brand: BrandId, connection: ConnectionId) -> LeaseTokenResponse:
        try:
            return await self._accounts.LeaseToken(
                LeaseTokenRequest(brand_id=str(brand), connection_id=str(connection))
            )
        except grpc.aio.AioRpcError as error:
            detail = error.details() or error.code().name
            if error.code() in _FINAL:
                raise LeaseRefused(detail) from None
            raise LeaseUnavailable(detail) from None

    def _make(self, channel: Channel, *, token: str, base_url: str) -> CatalogChannel:
        spec = PLATFORMS.get(channel.platform)
        if spec is None:
            raise ChannelMisconfigured(
                "platform_unknown",
                field="platform",
                message=f"There is no platform {channel.platform!r}.",
                fix=f"Choose one of {', '.join(sorted(PLATFORMS))}.",
            )
        return spec.open_channel(
            http=self._http,
            access_token=token,
            external_ids=channel.external_ids,
            market=channel.market,
            language=channel.language,
            currency=channel.currency,
            base_url=base_url or None,
            brand=str(channel.brand_id),
        )
