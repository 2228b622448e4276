"""shop_sync's worker on one channel: look and take, send, hunt, poll, look at what is unknown, read back.

Follows service/{session,sending,outcomes,hunting,looking}.py. Every `yield DB_S` stands before the commit of one
transaction; between two of them the worker may be killed."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from tests.simulation.clockwork import Clockwork, Nap, Steps
from tests.simulation.hunting import Hunting
from tests.simulation.platform import Endpoint, Platform, Reply
from tests.simulation.shop import BRAND, CHANNEL, OFFER_FIELDS, Attributes, Shop
from tests.simulation.spine import DB_S, moment
from vitrin.kit.delivery import bisect
from vitrin.kit.delivery.breaker import Breaker, Health
from vitrin.kit.delivery.limiter import Limiter
from vitrin.kit.delivery.rate import Priority, Rate
from vitrin.platforms.base import (
    FailureKind,
    Operation,
    OperationKind,
    Outcome,
    PlatformFailure,
    SendResult,
    Verdict,
)
from vitrin.shop_sync.domain import arrival, batching, schedule, sync
from vitrin.shop_sync.domain.arrival import Look
from vitrin.shop_sync.domain.sync import GONE, Facts, Lane, Reason
from vitrin.shop_sync.domain.values import Attempt, ChannelItem, Due, StoredHunt
from vitrin.shop_sync.domain.words import LOST_ANSWER, NOT_THERE, VERDICT_OVERDUE

WINDOW_S: Final = 60.0
WINDOW: Final = timedelta(seconds=0.25)
VERDICT_TIMEOUT: Final = timedelta(seconds=60)
LOOK_FIRST: Final = timedelta(seconds=1)
LOOKS_MAX: Final = 3
PRICES_IN_A_ROW_MAX: Final = 4
IDLE_S: Final = 600.0
WITHIN_S: Final = 300.0
_UNWELL: Final = {FailureKind.TRANSIENT, FailureKind.NOT_SENT, FailureKind.UNKNOWN_OUTCOME}


@dataclass
class Batch:
    attempt: Attempt
    operations: Sequence[Operation]
    hunt: StoredHunt | None
    prices: bool


@dataclass
class Worker(Hunting):
    """One process; what is kept here is lost with it."""

    shop: Shop
    platform: Platform
    clock: Clockwork
    limiters: dict[Endpoint, Limiter] = field(default_factory=dict)
    breakers: dict[Endpoint, Breaker] = field(default_factory=dict)
    prices_in_a_row: int = 0
    probed_last: bool = False
    looked_last: bool = False

    def __post_init__(self) -> None:
        self.claim_id, self.read_back_from = UUID(int=0), moment(0)
        traits = self.platform.traits
        names: tuple[Endpoint, ...] = ("send", "poll", "read")
        for name in names:
            self.limiters[name] = Limiter(Rate(endpoint=name, calls=traits.documented, per_s=WINDOW_S))
            self.breakers[name] = Breaker()
        self.jitter = random.Random(self.clock.chance.random())

    @property
    def now(self) -> datetime:
        return moment(self.clock.now_s)

    def run(self) -> Steps:
        yield DB_S
        self.claim_id = self.shop.claim_id = self.shop.new_id()
        while True:
            yield DB_S
            batch = self._take()
            if batch is not None:
                yield from self._call(batch)
            elif not (yield from self._round()):
                due_at = self._due_at()
                wait_s = IDLE_S if due_at is None else (due_at - self.now).total_seconds()
                yield Nap(min(IDLE_S, max(0.01, wait_s)))

    # ---- when

    def _waits(self) -> dict[Priority, float]:
        resting_s = self.breakers["send"].wait_s(self.clock.now_s)
        limiter = self.limiters["send"]
        return {one: max(resting_s, limiter.wait_s(one, self.clock.now_s)) for one in Priority}

    def _waiting(self) -> Due:
        lanes = {row.settled.lane for row in self.shop.rows.values()}
        hunt = self.shop.ready_hunt()
        return Due(
            prices_at=self.now if Lane.OFFER in lanes else None,
            content_at=self.now if lanes & {Lane.CONTENT, Lane.BACKLOG} else None,
            hunt_at=None if hunt is None else hunt.due_at or self.now,
        )

    def _send_at(self) -> datetime | None:
        due, waits = self._waiting(), self._waits()
        gate, slow_at = schedule.send_at(self.now, self.shop.gate.send_after), due.slow_at(self.now)
        times = []
        if due.prices_at is not None:
            times.append(gate + timedelta(seconds=waits[Priority.FAST]))
        if slow_at is not None:
            times.append(max(gate, slow_at) + timedelta(seconds=waits[Priority.SLOW]))
        return min(times, default=None)

    def _due_at(self) -> datetime | None:
        times = [one.due_at for one in self.shop.attempts.values()]
        send_at, looks = self._send_at(), self._read_back_at()
        return min([*times, *([send_at] if send_at else []), *([looks] if looks else [])], default=None)

    def _read_back_at(self) -> datetime | None:
        times = [row.read_back_at for row in self.shop.rows.values() if row.read_back_at is not None]
        return max(min(times), self.read_back_from) if times and self.platform.traits.read_back else None

    # ---- taking

    def _take(self) -> Batch | None:
        send_at = self._send_at()
        if send_at is None or send_at > self.now:
            return None
        attempts = self.shop.attempts.values()
        if any(one.due_at <= self.now for one in attempts) and not self.looked_last:
            return None
        if any(self._is_orphan(one) for one in attempts):
            return None
        self.looked_last = False
        waits, due = self._waits(), self._waiting()
        slow = waits[Priority.SLOW] <= 0
        stored, rows = self._next(
            prices=due.prices_at is not None and waits[Priority.FAST] <= 0,
            content=due.content_at is not None and slow,
            hunts=due.hunt_at is not None and due.hunt_at <= self.now and slow,
        )
        return self._begin(stored, rows) if rows else None

    def _is_orphan(self, attempt: Attempt) -> bool:
        return attempt.stage == "sending" and attempt.claim_id != self.claim_id

    def _limit(self) -> int:
        able = self.platform.traits.batch_items_max
        return min(able, self.shop.gate.items_max or able)

    def _next(
        self, *, prices: bool, content: bool, hunts: bool
    ) -> tuple[StoredHunt | None, Sequence[ChannelItem]]:
        found = self._next_probe() if hunts else None
        if found is not None:
            overtakes = self.probed_last and not found[0].prices and prices
            rows = self.shop.due(fast=True, limit=self._limit()) if overtakes else []
            self.probed_last = not rows
            return (None, rows) if rows else found
        if not prices and not content:
            return None, []
        fast = prices and (not content or self.prices_in_a_row < PRICES_IN_A_ROW_MAX)
        rows = self.shop.due(fast=fast, limit=self._limit())
        if rows:
            self.prices_in_a_row = self.prices_in_a_row + 1 if fast else 0
        return None, rows

    def _begin(self, stored: StoredHunt | None, rows: Sequence[ChannelItem]) -> Batch:
        rows = rows[: self._limit()]
        made = [self._operation(row) for row in rows]
        sizes = [one.size_bytes for one in made]
        count = batching.fill(sizes, items_max=len(rows), bytes_max=self.platform.traits.batch_bytes_max)
        attempt = Attempt(
            attempt_id=self.shop.new_id(),
            brand_id=BRAND,
            channel_id=CHANNEL,
            claim_id=self.claim_id,
            stage="sending",
            handle=None,
            items=count,
            tries=0,
            due_at=self.now + VERDICT_TIMEOUT,
            created_at=self.now,
        )
        prices = sync.ordinary_lane(rows[0].facts) is Lane.OFFER
        for row in rows[:count]:
            if row.facts.desired != GONE:
                self.shop.sent[row.item_id] = dict(self.shop.wanted[row.item_id][0])
            row.read_back_at = None
            row.changed = None
            self.shop.move(row, sync.taken(row.facts, attempt.attempt_id), self.now)
        self.shop.attempts[attempt.attempt_id] = attempt
        if stored is not None:
            hunt = replace(stored.hunt, probe_max=count)
            under_way = replace(bisect.sent(hunt), probe_max=stored.hunt.probe_max)
            stored = replace(stored, hunt=under_way, attempt_id=attempt.attempt_id, due_at=None)
            self.shop.hunts[stored.hunt_id] = stored
        self.shop.gate = replace(self.shop.gate, send_after=self.now + WINDOW)
        return Batch(attempt, made[:count], stored, prices)

    def _operation(self, row: ChannelItem) -> Operation:
        if row.facts.desired == GONE:
            return Operation(row.item_id, OperationKind.DELETE, {}, 40)
        full, part = self.shop.wanted[row.item_id]
        if sync.ordinary_lane(row.facts) is Lane.OFFER and self.platform.traits.partial_update:
            return Operation(row.item_id, OperationKind.OFFER, dict(part), 60)
        return Operation(row.item_id, OperationKind.UPSERT, dict(full), 90)

    # ---- calling

    def _http(self, endpoint: Endpoint, body: Any, priority: Priority) -> Steps:
        """Waits for its turn and calls; PlatformFailure as the connector raises it."""
        limiter, breaker = self.limiters[endpoint], self.breakers[endpoint]
        while (wait_s := limiter.wait_s(priority, self.clock.now_s)) > 0:
            yield wait_s
        if (resting_s := breaker.wait_s(self.clock.now_s)) > 0:
            raise PlatformFailure(
                FailureKind.NOT_SENT, code="endpoint_resting", message="It rests.", retry_after_s=resting_s
            )
        ticket, permit = limiter.take(priority, self.clock.now_s), breaker.begin(self.clock.now_s)
        reply: Reply = yield lambda resume: self.platform.call(endpoint, body, resume)
        failure = reply.result if isinstance(reply.result, PlatformFailure) else None
        if not reply.counted:
            limiter.cancel(ticket)
        elif failure is not None and failure.kind is FailureKind.THROTTLED:
            limiter.throttled(
                ticket, self.clock.now_s, retry_after_s=failure.retry_after_s, usage=reply.usage
            )
        else:
            limiter.answered(ticket, self.clock.now_s, reply.usage if endpoint == "send" else None)
        unwell = failure is not None and failure.kind in _UNWELL
        health = Health.UNWELL if unwell else Health.WELL
        breaker.end(permit, health, self.clock.now_s, jitter=self.jitter.random())
        if failure is not None:
            raise failure
        return reply.result

    def _call(self, batch: Batch) -> Steps:
        priority = Priority.FAST if batch.prices else Priority.SLOW
        try:
            result: SendResult = yield from self._http("send", batch.operations, priority)
        except PlatformFailure as failure:
            yield from self._failed(batch, failure)
            return
        took_all = all(one.outcome is Outcome.ACCEPTED for one in result.verdicts)
        last_word = result.handle is None or batch.hunt is None or not batch.hunt.hunt.alone_min
        if batch.hunt is not None and took_all and last_word:
            yield DB_S
            self._hunt_taken(batch.hunt, batch.attempt)
        left = yield from self._verdicts(batch.attempt, result.verdicts, final=result.handle is None)
        if result.handle is not None and left:
            yield DB_S
            due_at = schedule.next_poll(self.now, 0)
            self._move(batch.attempt, stage="polling", handle=result.handle, due_at=due_at)
        gate = self.shop.gate
        through = batch.attempt.items if result.handle is None else 0
        if gate.failures or (through and gate.items_max is not None):
            yield from self._went_well(through)

    def _move(self, attempt: Attempt, **changes: Any) -> None:
        held = self.shop.attempts.get(attempt.attempt_id)
        if held is not None:
            self.shop.attempts[attempt.attempt_id] = replace(held, **{"tries": 0, **changes})

    def _failed(self, batch: Batch, failure: PlatformFailure) -> Steps:
        attempt, kind = batch.attempt, failure.kind
        reason = Reason(failure.code, "", failure.message)
        if kind is FailureKind.INVALID_REQUEST:
            if batch.hunt is not None:
                yield from self._hunt_narrowed(batch.hunt, attempt, reason, too_large=False)
            else:
                yield from self._hunt_begun(attempt, reason, prices=batch.prices)
        elif kind is FailureKind.TOO_LARGE and batch.hunt is not None:
            yield from self._hunt_narrowed(batch.hunt, attempt, reason, too_large=True)
        elif kind is FailureKind.UNKNOWN_OUTCOME:
            yield from self._unknown(attempt, reason)
        elif kind is FailureKind.TOO_LARGE and attempt.items == 1:
            yield from self._settle(attempt, lambda row: sync.refused(row.facts, (reason,)))
        elif kind is FailureKind.TOO_LARGE:
            yield from self._settle(attempt, lambda row: sync.requeue(row.facts))
            yield from self._smaller(attempt)
        else:
            if kind is FailureKind.TRANSIENT:
                yield from self._settle(
                    attempt, lambda row: sync.requeue(sync.unknown(row.facts, reason), (reason,))
                )
            else:
                yield from self._settle(attempt, lambda row: sync.requeue(row.facts))
            if kind is FailureKind.NOT_SENT and failure.retry_after_s is not None:
                return
            yield DB_S
            gate = self.shop.gate
            until = schedule.next_try(
                self.now, gate.failures, jitter=self.jitter.random(), retry_after_s=failure.retry_after_s
            )
            self.shop.gate = replace(gate, send_after=until, failures=gate.failures + 1)

    def _smaller(self, attempt: Attempt) -> Steps:
        yield DB_S
        half = len(batching.halves(range(attempt.items))[0])
        self.shop.gate = replace(self.shop.gate, failures=0, items_max=half)

    def _went_well(self, through: int) -> Steps:
        yield DB_S
        able = self.platform.traits.batch_items_max
        items_max = batching.grown(self.shop.gate.items_max, through=through, able=able)
        self.shop.gate = replace(self.shop.gate, failures=0, items_max=items_max)

    def _settle(self, attempt: Attempt, decision: Any) -> Steps:
        yield DB_S
        self.shop.decide_attempt(attempt, decision, self.now)
        yield DB_S
        self.shop.close(attempt, unknown=False, now=self.now, look_first=LOOK_FIRST)

    def _unknown(self, attempt: Attempt, reason: Reason) -> Steps:
        yield DB_S
        self.shop.decide_attempt(attempt, lambda row: sync.unknown(row.facts, reason), self.now)
        yield DB_S
        self.shop.close(attempt, unknown=True, now=self.now, look_first=LOOK_FIRST)

    def _close(self, attempt: Attempt, *, unknown: bool) -> None:
        self.shop.close(attempt, unknown=unknown, now=self.now, look_first=LOOK_FIRST)

    def _verdicts(self, attempt: Attempt, verdicts: Sequence[Verdict], *, final: bool) -> Steps:
        by_id = {one.platform_item_id: one for one in verdicts}

        def decision(row: ChannelItem) -> Facts | None:
            verdict = by_id.get(row.item_id)
            if verdict is None and not final:
                return None
            if verdict is None or verdict.outcome is Outcome.UNKNOWN:
                return sync.unknown(row.facts, LOST_ANSWER)
            if verdict.outcome is Outcome.REFUSED:
                reasons = tuple(Reason(one.code, one.field, one.message, one.fix) for one in verdict.reasons)
                gone = any(reason.code == "not_on_platform" for reason in reasons)
                return sync.missing(row.facts, reasons) if gone else sync.refused(row.facts, reasons)
            return sync.accepted(row.facts, seen=not self.platform.traits.read_back)

        if not final and not by_id:
            return attempt.items
        yield DB_S
        left = self.shop.decide_attempt(attempt, decision, self.now)
        if final or left == 0:
            yield DB_S
            self.shop.close(attempt, unknown=left > 0, now=self.now, look_first=LOOK_FIRST)
        return left

    # ---- looking

    def _round(self) -> Steps:
        for attempt in list(self.shop.attempts.values()):
            if self._is_orphan(attempt):
                yield from self._unknown(attempt, LOST_ANSWER)
                return True
        due = sorted(
            (one for one in self.shop.attempts.values() if one.due_at <= self.now), key=lambda one: one.due_at
        )
        for attempt in due:
            if attempt.stage == "polling":
                yield from self._poll(attempt)
            elif attempt.stage == "unknown":
                yield from self._look(attempt)
        self.looked_last = bool(due)
        looks = self._read_back_at()
        if looks is not None and looks <= self.now:
            yield from self._read_back()
            return True
        return bool(due)

    def _poll(self, attempt: Attempt) -> Steps:
        flying = [row.item_id for row in self.shop.of_attempt(attempt.attempt_id)]
        retry_at = None
        try:
            result = yield from self._http("poll", (attempt.handle, flying), Priority.FAST)
        except PlatformFailure as failure:
            if failure.kind is FailureKind.INVALID_REQUEST:
                yield from self._unknown(attempt, VERDICT_OVERDUE)
                return
            retry_at = schedule.next_try(
                self.now, attempt.tries, jitter=0.5, retry_after_s=failure.retry_after_s
            )
        else:
            if result.done:
                yield from self._answered(attempt, result.verdicts)
                unknown = all(one.outcome is Outcome.UNKNOWN for one in result.verdicts)
                if unknown and attempt.items > 1:
                    yield from self._smaller(attempt)
                elif not unknown and self.shop.gate.items_max is not None:
                    yield from self._went_well(attempt.items)
                return
        if self.now - attempt.created_at > VERDICT_TIMEOUT:
            yield from self._unknown(attempt, VERDICT_OVERDUE)
            return
        yield DB_S
        due_at = retry_at or schedule.next_poll(self.now, attempt.tries + 1)
        self._move(attempt, stage="polling", due_at=due_at, tries=attempt.tries + 1)

    def _look(self, attempt: Attempt) -> Steps:
        if not self.platform.traits.read_back:
            yield from self._settle(attempt, lambda row: sync.requeue(row.facts))
            return
        flying = {row.item_id for row in self.shop.of_attempt(attempt.attempt_id)}
        try:
            seen = yield from self._http("read", dict.fromkeys(sorted(flying)), Priority.FAST)
        except PlatformFailure as failure:
            yield DB_S
            due_at = schedule.next_try(
                self.now, attempt.tries + 2, jitter=0.5, retry_after_s=failure.retry_after_s
            )
            self._move(attempt, stage="unknown", due_at=due_at, tries=attempt.tries)
            return
        last = attempt.tries + 1 >= LOOKS_MAX

        def decision(row: ChannelItem) -> Facts | None:
            flight = row.facts.in_flight
            assert flight is not None
            shown = seen.get(row.item_id)
            arrived = shown is None if flight.deletes else shown == self.shop.sent[row.item_id]
            if arrived:
                return sync.accepted(row.facts, seen=True)
            return sync.requeue(row.facts, (NOT_THERE,)) if last else None

        yield DB_S
        left = self.shop.decide_attempt(attempt, decision, self.now)
        yield DB_S
        if left == 0:
            self.shop.close(attempt, unknown=False, now=self.now, look_first=LOOK_FIRST)
        else:
            due_at = self.now + LOOK_FIRST * 2 ** (attempt.tries + 1)
            self._move(attempt, stage="unknown", due_at=due_at, tries=attempt.tries + 1)

    def _read_back(self) -> Steps:
        now_s = self.clock.now_s
        wait_s = max(self.breakers["read"].wait_s(now_s), self.limiters["read"].wait_s(Priority.SLOW, now_s))
        if wait_s > 0:
            self.read_back_from = self.now + timedelta(seconds=wait_s)
            return
        asked = {
            row.item_id: row.facts.confirmed
            for row in self.shop.rows.values()
            if row.read_back_at is not None and row.read_back_at <= self.now and row.facts.in_flight is None
        }
        try:
            seen: Mapping[str, Attributes | None] = yield from self._http(
                "read", dict.fromkeys(sorted(asked)), Priority.SLOW
            )
        except PlatformFailure as failure:
            self.read_back_from = schedule.next_try(
                self.now, 4, jitter=0.5, retry_after_s=failure.retry_after_s
            )
            return
        yield DB_S
        for item, confirmed in asked.items():
            row = self.shop.rows[item]
            if row.facts.in_flight is None and row.facts.confirmed == confirmed:
                self._read_back_row(row, seen[item])

    def _read_back_row(self, row: ChannelItem, shown: Attributes | None) -> None:
        before = row.facts
        if not arrival.is_open(before):
            row.read_back_at = None
            self.shop.move(row, before, self.now)
            return
        sent = self.shop.sent.get(row.item_id, {})
        if before.confirmed is not None and before.desired == before.confirmed:
            sent = self.shop.wanted[row.item_id][0]  # what was sent last may have been refused since
        offer_right = all((shown or {}).get(name) == sent.get(name) for name in OFFER_FIELDS)
        look = Look(present=shown is not None, right=shown == sent, offer_right=offer_right)
        if arrival.is_right(before, look):
            row.read_back_at = None
            self.shop.move(row, arrival.looked(before, look, looks=0, within_s=WITHIN_S), self.now)
            return
        row.read_back_tries = looks = min(row.read_back_tries + 1, 1000)
        after = arrival.looked(before, look, looks=looks, within_s=WITHIN_S)
        row.read_back_at = None
        if arrival.is_open(after):
            row.read_back_at = arrival.next_look(after, self.now, looks=looks, within_s=WITHIN_S)
        assert after.resends <= arrival.RESENDS_MAX
        self.shop.move(row, after, self.now)
