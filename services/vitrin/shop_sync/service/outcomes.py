"""What an answer of a platform means for the items: verdicts, failures, read-backs. One transaction each."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

import orjson

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.repeat import repeated
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId
from vitrin.platforms.base import FailureKind, Outcome, PlatformFailure, Seen, Verdict
from vitrin.shop_sync.domain import arrival, schedule, sync
from vitrin.shop_sync.domain.arrival import Look
from vitrin.shop_sync.domain.batching import grown, halves
from vitrin.shop_sync.domain.sync import Facts, Reason
from vitrin.shop_sync.domain.values import Attempt, Channel, ChannelItem, Claim, pack
from vitrin.shop_sync.domain.words import LOST_ANSWER, NOT_THERE, refused_without_words
from vitrin.shop_sync.repository import channels, items, work
from vitrin.shop_sync.service.desired import Desires
from vitrin.shop_sync.service.mapping import reasons_of
from vitrin.shop_sync.service.recording import Recorder

ROWS_PER_TRANSACTION: Final = 1000
LOOKS_MAX: Final = 3
TRIES_COUNTED_MAX: Final = 1000
"""The longest pause is long since reached; a column of two bytes ends at 32,767."""
NOT_ON_PLATFORM: Final = "not_on_platform"
T = TypeVar("T")
Decision = Callable[[ChannelItem], Facts | None]
"""New facts of an item in flight; None leaves it in flight."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Answers by platform item id. `final`: items without an answer are unknown, else they are still on their way."""

    by_id: Mapping[str, Verdict]
    final: bool
    read_back: bool


class Outcomes:
    """`look_first`: after an unknown outcome, so long until the first look; each further look waits twice as long."""

    def __init__(
        self, *, database: WorkerDatabase, desires: Desires, clock: Clock, look_first: timedelta
    ) -> None:
        self._database = database
        self._desires = desires
        self._clock = clock
        self._look_first = look_first

    async def transaction(self, brand: BrandId, work_of: Callable[[WriteSession], Awaitable[T]]) -> T:
        """One transaction, repeated when PostgreSQL chose it as the victim of a deadlock."""

        async def transaction() -> T:
            async with self._database.write([brand]) as tx:
                return await work_of(tx)

        return await repeated(transaction)

    async def decide(self, channel: Channel, attempt: Attempt, decision: Decision) -> int:
        """Apply a decision to everything in flight with the attempt, in key order; answers how many stay in flight."""
        after, left = "", 0
        while True:
            start = after

            async def chunk(tx: WriteSession, start: str = start) -> tuple[str, int, int]:
                rows = await items.lock_attempt(
                    tx, channel.brand_id, attempt.attempt_id, after=start, limit=ROWS_PER_TRANSACTION
                )
                now = self._clock()
                recorder = Recorder({channel.channel_id: channel}, now)
                stay = 0
                for row in rows:
                    stay += self._decide_row(recorder, row, decision)
                await recorder.flush(tx)
                await self._desires.hand_over_ids(tx, channel, rows, now=now)
                await self._desires.follow(tx, channel, rows, now=now)
                return (rows[-1].item_id if rows else start), len(rows), stay

            after, count, stay = await self.transaction(channel.brand_id, chunk)
            left += stay
            if count < ROWS_PER_TRANSACTION:
                return left

    def _decide_row(self, recorder: Recorder, row: ChannelItem, decision: Decision) -> bool:
        flight = row.facts.in_flight
        facts = decision(row)
        if facts is None or flight is None:
            return True
        now = self._clock()
        lag_ms = None
        if facts.in_flight is None and (
            facts.confirmed == flight.hashes or (flight.deletes and not facts.exposed)
        ):
            lag_ms = recorder.measure(row, "accepted")
            row.read_back_tries = 0
            row.read_back_at = None if facts.seen else schedule.next_read_back(now, 0)
            if facts.seen:
                recorder.measure(row, "seen")
                row.flight = None
        elif facts.in_flight is None and row.flight is not None:
            if facts.refused != flight.hashes:
                row.changed = row.flight.oldest(row.changed)
            row.flight = None
        recorder.move(row, facts, attempt_id=flight.attempt_id, lag_ms=lag_ms)
        return facts.in_flight is not None

    async def verdicts(self, channel: Channel, attempt: Attempt, verdicts: Verdicts) -> int:
        """Store the answers; the attempt ends when nothing of it is open. Answers how many items are."""

        def decision(row: ChannelItem) -> Facts | None:
            verdict = verdicts.by_id.get(row.platform_item_id or "")
            if verdict is None and not verdicts.final:
                return None
            if verdict is None or verdict.outcome is Outcome.UNKNOWN:
                return sync.unknown(row.facts, LOST_ANSWER)
            if verdict.outcome is Outcome.REFUSED:
                reasons = reasons_of(verdict.reasons) or (refused_without_words(1),)
                gone = any(reason.code == NOT_ON_PLATFORM for reason in reasons)
                return sync.missing(row.facts, reasons) if gone else sync.refused(row.facts, reasons)
            return sync.accepted(row.facts, seen=not verdicts.read_back)

        if not verdicts.final and not verdicts.by_id:
            return attempt.items
        left = await self.decide(channel, attempt, decision)
        if verdicts.final or left == 0:
            await self.close(channel, attempt, unknown=left > 0)
        return left

    async def close(self, channel: Channel, attempt: Attempt, *, unknown: bool = False) -> None:
        """The answers are stored. `unknown`: somebody has to look at the rest."""
        due_at = self._clock() + self._look_first

        async def close(tx: WriteSession) -> None:
            if unknown:
                await work.move(tx, attempt, stage="unknown", due_at=due_at)
            else:
                await work.end(tx, attempt)

        await self.transaction(channel.brand_id, close)

    async def unknown(self, channel: Channel, attempt: Attempt, reason: Reason) -> None:
        """Nobody knows what became of the call: look before anything is repeated."""
        await self.decide(channel, attempt, lambda row: sync.unknown(row.facts, reason))
        await self.close(channel, attempt, unknown=True)

    async def requeue(self, channel: Channel, attempt: Attempt, note: tuple[Reason, ...] = ()) -> None:
        await self.decide(channel, attempt, lambda row: sync.requeue(row.facts, note))
        await self.close(channel, attempt)

    async def send_failed(
        self, channel: Channel, attempt: Attempt, claim: Claim, failure: PlatformFailure
    ) -> None:
        """A whole call failed: wait, halve, refuse the single item that is too large, or look. (Who made a platform
        refuse a batch is for a hunt to find out.) A platform that was unwell says that it did nothing, but nothing is
        counted upon: the whole item goes out next."""
        if failure.kind is FailureKind.UNKNOWN_OUTCOME:
            await self.unknown(channel, attempt, replace(LOST_ANSWER, message=failure.message))
            return
        reason = reason_of(failure)
        if failure.kind is FailureKind.TOO_LARGE:
            if attempt.items == 1:
                await self.decide(channel, attempt, lambda row: sync.refused(row.facts, (reason,)))
                await self.close(channel, attempt)
                return
            await self.requeue(channel, attempt)
            smaller = len(halves(range(attempt.items))[0])
            await self.change_gate(channel, claim, items_max=smaller)
            return
        if failure.kind is FailureKind.TRANSIENT:
            await self.decide(
                channel, attempt, lambda row: sync.requeue(sync.unknown(row.facts, reason), (reason,))
            )
            await self.close(channel, attempt)
        else:
            await self.requeue(channel, attempt)
        if failure.kind is FailureKind.NOT_SENT and failure.retry_after_s is not None:
            return  # Turned away by our own limits, which say by themselves when the next call may go.
        if failure.kind not in {FailureKind.AUTH, FailureKind.PERMISSION}:
            await self.back_off(channel, claim, retry_after_s=failure.retry_after_s)

    async def back_off(self, channel: Channel, claim: Claim, *, retry_after_s: float | None = None) -> None:
        """The channel sends nothing until the platform's time is over, or a doubling one."""

        async def wait(tx: WriteSession) -> None:
            gate = await work.lock(tx, claim)
            if gate is not None:
                jitter = random.random()  # noqa: S311
                until = schedule.next_try(
                    self._clock(), gate.failures, jitter=jitter, retry_after_s=retry_after_s
                )
                await work.set_gate(
                    tx, channel.channel_id, replace(gate, send_after=until, failures=gate.failures + 1)
                )

        await self.transaction(channel.brand_id, wait)

    async def change_gate(self, channel: Channel, claim: Claim, *, items_max: int | None) -> None:
        async def change(tx: WriteSession) -> None:
            gate = await work.lock(tx, claim)
            if gate is not None:
                await work.set_gate(tx, channel.channel_id, replace(gate, failures=0, items_max=items_max))

        await self.transaction(channel.brand_id, change)

    async def went_well(self, channel: Channel, claim: Claim, *, through: int, able: int) -> None:
        """The platform is well, and a batch of `through` items came through (0: nothing is known of that yet)."""

        async def grow(tx: WriteSession) -> None:
            gate = await work.lock(tx, claim)
            if gate is not None:
                items_max = grown(gate.items_max, through=through, able=able)
                await work.set_gate(tx, channel.channel_id, replace(gate, failures=0, items_max=items_max))

        await self.transaction(channel.brand_id, grow)

    async def send_smaller(self, channel: Channel, claim: Claim, attempt: Attempt) -> None:
        """A batch came to nothing after it had been taken, and nobody was named: smaller ones until somebody is. (A
        hunt would be wrong here: that a platform takes a part of it proves nothing.)"""
        if attempt.items > 1:
            await self.change_gate(channel, claim, items_max=len(halves(range(attempt.items))[0]))

    async def needs_attention(self, channel: Channel, reason: str) -> None:
        await self.transaction(
            channel.brand_id, lambda tx: channels.set_state(tx, channel, "needs_attention", reason)
        )

    async def looked(self, channel: Channel, attempt: Attempt, seen: Mapping[str, Seen]) -> None:
        """After an unknown outcome: what is there arrived; the rest is sent again, after a few looks."""
        last = attempt.tries + 1 >= LOOKS_MAX

        def decision(row: ChannelItem) -> Facts | None:
            shown = seen.get(row.platform_item_id or "")
            flight = row.facts.in_flight
            if shown is None or flight is None:
                return sync.requeue(row.facts, (NOT_THERE,)) if last else None
            arrived = not shown.present if flight.deletes else shown.matches
            if arrived:
                return sync.accepted(row.facts, seen=not shown.problems)
            return sync.requeue(row.facts, (NOT_THERE,)) if last else None

        left = await self.decide(channel, attempt, decision)
        if left == 0:
            await self.close(channel, attempt)
            return
        due_at = self._clock() + self._look_first * 2 ** (attempt.tries + 1)
        await self.transaction(
            channel.brand_id,
            lambda tx: work.move(tx, attempt, stage="unknown", due_at=due_at, tries=attempt.tries + 1),
        )

    async def read_back(
        self,
        channel: Channel,
        asked: Sequence[tuple[str, str, bytes, bytes]],
        seen: Mapping[str, Seen],
        *,
        within_s: float,
    ) -> None:
        """What was accepted and looked at: shown (or gone), refused by a review, not shown yet, or to be sent again
        after `within_s`."""
        expected = {item_id: (named, confirmed, sent) for item_id, named, confirmed, sent in asked}

        async def store(tx: WriteSession) -> None:
            now = self._clock()
            keys = [(channel.channel_id, item_id) for item_id in sorted(expected)]
            rows = await items.lock(tx, [channel.brand_id], keys)
            recorder = Recorder({channel.channel_id: channel}, now)
            for row in rows.values():
                platform_id, confirmed, attributes = expected[row.item_id]
                if row.platform_item_id == platform_id and (pack(row.facts.confirmed) or b"") == confirmed:
                    look = _look(seen.get(platform_id), attributes)
                    _read_back_row(recorder, row, look, now, within_s=within_s)
            await recorder.flush(tx)

        await self.transaction(channel.brand_id, store)


def reason_of(failure: PlatformFailure) -> Reason:
    return Reason(failure.code, ",".join(failure.fields), failure.message, failure.fix)


def _read_back_row(
    recorder: Recorder, row: ChannelItem, look: Look | None, now: datetime, *, within_s: float
) -> None:
    before = row.facts
    if not arrival.is_open(before):
        row.read_back_at = None
        recorder.move(row, before)
        return
    if look is not None and arrival.is_right(before, look):
        lag_ms = recorder.measure(row, "seen")
        row.flight = None
        row.read_back_at = None
        recorder.move(row, arrival.looked(before, look, looks=0, within_s=within_s), lag_ms=lag_ms)
        return
    row.read_back_tries = looks = min(row.read_back_tries + 1, TRIES_COUNTED_MAX)
    if look is None:
        after = arrival.not_seen(before, looks=looks)
    else:
        after = arrival.looked(before, look, looks=looks, within_s=within_s)
    row.read_back_at = None
    if arrival.is_open(after):
        row.read_back_at = arrival.next_look(after, now, looks=looks, within_s=within_s)
    recorder.move(row, after)
    if after.resends > before.resends:
        recorder.not_shown(row, "sent_again")
    elif arrival.gave_up(before, after):
        recorder.not_shown(row, "given_up")


def _look(shown: Seen | None, attributes: bytes) -> Look | None:
    """`attributes`: as they were sent."""
    if shown is None:
        return None
    offer = orjson.loads(attributes)["offer"] if attributes else {}
    return Look(
        present=shown.present,
        right=shown.matches,
        offer_right=not any(one.name in offer for one in shown.differences),
        problems=reasons_of(shown.problems),
        differences=tuple((one.name, one.sent, one.seen) for one in shown.differences),
    )
