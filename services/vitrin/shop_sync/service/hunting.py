"""The hunt for the culprits of a batch that the platform refused without naming anybody.

`kit.delivery.bisect` decides; here the hunt and its items are stored, so that a kill at any moment costs calls, never
an item: what a hunt no longer knows is released to the ordinary batches, and no blame follows from what is in doubt.
The order of writes is: the hunt, then its items; the hunt's row goes last.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from vitrin.kit.clock import Clock
from vitrin.kit.db.session import WriteSession
from vitrin.kit.delivery import bisect
from vitrin.kit.delivery.bisect import Hunt, Step
from vitrin.kit.ids import new_uuid
from vitrin.kit.logs import get_logger
from vitrin.platforms.base import Outcome
from vitrin.shop_sync.domain import schedule, sync
from vitrin.shop_sync.domain.sync import Facts, Reason
from vitrin.shop_sync.domain.values import Attempt, Channel, ChannelItem, StoredHunt
from vitrin.shop_sync.domain.words import FAILED_WITHOUT_WORDS, batch_refused, refused_without_words
from vitrin.shop_sync.repository import hunts, items
from vitrin.shop_sync.service import metrics
from vitrin.shop_sync.service.outcomes import Outcomes, Verdicts
from vitrin.shop_sync.service.recording import Recorder

LONE_REFUSALS: Final = 4
"""So often a platform must fail an item alone, without a word, before the item is to blame: it may be unwell."""
REFUSED: Final = Outcome.REFUSED
_log = get_logger("vitrin.shop_sync.hunting")


class Hunting:
    """`alone_again`: so long until what was failed alone without a word is tried again; then twice as long."""

    def __init__(self, *, outcomes: Outcomes, alone_again: timedelta, clock: Clock) -> None:
        self._outcomes = outcomes
        self._alone_again = alone_again
        self._clock = clock

    async def answered(
        self, channel: Channel, attempt: Attempt, verdicts: Verdicts, *, stored: StoredHunt | None
    ) -> int:
        """Store the verdicts of a call. Who was failed without a word may be so for the sake of another, or because the
        platform was unwell: it is sent again in smaller batches, and blamed when it was failed alone LONE_REFUSALS
        times. `stored`: the hunt whose call it was. Answers how many items stay in flight."""
        wordless = frozenset(
            name
            for name, verdict in verdicts.by_id.items()
            if verdict.outcome is REFUSED and not verdict.reasons
        )
        if not wordless or not verdicts.final:
            took_all = all(verdict.outcome is Outcome.ACCEPTED for verdict in verdicts.by_id.values())
            if stored is not None and verdicts.final and took_all:
                await self.taken(channel, stored, attempt)
            return await self._outcomes.verdicts(channel, attempt, verdicts)
        spoken = {name: verdict for name, verdict in verdicts.by_id.items() if name not in wordless}
        if spoken:
            await self._outcomes.verdicts(channel, attempt, replace(verdicts, by_id=spoken, final=False))
        if stored is not None:
            await self._narrow(channel, stored, attempt, FAILED_WITHOUT_WORDS)
        else:
            await self._begin_wordless(channel, attempt, wordless)
        left = await self._outcomes.decide(channel, attempt, lambda row: None)
        await self._outcomes.close(channel, attempt, unknown=left > 0)
        return left

    async def _begin_wordless(self, channel: Channel, attempt: Attempt, wordless: Collection[str]) -> None:
        async def create(tx: WriteSession) -> StoredHunt:
            flying = await items.sent(tx, channel.brand_id, attempt.attempt_id)
            suspects = sorted(row[0] for row in flying if row[1] in wordless)
            hunt = bisect.start(
                suspects,
                FAILED_WITHOUT_WORDS.code,
                alone_min=LONE_REFUSALS,
                was_whole=len(suspects) == attempt.items,
            ).hunt
            return await self._create(tx, channel, attempt, hunt, FAILED_WITHOUT_WORDS, prices=False)

        stored = await self._outcomes.transaction(channel.brand_id, create)
        note = batch_refused(attempt.items, FAILED_WITHOUT_WORDS.message)

        def suspect(row: ChannelItem) -> Facts | None:
            if (row.platform_item_id or "") not in wordless:
                return None
            return sync.suspected(row.facts, stored.hunt_id, note)

        await self._outcomes.decide(channel, attempt, suspect)
        self._tell(channel, attempt, FAILED_WITHOUT_WORDS)

    async def begin(self, channel: Channel, attempt: Attempt, reason: Reason, *, prices: bool) -> None:
        """An ordinary batch was refused as a whole. A batch of one is its own culprit, without a hunt."""
        if attempt.items == 1:
            await self._outcomes.decide(channel, attempt, lambda row: sync.refused(row.facts, (reason,)))
            await self._outcomes.close(channel, attempt)
            return

        async def create(tx: WriteSession) -> StoredHunt:
            flying = await items.sent(tx, channel.brand_id, attempt.attempt_id)
            hunt = bisect.start(sorted(row[0] for row in flying), reason.code).hunt
            return await self._create(tx, channel, attempt, hunt, reason, prices=prices)

        stored = await self._outcomes.transaction(channel.brand_id, create)
        note = batch_refused(attempt.items, reason.message)
        await self._outcomes.decide(
            channel, attempt, lambda row: sync.suspected(row.facts, stored.hunt_id, note)
        )
        await self._outcomes.close(channel, attempt)
        self._tell(channel, attempt, reason)

    def _tell(self, channel: Channel, attempt: Attempt, reason: Reason) -> None:
        metrics.HUNTS.labels(channel.platform).inc()
        _log.warning("batch_refused", channel=str(channel.channel_id), items=attempt.items, code=reason.code)

    async def _create(
        self,
        tx: WriteSession,
        channel: Channel,
        attempt: Attempt,
        hunt: Hunt,
        reason: Reason,
        *,
        prices: bool,
    ) -> StoredHunt:
        now = self._clock()
        stored = StoredHunt(
            hunt_id=new_uuid(),
            brand_id=channel.brand_id,
            channel_id=channel.channel_id,
            hunt=hunt,
            reasons=(reason,),
            items=attempt.items,
            prices=prices,
            calls=0,
            attempt_id=attempt.attempt_id,
            created_at=now,
            updated_at=now,
            due_at=schedule.alone_again(now, hunt.alone, first=self._alone_again),
        )
        await hunts.create(tx, stored)
        return stored

    async def next_probe(
        self, tx: WriteSession, channel: Channel
    ) -> tuple[StoredHunt, list[ChannelItem]] | None:
        """The hunt whose turn it is and the items of its next call, locked; `sent` must follow in this transaction.

        What changed since is no part of it any more; a call whose answer was lost counts for nothing.
        """
        stored = await hunts.ready(tx, channel, now=self._clock())
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
            due_at=None,
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
        """The platform refused the probe at its door, again without a name: the others are released."""
        await self._narrow(channel, stored, attempt, reason)
        await self._outcomes.close(channel, attempt)

    async def _narrow(self, channel: Channel, stored: StoredHunt, attempt: Attempt, reason: Reason) -> None:
        async def narrow(tx: WriteSession) -> None:
            found = await self._under_way(tx, channel, stored, attempt)
            if found is None:
                return
            current, rows = found
            if reason is FAILED_WITHOUT_WORDS:
                step = bisect.refused(current.hunt, reason.code)
                last = refused_without_words(LONE_REFUSALS)
            else:
                step, last = bisect.refused_for_sure(current.hunt, reason.code), reason
            await self._blame(tx, channel, current=current, step=step, rows=rows, reason=last)

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
        await self._outcomes.close(channel, attempt)

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

        def again(row: ChannelItem) -> Facts | None:
            flight = row.facts.in_flight
            if flight is None or flight.unknown:
                return None
            return sync.requeue(row.facts, (note,) if row.facts.hunt_id == stored.hunt_id else ())

        await self._outcomes.decide(channel, attempt, again)

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
        now = self._clock()
        due_at = schedule.alone_again(now, step.hunt.alone, first=self._alone_again)
        await hunts.save(tx, replace(current, hunt=step.hunt, updated_at=now, due_at=due_at))


def _without(hunt: Hunt, present: Collection[str]) -> Step:
    """The hunt after those left whose rows do not name it any more."""
    return bisect.left(hunt, [name for name in hunt.ids if name not in present])
