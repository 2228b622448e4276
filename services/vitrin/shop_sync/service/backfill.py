"""The first sync of a channel: the brand's items in key order, in chunks, resumable where it stopped."""

from typing import Final

from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.shop_sync.domain.values import Channel
from vitrin.shop_sync.repository import channels, replica, work
from vitrin.shop_sync.service.desired import Desires
from vitrin.shop_sync.service.outcomes import Outcomes

CHUNK_ITEMS: Final = 500


class Backfill:
    def __init__(self, *, desires: Desires, outcomes: Outcomes, clock: Clock) -> None:
        self._desires = desires
        self._outcomes = outcomes
        self._clock = clock

    async def next_chunk(self, channel: Channel) -> None:
        async def chunk(tx: WriteSession) -> None:
            await replica.share_brands(tx, [channel.brand_id])
            held = await channels.get(tx, channel.brand_id, channel.channel_id)
            if held is None or held.state != "active" or held.sync_finished_at is not None:
                return
            now = self._clock()
            total = held.sync_total or await replica.count(tx, held.brand_id)
            found = await replica.lock_after(
                tx, held.brand_id, after=held.sync_cursor or "", limit=CHUNK_ITEMS
            )
            due = await self._desires.set(tx, channels=[held], replicas=found, now=now, backlog=True)
            known = sum(1 for part in found.values() if part.content.version > 0)
            await channels.progress(
                tx,
                held,
                cursor=max((item_id for _, item_id in found), default=held.sync_cursor or ""),
                done=held.sync_done + known,
                total=total,
                now=now,
                finished=len(found) < CHUNK_ITEMS,
            )
            await work.make_due(tx, due, now)

        await self._outcomes.transaction(channel.brand_id, chunk)
