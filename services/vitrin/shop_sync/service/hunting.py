"""The hunt for the culprits of a batch that the platform refused without naming anybody.

`kit.delivery.bisect` decides; here the hunt and its items are stored, so that a kill at any moment costs calls, never
an item: what a hunt no longer knows is released to the ordinary batches, and no blame follows from what is in doubt.
The order of writes is: the hunt, then its items; the hunt's row goes last.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.kit.delivery import bisect
from vitrin.kit.delivery.bisect import Hunt, Step
from vitrin.kit.ids import new_uuid
from vitrin.kit.logs import get_logger
from vitrin.shop_sync.domain import sync
from vitrin.shop_sync.domain.sync import Facts, Reason
from vitrin.shop_sync.domain.values import Attempt, Channel, ChannelItem, StoredHunt
from vitrin.shop_sync.domain.words import batch_refused
from vitrin.shop_sync.repository import hunts, items
from vitrin.shop_sync.service import metrics
from vitrin.shop_sync.service.outcomes import Outcomes
from vitrin.shop_sync.service.recording import Recorder

_log = get_logger("vitrin.shop_sync.hunting")


class Hunting:
    def __init__(self, *, outcomes: Outcomes, clock: Clock) -> None:
        self._outcomes = outcomes
        self._clock = clock

    async def begin(self, channel: Channel, attempt: Attempt, reason: Reason, *, prices: bool) -> None:
        """An ordinary batch was refused as a whole. A batch of one is its own culprit, without a hunt."""
        if attempt.items == 1:
            await self._outcomes.decide(channel, attempt, lambda row: sync.refused(row.facts, (reason,)))
            await self._outcomes.close(channel, attempt)
            return
        stored = await self._outcomes.transaction(
            channel.brand_id, lambda tx: self._create(tx, channel, attempt, reason, prices=prices)
        )
        note = batch_refused(attempt.items, reason.message)
        await self._outcomes.decide(
            channel, attempt, lambda row: sync.suspected(row.facts, stored.hunt_id, note)
        )
        await self._outcomes.close(channel, attempt)
        metrics.HUNTS.labels(channel.platform).inc()
        _log.warning("batch_refused", channel=str(channel.channel_id), items=attempt.items, code=reason.code)

    async def _create(
        self, tx: WriteSession, channel: Channel, attempt: Attempt, reason: Reason, *, prices: bool
    ) -> StoredHunt:
        flying = await items.sent(tx, channel.brand_id, attempt.attempt_id)
        now = self._clock()
        stored = StoredHunt(
            hunt_id=new_uuid(),
            brand_id=channel.brand_id,
            channel_id=channel.channel_id,
            hunt=bisect.start(sorted(row[0] for row in flying), reason.code).hunt,
            reasons=(reason,),
            items=attempt.items,
            prices=prices,
            calls=0,
            attempt_id=attempt.attempt_id,
            created_at=now,
            updated_at=now,
        )
        await hunts.create(tx, stored)
        return stored

    async def next_probe(
        self, tx: WriteSession, channel: Channel
    ) -> tuple[StoredHunt, list[ChannelItem]] | None:
        """The hunt whose turn it is and the items of its next call, locked; `sent` must follow in this transaction.

        What changed since is no part of it any more; a call whose answer was lost counts for nothing.
        """
        stored = await hunts.ready(tx, channel)
        if stored is None:
            return None
        rows = {row.item_id: row for row in await items.lock_hunt(tx, channel, stored.hunt_id)}
        step = _without(stored.hunt, rows)
        if step.hunt.under_way:
            step = replace(step, hunt=bisect.unanswered(step.hunt))
        held = set(step.hunt.ids)
        await self._free(tx, channel, [row for name, row in rows.items() if name not in held])
        if step.hunt.is_over:
            await hunts.end(tx, stored)
            return None
        stored = replace(stored, hunt=step.hunt)
        return stored, [rows[name] for name in bisect.next_probe(step.hunt)]

    async def _free(self, tx: WriteSession, channel: Channel, rows: Sequence[ChannelItem]) -> None:
        recorder = Recorder({channel.channel_id: channel}, self._clock())
        for row in rows:
            recorder.move(row, sync.released(row.facts))
        await recorder.flush(tx)

    async def sent(self, tx: WriteSession, stored: StoredHunt, attempt: Attempt) -> None:
        """The call carries the first `attempt.items` of the probe."""
        hunt = replace(stored.hunt, probe_max=attempt.items)
        under_way = replace(bisect.sent(hunt), probe_max=stored.hunt.probe_max)
        fresh = replace(
            stored,
            hunt=under_way,
            attempt_id=attempt.attempt_id,
            calls=stored.calls + 1,
            updated_at=self._clock(),
        )
        await hunts.save(tx, fresh)

    async def taken(self, channel: Channel, stored: StoredHunt, attempt: Attempt) -> None:
        """The platform took the probe and refused nobody of it: the culprit is among the others."""

        async def take(tx: WriteSession) -> None:
            found = await self._under_way(tx, channel, stored, attempt)
            if found is None:
                return
            current, rows = found
            await items.leave_hunt(tx, channel.brand_id, attempt.attempt_id)
            step = bisect.accepted(current.hunt)
            culprits = [rows[name] for name in step.culprits]
            await self._convict(tx, channel, current, culprits, current.reasons)
            others = [row for name, row in rows.items() if name not in step.accepted]
            await self._save(tx, replace(current, attempt_id=None), step, others)

        await self._outcomes.transaction(channel.brand_id, take)

    async def refused(self, channel: Channel, stored: StoredHunt, attempt: Attempt, reason: Reason) -> None:
        """The platform refused the probe, again without a name: the others are released."""

        async def narrow(tx: WriteSession) -> None:
            found = await self._under_way(tx, channel, stored, attempt)
            if found is None:
                return
            current, rows = found
            step = bisect.refused(current.hunt, reason.code)
            await self._blame(tx, channel, current=current, step=step, rows=rows, reason=reason)

        await self._outcomes.transaction(channel.brand_id, narrow)
        await self._wait_again(channel, attempt, stored, reason)

    async def too_large(self, channel: Channel, stored: StoredHunt, attempt: Attempt, reason: Reason) -> None:
        """Says nothing about guilt, but for an item that is too large alone."""

        async def shrink(tx: WriteSession) -> None:
            found = await self._under_way(tx, channel, stored, attempt)
            if found is None:
                return
            current, rows = found
            step = bisect.too_large(current.hunt, reason.code)
            await self._blame(tx, channel, current=current, step=step, rows=rows, reason=reason)

        await self._outcomes.transaction(channel.brand_id, shrink)
        await self._wait_again(channel, attempt, stored, reason)

    async def _blame(
        self,
        tx: WriteSession,
        channel: Channel,
        *,
        current: StoredHunt,
        step: Step,
        rows: dict[str, ChannelItem],
        reason: Reason,
    ) -> None:
        culprits = [rows[name] for name in step.culprits]
        await self._convict(tx, channel, current, culprits, (reason,))
        await self._free(tx, channel, [rows[name] for name in step.released])
        await self._save(tx, replace(current, reasons=(reason,)), step, list(rows.values()))

    async def _wait_again(
        self, channel: Channel, attempt: Attempt, stored: StoredHunt, reason: Reason
    ) -> None:
        note = batch_refused(stored.items, reason.message)

        def again(row: ChannelItem) -> Facts:
            return sync.requeue(row.facts, (note,) if row.facts.hunt_id == stored.hunt_id else ())

        await self._outcomes.decide(channel, attempt, again)
        await self._outcomes.close(channel, attempt)

    async def _under_way(
        self, tx: WriteSession, channel: Channel, stored: StoredHunt, attempt: Attempt
    ) -> tuple[StoredHunt, dict[str, ChannelItem]] | None:
        """The hunt as it stands now, without what changed meanwhile; None when this call is no longer its own."""
        current = await hunts.lock(tx, channel.brand_id, stored.hunt_id)
        if current is None or current.attempt_id != attempt.attempt_id or not current.hunt.under_way:
            return None
        rows = {row.item_id: row for row in await items.lock_hunt(tx, channel, stored.hunt_id)}
        return replace(current, hunt=_without(current.hunt, rows).hunt), rows

    async def _convict(
        self,
        tx: WriteSession,
        channel: Channel,
        current: StoredHunt,
        rows: Sequence[ChannelItem],
        reasons: tuple[Reason, ...],
    ) -> None:
        recorder = Recorder({channel.channel_id: channel}, self._clock())
        for row in rows:
            flying = row.facts.in_flight is not None
            facts = sync.refused(row.facts, reasons) if flying else sync.convicted(row.facts, reasons)
            row.flight = None
            recorder.move(row, facts, attempt_id=current.attempt_id)
            metrics.CULPRITS.labels(channel.platform).inc()
        await recorder.flush(tx)

    async def _save(
        self, tx: WriteSession, current: StoredHunt, step: Step, rows: Sequence[ChannelItem]
    ) -> None:
        if step.hunt.is_over and not any(row.facts.hunt_id for row in rows):
            await hunts.end(tx, current)
            return
        await hunts.save(tx, replace(current, hunt=step.hunt, updated_at=self._clock()))


def _without(hunt: Hunt, present: Collection[str]) -> Step:
    """The hunt after those left whose rows do not name it any more."""
    return bisect.left(hunt, [name for name in hunt.ids if name not in present])
