"""The secrets that sign webhooks, in memory: a signature is checked while nothing else answers.

Filled from accounts at start, again before accounts' word runs out, and for single shops when they change or are asked
for. While accounts is away what is known stays."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

import grpc

from vitrin.catalog.shop import metrics
from vitrin.kit.ids import BrandId, ConnectionId
from vitrin.kit.logs import get_logger
from vitrin.protos.accounts.v1.connection_pb2 import LeaseShopSecretsRequest, ShopSecrets

if TYPE_CHECKING:
    from vitrin.protos.accounts.v1.connection_pb2_grpc import ConnectionServiceAsyncStub

RETRY_S: Final = 1.0
ASK_S: Final = 1.0
"""Longest that a webhook waits for accounts."""
ASKED_AGAIN_S: Final = 10.0
"""So long one connection is not asked for again: forged webhooks make no calls."""
ASKS_AT_ONCE: Final = 4
ASKED_MAX: Final = 10_000
REFRESH_MIN_S: Final = 5.0
REFRESH_MAX_S: Final = 300.0
_log = get_logger("vitrin.catalog.shop_secrets")


@dataclass(frozen=True, slots=True)
class KnownShop:
    brand: BrandId
    connection: ConnectionId
    platform: str
    names: frozenset[str]
    """Values of its external ids: acme.myshopify.com."""
    secrets: tuple[str, ...] = field(repr=False)


class BookUnavailable(Exception):
    """Accounts did not answer, or was asked a moment ago."""


class SecretBook:
    """`refresh_max_s`: all are asked for again at least so often."""

    def __init__(
        self,
        accounts: "ConnectionServiceAsyncStub",
        *,
        refresh_max_s: float = REFRESH_MAX_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._accounts = accounts
        self._refresh_max_s = refresh_max_s
        self._monotonic = monotonic
        self._shops: dict[ConnectionId, KnownShop] = {}
        self._asked: dict[ConnectionId, float] = {}
        self._asking = asyncio.Semaphore(ASKS_AT_ONCE)
        self._woken = asyncio.Event()
        self._completed_at: float | None = None
        self.complete = asyncio.Event()
        """All shops have been told once."""

    def get(self, connection: ConnectionId) -> KnownShop | None:
        return self._shops.get(connection)

    def named(self, platform: str, name: str) -> list[KnownShop]:
        """The shops of that address: several brands may have connected one."""
        return [one for one in self._shops.values() if one.platform == platform and name in one.names]

    def secrets_of(self, platform: str) -> Collection[str]:
        """Of all shops of a kind; with a house app they are few."""
        return {secret for one in self._shops.values() if one.platform == platform for secret in one.secrets}

    def changed(self) -> None:
        """A connection changed: all are asked for soon."""
        self._woken.set()

    async def ask(self, connection: ConnectionId) -> KnownShop | None:
        """What accounts says of one shop now; None: it is none. Raises BookUnavailable."""
        now = self._monotonic()
        if now - self._asked.get(connection, -ASKED_AGAIN_S) < ASKED_AGAIN_S:
            if self.complete.is_set():
                return self._shops.get(connection)
            raise BookUnavailable
        if len(self._asked) >= ASKED_MAX:
            self._asked.clear()
        self._asked[connection] = now
        try:
            async with asyncio.timeout(ASK_S), self._asking:
                found, _ = await self._lease([connection])
        except (grpc.aio.AioRpcError, TimeoutError):
            self._asked.pop(connection, None)
            raise BookUnavailable from None
        shop = found.get(connection)
        if shop is None:
            self._shops.pop(connection, None)
        else:
            self._shops[connection] = shop
        return shop

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps the book until `stop`."""
        metrics.SECRETS_AGE_SECONDS.set(-1)
        while not stop.is_set():
            self._woken.clear()
            wait_s = await self._refresh()
            if self._completed_at is not None:
                metrics.SECRETS_AGE_SECONDS.set(self._monotonic() - self._completed_at)
            waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(self._woken.wait())]
            await asyncio.wait(waiting, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _refresh(self) -> float:
        """Seconds until the next time."""
        try:
            found, good_for_s = await self._lease([])
        except grpc.aio.AioRpcError as error:
            _log.warning("shop_secrets_kept", shops=len(self._shops), status=error.code().name)
            return RETRY_S
        self._shops = found
        self._completed_at = self._monotonic()
        self.complete.set()
        return min(max(good_for_s / 2, REFRESH_MIN_S), self._refresh_max_s)

    async def _lease(self, connections: list[ConnectionId]) -> tuple[dict[ConnectionId, KnownShop], float]:
        """Raises AioRpcError."""
        request = LeaseShopSecretsRequest(connection_ids=[str(one) for one in connections])
        found: dict[ConnectionId, KnownShop] = {}
        good_for_s = self._refresh_max_s
        async for page in self._accounts.LeaseShopSecrets(request):
            if page.good_for_s:
                good_for_s = min(good_for_s, page.good_for_s)
            for one in page.shops:
                shop = _known(one)
                found[shop.connection] = shop
        return found, good_for_s


def _known(told: ShopSecrets) -> KnownShop:
    ids: Mapping[str, str] = told.external_ids
    return KnownShop(
        brand=BrandId(UUID(told.brand_id)),
        connection=ConnectionId(UUID(told.connection_id)),
        platform=told.platform,
        names=frozenset(ids.values()),
        secrets=tuple(told.secrets),
    )
