"""A platform that does not take the token: the channel stops until somebody repairs its connection."""

from vitrin.platforms.base import CatalogChannel, FailureKind, PlatformFailure
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.service.catalogs import Catalogs
from vitrin.shop_sync.service.outcomes import Outcomes

NEEDS_SOMEBODY = frozenset({FailureKind.AUTH, FailureKind.PERMISSION})


class Attention:
    def __init__(self, *, outcomes: Outcomes, catalogs: Catalogs) -> None:
        self._outcomes = outcomes
        self._catalogs = catalogs

    async def hear(self, channel: Channel, catalog: CatalogChannel, failure: PlatformFailure) -> None:
        """Does nothing for other failures, nor for what a platform says of an older token."""
        if failure.kind not in NEEDS_SOMEBODY or not self._catalogs.is_current(channel, catalog):
            return
        expired = failure.kind is FailureKind.AUTH
        reason = f"{failure.code}: {failure.message} {failure.fix}".strip()
        await self._outcomes.needs_attention(channel, reason)
        await self._catalogs.report(
            channel,
            state="token_expired" if expired else "refused",
            code=failure.code,
            message=failure.message,
        )
