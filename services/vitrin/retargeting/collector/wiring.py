"""The collector in the process of retargeting: what the door and the carrier are made of, around one open spool."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

import grpc
from starlette.types import ASGIApp

from vitrin.events import topics
from vitrin.kit.access import ReplicaDirectory
from vitrin.kit.access.uses import KeyUses
from vitrin.kit.clock import Clock
from vitrin.kit.errors import Unavailable
from vitrin.kit.http.app import Readiness
from vitrin.kit.http.rate_limit import Quota
from vitrin.kit.kafka.declared import load_topics
from vitrin.kit.kafka.hints import HintSender
from vitrin.kit.kafka.producer import OrderedProducer
from vitrin.kit.runtime import Runtime
from vitrin.kit.seal import AccountsKeys, Sealer, SpoolSeal
from vitrin.kit.spool import LocalFiles, Spool, SpoolFiles, SpoolLimits
from vitrin.retargeting.collector.carrier import CONSUMER, Carrier
from vitrin.retargeting.collector.door import DoorParts, EventDoor
from vitrin.retargeting.collector.keys import DoorKeys
from vitrin.retargeting.collector.packing import HEAD_BYTES_MAX
from vitrin.retargeting.collector.recent import RecentIds
from vitrin.retargeting.collector.request import BODY_BYTES_MAX, BODY_S, HELD_BYTES_MAX
from vitrin.retargeting.collector.tally import Tally
from vitrin.retargeting.service.sources import KeyLook
from vitrin.retargeting.settings import CollectorSettings

SPOOL: Final = "storefront_events"
EVENTS_GROUP: Final = "retargeting.events"
GROUPS: Final = (EVENTS_GROUP,)
"""Every consumer group of storefront.event.v1: the spool keeps what one of them has not stored."""
_RECORD_BYTES_MAX: Final = 2 * BODY_BYTES_MAX + HEAD_BYTES_MAX
"""Segment's shape becomes ours before it is kept, which may be longer."""


def limits_of(settings: CollectorSettings) -> SpoolLimits:
    return SpoolLimits(
        record_bytes_max=_RECORD_BYTES_MAX,
        batch_bytes_max=2 * _RECORD_BYTES_MAX,
        pending_bytes_max=HELD_BYTES_MAX,
        total_bytes_max=settings.spool_bytes_max,
        keep_s=settings.spool_keep_h * 3600,
    )


def spool_of(settings: CollectorSettings, clock: Clock, files: SpoolFiles | None = None) -> Spool:
    """Of the process whose door it is; enter it before the door opens."""
    folder = settings.spool_folder / "events"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Spool(
        files or LocalFiles(folder), name=SPOOL, consumers=[CONSUMER], clock=clock, limits=limits_of(settings)
    )


def partitions() -> int:
    """As declared: the number never changes, since a visitor's place depends on it."""
    return next(spec.partitions for spec in load_topics() if spec.name == topics.STOREFRONT_EVENT)


def seal_of(settings: CollectorSettings) -> SpoolSeal:
    """Raises KeyRingInvalid."""
    return SpoolSeal.parse(settings.spool_keys.get_secret_value())


class Collector:
    """Around an open spool. Raises KeyRingInvalid."""

    def __init__(
        self,
        settings: CollectorSettings,
        runtime: Runtime,
        *,
        spool: Spool,
        directory: ReplicaDirectory,
        accounts: grpc.aio.Channel,
        uses: KeyUses | None = None,
        groups: Sequence[str] = GROUPS,
        body_s: float = BODY_S,
    ) -> None:
        seal = seal_of(settings)
        self.spool = spool
        self.keys = DoorKeys(
            directory=directory,
            look=KeyLook(database=runtime.app, directory=directory),
            folder=settings.spool_folder,
            clock=runtime.clock,
        )
        self.keys.load()
        self.carrier = Carrier(
            spool=spool,
            seal=seal,
            sealer=Sealer(AccountsKeys(accounts)),
            producer=OrderedProducer(runtime.kafka, client_id="retargeting-collector"),
            hints=HintSender(runtime.app.settings),
            probe=runtime.probe,
            database=runtime.worker,
            groups=groups,
            partitions=partitions(),
            clock=runtime.clock,
        )
        tally = Tally(database=runtime.worker, clock=runtime.clock)
        self._parts = DoorParts(
            keys=self.keys,
            spool=spool,
            seal=seal,
            recent=RecentIds(),
            tally=tally,
            quota=Quota(requests_max=settings.key_requests_max, window_s=settings.key_window_s),
            clock=runtime.clock,
            carrier=self.carrier if settings.ack == "kafka" else None,
            ack_s=settings.ack_s,
            uses=uses,
            proxy_hops=settings.proxy_hops,
            body_s=body_s,
        )
        runtime.loop("carrier", self.carrier.run)
        runtime.loop("door_keys", self.keys.run)
        runtime.loop("event_counts", tally.run)

    def around(self, app: ASGIApp) -> ASGIApp:
        return EventDoor(app, self._parts)

    def ready(self, replica: Readiness) -> Readiness:
        """Readiness of a process that only answers: it can check keys, or holds some. PostgreSQL and Kafka may be away:
        events are taken all the same."""

        async def check() -> None:
            try:
                await replica()
            except Unavailable:
                if not self.keys.count:
                    raise

        return check


async def opened(settings: CollectorSettings, clock: Clock, spools: AsyncExitStack) -> Spool:
    """Open as long as the stack is. Raises SpoolInUse, OSError."""
    return await spools.enter_async_context(spool_of(settings, clock))
