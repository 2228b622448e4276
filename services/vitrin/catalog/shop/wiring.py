"""Shops in the process of the catalog: which loops run in which role, around one book of secrets."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

import grpc
from starlette.types import ASGIApp

from vitrin.catalog.service_places import Places
from vitrin.catalog.shop.connections import connection_handler
from vitrin.catalog.shop.desk import ShopDesk
from vitrin.catalog.shop.effects import effects_of
from vitrin.catalog.shop.handlers import Effects
from vitrin.catalog.shop.parts import DoorParts, Wakes, WorkerParts, cipher_of, spool_of
from vitrin.catalog.shop.secret_book import SecretBook
from vitrin.catalog.shop.settings import ShopSettings
from vitrin.catalog.shop.sources import Sources
from vitrin.events import topics
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.runtime import Runtime
from vitrin.kit.seal import Sealer
from vitrin.platforms.registry import SHOPS
from vitrin.platforms.shop import ShopSpec
from vitrin.protos.accounts.v1.connection_pb2_grpc import ConnectionServiceStub


class Shops:
    """`effects` None: all that this release does. Raises KeyRingInvalid."""

    def __init__(
        self,
        settings: ShopSettings,
        runtime: Runtime,
        *,
        accounts: grpc.aio.Channel,
        places: Places,
        sealer: Sealer,
        specs: Mapping[str, ShopSpec] = SHOPS,
        effects: Effects | None = None,
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._accounts = accounts
        self._places = places
        self._specs = specs
        self._sealer = sealer
        self._effects = effects
        self._cipher = cipher_of(settings)
        self._wakes = Wakes()
        self._book = SecretBook(ConnectionServiceStub(accounts))
        runtime.loop("shop_secrets", self._book.run)

    def work(self, *, instance: str) -> None:
        """The loops of a worker, and the replica of connections."""
        runtime, http = self._runtime, PlatformHttp()
        runtime.closing(http.close)
        sources = Sources(
            http=http, accounts=ConnectionServiceStub(self._accounts), specs=self._specs, clock=runtime.clock
        )
        parts = WorkerParts(
            settings=self._settings,
            instance=instance,
            database=runtime.worker,
            specs=self._specs,
            sources=sources,
            book=self._book,
            effects=self._effects
            or effects_of(sealer=self._sealer, database=runtime.worker, clock=runtime.clock),
            places=self._places,
            cipher=self._cipher,
            wakes=self._wakes,
            clock=runtime.clock,
        )
        runtime.consumer(
            group="catalog.connections",
            topics=[topics.CONNECTION],
            handler=connection_handler(self._specs, clock=runtime.clock, changed=parts.connection_changed),
            owners={topics.CONNECTION: self._accounts},
        )
        for name, loop in parts.loops:
            runtime.loop(name, loop)

    async def door(self, spools: AsyncExitStack) -> Callable[[ASGIApp], ASGIApp]:
        """Around the application; its spool is open as long as the stack is. Raises SpoolInUse, OSError."""
        spool = await spools.enter_async_context(spool_of(self._settings, self._runtime.clock))
        parts = DoorParts(
            spool=spool,
            database=self._runtime.worker,
            specs=self._specs,
            book=self._book,
            cipher=self._cipher,
            wakes=self._wakes,
            clock=self._runtime.clock,
        )
        self._runtime.loop("shop_mover", parts.mover.run)
        return parts.around

    def desk(self) -> ShopDesk:
        return ShopDesk(
            database=self._runtime.app,
            clock=self._runtime.clock,
            moved=self._wakes.moved,
            tend=self._wakes.tend,
        )
