"""What the shops' way into the catalog is made of, for each role of the process."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp

from vitrin.catalog.service_places import Places
from vitrin.catalog.shop import door
from vitrin.catalog.shop.applier import Applier
from vitrin.catalog.shop.applying_session import ApplyingSessions
from vitrin.catalog.shop.claiming import ShopWork
from vitrin.catalog.shop.handlers import Effects
from vitrin.catalog.shop.intake import Intake
from vitrin.catalog.shop.loading import Loading
from vitrin.catalog.shop.mover import CONSUMER, Mover
from vitrin.catalog.shop.packing import PACKED_HEAD_BYTES_MAX
from vitrin.catalog.shop.reconciling import Reconciling
from vitrin.catalog.shop.secret_book import SecretBook
from vitrin.catalog.shop.settings import ShopSettings
from vitrin.catalog.shop.sources import Sources
from vitrin.catalog.shop.stock_groups import StockGroups
from vitrin.catalog.shop.tending import Tending
from vitrin.catalog.shop.unverified import Unverified
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import TokenCipher
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.ids import ConnectionId
from vitrin.kit.spool import LocalFiles, Spool, SpoolLimits
from vitrin.platforms.shop import ShopSpec

SPOOL: Final = "catalog_webhooks"
_RECORD_BYTES_MAX: Final = door.BODY_BYTES_MAX + PACKED_HEAD_BYTES_MAX
LIMITS: Final = SpoolLimits(
    record_bytes_max=_RECORD_BYTES_MAX,
    batch_bytes_max=2 * _RECORD_BYTES_MAX,
    pending_bytes_max=door.HELD_BYTES_MAX,
)
Loops = Sequence[tuple[str, Callable[[asyncio.Event], Awaitable[None]]]]


def cipher_of(settings: ShopSettings) -> TokenCipher:
    """Raises KeyRingInvalid."""
    return TokenCipher.parse(settings.spool_keys.get_secret_value())


def spool_of(settings: ShopSettings, clock: Clock) -> Spool:
    """Of the process whose door it is; enter it before the door opens."""
    settings.spool_folder.mkdir(parents=True, exist_ok=True)
    return Spool(
        LocalFiles(settings.spool_folder), name=SPOOL, consumers=[CONSUMER], clock=clock, limits=LIMITS
    )


@dataclass(slots=True)
class Wakes:
    """Who is told that there is work in this process."""

    applying: list[Callable[[], None]] = field(default_factory=list)
    tending: list[Callable[[], None]] = field(default_factory=list)

    def moved(self) -> None:
        for wake in self.applying:
            wake()

    def tend(self) -> None:
        for wake in self.tending:
            wake()


class DoorParts:
    """Of a process that answers: the door and the mover, around an open spool."""

    def __init__(
        self,
        *,
        spool: Spool,
        database: WorkerDatabase,
        specs: Mapping[str, ShopSpec],
        book: SecretBook,
        cipher: TokenCipher,
        wakes: Wakes,
        clock: Clock,
    ) -> None:
        unverified = Unverified()
        self._door = {
            "specs": specs,
            "book": book,
            "spool": spool,
            "cipher": cipher,
            "unverified": unverified,
            "clock": clock,
        }
        self.mover = Mover(
            spool=spool,
            database=database,
            specs=specs,
            book=book,
            cipher=cipher,
            unverified=unverified,
            clock=clock,
            moved=wakes.moved,
        )

    def around(self, app: ASGIApp) -> ASGIApp:
        return door.WebhookDoor(app, **self._door)  # type: ignore[arg-type]


class WorkerParts:
    """Of a process that works: the appliers, and who tends the shops."""

    def __init__(
        self,
        *,
        settings: ShopSettings,
        instance: str,
        database: WorkerDatabase,
        specs: Mapping[str, ShopSpec],
        sources: Sources,
        book: SecretBook,
        effects: Effects,
        places: Places,
        cipher: TokenCipher,
        wakes: Wakes,
        clock: Clock,
    ) -> None:
        loading, reconciling = _reading(effects, database=database, places=places, clock=clock)
        applier = Applier(
            database=database,
            specs=specs,
            effects=effects,
            sources=sources,
            places=places,
            cipher=cipher,
            clock=clock,
        )
        stock = None
        if effects.products is not None:
            stock = StockGroups(
                database=database,
                specs=specs,
                applying=effects.products.applying,
                places=places,
                cipher=cipher,
                clock=clock,
            )
        tending = Tending(
            database=database,
            specs=specs,
            sources=sources,
            book=book,
            effects=effects,
            places=places,
            loading=loading,
            reconciling=reconciling,
            settings=settings,
            cipher=cipher,
            clock=clock,
        )
        self.appliers = ShopWork(
            work="deliveries",
            worker=instance,
            database=database,
            session=ApplyingSessions(database=database, applier=applier, stock=stock, clock=clock),
            clock=clock,
            shops_max=settings.shops_at_once,
        )
        self.tending = ShopWork(
            work="tending",
            worker=instance,
            database=database,
            session=tending,
            clock=clock,
            shops_max=settings.tended_at_once,
        )
        self._sources = sources
        self._book = book
        wakes.applying.append(self.appliers.wake)
        wakes.tending.append(self.tending.wake)

    def connection_changed(self, connection: ConnectionId) -> None:
        self._sources.forget(connection)
        self._book.changed()
        self.tending.wake()
        self.appliers.wake()

    @property
    def loops(self) -> Loops:
        return [("shop_deliveries", self.appliers.run), ("shop_tending", self.tending.run)]


def _reading(
    effects: Effects, *, database: WorkerDatabase, places: Places, clock: Clock
) -> tuple[Loading | None, Reconciling | None]:
    products = effects.products
    if products is None:
        return None, None
    intake = Intake(database=database, applying=products.applying, places=places, clock=clock)
    loading = Loading(database=database, intake=intake, known=products.known, clock=clock)
    reconciling = Reconciling(database=database, intake=intake, effects=effects, places=places, clock=clock)
    return loading, reconciling
