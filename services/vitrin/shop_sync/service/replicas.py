"""Following catalog: a micro-batch of item and offer messages becomes replica, desired states and due work."""

from collections.abc import Sequence

from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId
from vitrin.protos.catalog.v1.events_pb2 import ItemContent
from vitrin.shop_sync.domain.replica import ItemReplica, join
from vitrin.shop_sync.repository import channels, replica, work
from vitrin.shop_sync.repository.replica import Key
from vitrin.shop_sync.service.desired import Desires
from vitrin.shop_sync.service.waking import Waker


class Replicas:
    def __init__(self, *, desires: Desires, waker: Waker, clock: Clock) -> None:
        self._desires = desires
        self._waker = waker
        self._clock = clock

    async def apply(self, tx: WriteSession, parts: Sequence[tuple[Key, ItemReplica]]) -> None:
        """Join what was heard into the replica; channels of the brand get new desired states for what changed.

        Locks in this order: brands (shared), replicas, ids, channel items, work; each in key order.
        """
        heard: dict[Key, ItemReplica] = {}
        for key, part in parts:
            heard[key] = join(heard.get(key, ItemReplica()), part)
        if not heard:
            return
        brands: list[BrandId] = sorted({brand for brand, _ in heard})
        await replica.share_brands(tx, brands)
        before = await replica.lock(tx, list(heard))
        after = {key: join(before[key], part) for key, part in heard.items()}
        changed = {key: new for key, new in after.items() if new != before[key]}
        if not changed:
            return
        skus = {key: ItemContent.FromString(new.content.payload).sku for key, new in changed.items()}
        await replica.save(tx, before, changed, skus)
        open_channels = await channels.open_of(tx, brands)
        if not open_channels:
            return
        now = self._clock()
        due = await self._desires.set(tx, channels=open_channels, replicas=changed, now=now)
        await work.make_due(tx, due, now)
        self._waker.after(tx, due)
