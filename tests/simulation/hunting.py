"""The worker's hunts for the culprits of batches that were refused as a whole; follows service/hunting.py."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from tests.simulation.clockwork import Steps
from tests.simulation.shop import BRAND, CHANNEL, Shop
from tests.simulation.spine import DB_S
from vitrin.kit.delivery import bisect
from vitrin.platforms.base import Outcome, Verdict
from vitrin.shop_sync.domain import schedule, sync
from vitrin.shop_sync.domain.sync import Facts, Reason
from vitrin.shop_sync.domain.values import Attempt, ChannelItem, StoredHunt
from vitrin.shop_sync.domain.words import FAILED_WITHOUT_WORDS, batch_refused, refused_without_words

LONE_REFUSALS: Final = 4
ALONE_AGAIN: Final = timedelta(seconds=30)


class Hunting(ABC):
    """Part of a `Worker`."""

    shop: Shop

    @property
    @abstractmethod
    def now(self) -> datetime: ...

    @abstractmethod
    def _settle(self, attempt: Attempt, decision: Any) -> Steps: ...

    def _answered(self, attempt: Attempt, verdicts: Sequence[Verdict]) -> Steps:
        stored = next((one for one in self.shop.hunts.values() if one.attempt_id == attempt.attempt_id), None)
        wordless = {
            one.platform_item_id for one in verdicts if one.outcome is Outcome.REFUSED and not one.reasons
        }
        if not wordless:
            if stored is not None and all(one.outcome is Outcome.ACCEPTED for one in verdicts):
                yield DB_S
                self._hunt_taken(stored, attempt)
            yield from self._verdicts(attempt, verdicts, final=True)
            return
        spoken = [one for one in verdicts if one.platform_item_id not in wordless]
        yield from self._verdicts(attempt, spoken, final=False)
        yield DB_S
        if stored is not None:
            note = batch_refused(stored.items, "")
            found = self._under_way(stored, attempt)
            if found is not None:
                current, rows = found
                step = bisect.refused(current.hunt, "wordless")
                self._blame(current, step, rows, refused_without_words(LONE_REFUSALS))
            hunt_id = stored.hunt_id
        else:
            names = sorted(wordless)
            step = bisect.start(
                names, "wordless", alone_min=LONE_REFUSALS, was_whole=len(names) == attempt.items
            )
            hunt_id = self._hunt(attempt, step.hunt, FAILED_WITHOUT_WORDS, prices=False).hunt_id
            note = batch_refused(attempt.items, "")
        yield DB_S

        def again(row: ChannelItem) -> Facts | None:
            if row.item_id not in wordless:
                return None
            if stored is None:
                return sync.suspected(row.facts, hunt_id, note)
            return sync.requeue(row.facts, (note,) if row.facts.hunt_id == hunt_id else ())

        left = self.shop.decide_attempt(attempt, again, self.now)
        yield DB_S
        self._close(attempt, unknown=left > 0)

    @abstractmethod
    def _verdicts(self, attempt: Attempt, verdicts: Sequence[Verdict], *, final: bool) -> Steps: ...

    @abstractmethod
    def _close(self, attempt: Attempt, *, unknown: bool) -> None: ...

    def _hunt_begun(self, attempt: Attempt, reason: Reason, *, prices: bool) -> Steps:
        if attempt.items == 1:
            yield from self._settle(attempt, lambda row: sync.refused(row.facts, (reason,)))
            return
        yield DB_S
        names = sorted(row.item_id for row in self.shop.of_attempt(attempt.attempt_id))
        stored = self._hunt(attempt, bisect.start(names, reason.code).hunt, reason, prices=prices)
        note = batch_refused(attempt.items, reason.message)
        yield from self._settle(attempt, lambda row: sync.suspected(row.facts, stored.hunt_id, note))

    def _hunt(self, attempt: Attempt, hunt: bisect.Hunt, reason: Reason, *, prices: bool) -> StoredHunt:
        stored = StoredHunt(
            hunt_id=self.shop.new_id(),
            brand_id=BRAND,
            channel_id=CHANNEL,
            hunt=bisect.from_record(hunt.to_record()),
            reasons=(reason,),
            items=attempt.items,
            prices=prices,
            calls=0,
            attempt_id=attempt.attempt_id,
            created_at=self.now,
            updated_at=self.now,
            due_at=schedule.alone_again(self.now, hunt.alone, first=ALONE_AGAIN),
        )
        self.shop.hunts[stored.hunt_id] = stored
        self.shop.hunts_begun += 1
        return stored

    def _next_probe(self) -> tuple[StoredHunt, list[ChannelItem]] | None:
        stored = self.shop.ready_hunt()
        if stored is None or (stored.due_at is not None and stored.due_at > self.now):
            return None
        rows = self.shop.of_hunt(stored.hunt_id)
        hunt = _without(stored.hunt, rows)
        if hunt.under_way:
            hunt = bisect.unanswered(hunt)
        self._free([row for name, row in sorted(rows.items()) if name not in hunt.ids])
        if hunt.is_over:
            del self.shop.hunts[stored.hunt_id]
            return None
        return replace(stored, hunt=hunt), [rows[name] for name in bisect.next_probe(hunt)]

    def _free(self, rows: Sequence[ChannelItem]) -> None:
        for row in rows:
            self.shop.move(row, sync.released(row.facts), self.now)

    def _under_way(
        self, stored: StoredHunt, attempt: Attempt
    ) -> tuple[StoredHunt, dict[str, ChannelItem]] | None:
        current = self.shop.hunts.get(stored.hunt_id)
        if current is None or current.attempt_id != attempt.attempt_id or not current.hunt.under_way:
            return None
        rows = self.shop.of_hunt(stored.hunt_id)
        return replace(current, hunt=_without(current.hunt, rows)), rows

    def _hunt_taken(self, stored: StoredHunt, attempt: Attempt) -> None:
        found = self._under_way(stored, attempt)
        if found is None:
            return
        current, rows = found
        for row in self.shop.of_attempt(attempt.attempt_id):
            row.facts = replace(row.facts, hunt_id=None)
        step = bisect.accepted(current.hunt)
        self._convict([rows[name] for name in step.culprits], current.reasons)
        others = [row for name, row in rows.items() if name not in step.accepted]
        self._save(replace(current, attempt_id=None), step, others)

    def _hunt_narrowed(
        self, stored: StoredHunt, attempt: Attempt, reason: Reason, *, too_large: bool
    ) -> Steps:
        yield DB_S
        found = self._under_way(stored, attempt)
        if found is not None:
            current, rows = found
            if too_large:
                step = bisect.too_large(current.hunt, reason.code)
            else:
                step = bisect.refused_for_sure(current.hunt, reason.code)
            self._blame(current, step, rows, reason)
        note = batch_refused(stored.items, reason.message)

        def again(row: ChannelItem) -> Facts:
            return sync.requeue(row.facts, (note,) if row.facts.hunt_id == stored.hunt_id else ())

        yield from self._settle(attempt, again)

    def _blame(
        self, current: StoredHunt, step: bisect.Step, rows: Mapping[str, ChannelItem], reason: Reason
    ) -> None:
        self._convict([rows[name] for name in step.culprits], (reason,))
        self._free([rows[name] for name in step.released])
        self._save(replace(current, reasons=(reason,)), step, list(rows.values()))

    def _convict(self, rows: Sequence[ChannelItem], reasons: tuple[Reason, ...]) -> None:
        for row in rows:
            flying = row.facts.in_flight is not None
            facts = sync.refused(row.facts, reasons) if flying else sync.convicted(row.facts, reasons)
            self.shop.move(row, facts, self.now)

    def _save(self, current: StoredHunt, step: bisect.Step, rows: Sequence[ChannelItem]) -> None:
        if step.hunt.is_over and not any(row.facts.hunt_id for row in rows):
            del self.shop.hunts[current.hunt_id]
            return
        kept = bisect.from_record(step.hunt.to_record())
        due_at = schedule.alone_again(self.now, kept.alone, first=ALONE_AGAIN)
        self.shop.hunts[current.hunt_id] = replace(current, hunt=kept, due_at=due_at)


def _without(hunt: bisect.Hunt, rows: Mapping[str, ChannelItem]) -> bisect.Hunt:
    return bisect.left(hunt, [name for name in hunt.ids if name not in rows]).hunt
