"""Decisions alone, with more chances than a whole house has time for. Every drill raises AssertionError."""

import random
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil, log2
from typing import Final

from tests.kit.delivery.slots import Slots
from vitrin.kit.delivery import bisect
from vitrin.kit.delivery.breaker import Breaker, BreakerRules, BreakerState, Health
from vitrin.kit.delivery.fairness import FairShare
from vitrin.kit.delivery.limiter import Limiter
from vitrin.kit.delivery.rate import Priority, Rate, Usage
from vitrin.shop_sync.domain import batching, replica, schedule
from vitrin.shop_sync.domain import stuck as stuck_domain
from vitrin.shop_sync.domain.replica import Stamp
from vitrin.shop_sync.domain.stuck import Cause, Kind, Standing

T0: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class _HuntDrill:
    """Items, culprits among them, and items that are too large for any call; `call_max`: items that a call may have.
    `disturbed`: items change and answers get lost meanwhile."""

    chance: random.Random
    items: list[str]
    culprits: set[str]
    huge: set[str]
    call_max: int
    disturbed: bool
    named: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    queue: list[str] = field(default_factory=list)
    calls: int = 0

    def run(self) -> None:
        self.queue = list(self.items)
        while self.queue:
            batch, self.queue = self.queue, []
            self.calls += 1
            bad = self.culprits & set(batch)
            if len(batch) == 1 and bad:
                self.named |= bad
            elif bad or self.huge & set(batch):
                self._follow(bisect.start(batch, "refused"))
            else:
                self.accepted |= set(batch)
            done = self.named | self.accepted
            self.queue = [one for one in dict.fromkeys(self.queue) if one not in done]
            assert self.calls < 40 * len(self.items) + 200, "the hunt does not end"
        assert self.named | self.accepted >= set(self.items), "an item is lost"

    def _follow(self, step: bisect.Step) -> None:
        while True:
            innocent = set(step.culprits) - self.culprits - self.huge
            assert not innocent, f"blamed though innocent: {innocent}"
            self.named |= set(step.culprits)
            self.queue += step.released
            current = bisect.from_record(step.hunt.to_record())
            assert current == step.hunt
            if current.is_over:
                return
            step = self._probe(current)

    def _probe(self, current: bisect.Hunt) -> bisect.Step:
        if self.disturbed and self.chance.random() < 0.05:
            gone = self.chance.sample(current.ids, 1)
            self.queue += gone
            return bisect.left(current, gone)
        probe = bisect.next_probe(current)
        assert probe == current.suspects[: len(probe)]
        assert not self.accepted & set(probe), "what was accepted is probed again"
        current = bisect.sent(current)
        assert bisect.next_probe(current) == ()
        self.calls += 1
        if self.disturbed and self.chance.random() < 0.1:
            return bisect.Step(hunt=bisect.unanswered(current))
        large = len(probe) > self.call_max or bool(self.huge & set(probe))
        bad = bool(self.culprits & set(probe))
        if self.disturbed and self.chance.random() < 0.05:
            gone = self.chance.sample(current.ids, 1)
            current = bisect.left(current, gone).hunt
            # What is under way gets the verdict of what was sent; refused with the others it waits again.
            self.queue += [one for one in gone if one not in probe or large or bad]
        if large:
            return bisect.too_large(current, "large")
        if bad:
            return bisect.refused(current, "refused")
        self.accepted |= set(probe)
        return bisect.accepted(current)


def hunt(chance: random.Random) -> None:
    """Culprits are named, within the bound where nothing disturbs; nobody innocent is; what was accepted stays so."""
    count = chance.randint(1, 70)
    items = [f"{number:03}" for number in range(count)]
    one = _HuntDrill(
        chance=chance,
        items=items,
        culprits=set(chance.sample(items, chance.randint(1, min(3, count)))),
        huge=set(chance.sample(items, min(count, chance.choice((0, 0, 0, 1))))),
        call_max=chance.choice((10**6, 10**6, 8)),
        disturbed=chance.random() < 0.5,
    )
    one.run()
    if not one.disturbed and not one.huge and one.call_max > count:
        assert one.named == one.culprits
        bound = len(one.culprits) * (ceil(log2(max(2, count))) + 1)
        assert one.calls - 1 <= bound, f"{one.calls - 1} extra calls for {len(one.culprits)} among {count}"


@dataclass
class _Quota:
    """`limit` calls in any `window_s`, counted when they arrive."""

    limit: int
    window_s: float
    taken: deque[float] = field(default_factory=deque)

    def arrive(self, now_s: float) -> bool:
        while self.taken and self.taken[0] <= now_s - self.window_s:
            self.taken.popleft()
        if len(self.taken) >= self.limit:
            return False
        self.taken.append(now_s)
        return True


def limiter(chance: random.Random) -> None:
    """Where the limit is as documented it is never overrun; asked without end it is used; a lower one is learned, and
    a slow lane gets a call in any two windows."""
    window_s = chance.choice((10.0, 60.0))
    documented = chance.choice((1, 3, 8, 40, 200))
    true = documented if chance.random() < 0.6 else max(1, documented // 2)
    quota, one = _Quota(true, window_s), Limiter(Rate(endpoint="send", calls=documented, per_s=window_s))
    now_s, throttles, taken, told = 1_000.0, 0, 0, chance.random() < 0.5
    began_s = now_s
    delay_s = chance.choice((0.01, 0.1, 0.15))
    priorities = chance.choice(
        ([Priority.FAST], [Priority.SLOW], [Priority.FAST, Priority.FAST, Priority.SLOW])
    )
    last_slow_s, slow_gap_s = now_s, 0.0
    windows = 8 if documented > 40 else 14
    while now_s < began_s + windows * window_s:
        waits = {priority: one.wait_s(priority, now_s) for priority in set(priorities)}
        priority = chance.choice(priorities)
        if waits[priority] > 0:
            priority = min(sorted(waits), key=waits.__getitem__)
        if waits[priority] > 0:
            now_s += waits[priority]
            continue
        ticket = one.take(priority, now_s)
        took = quota.arrive(now_s + delay_s)
        answer_s = now_s + 2 * delay_s
        usage = Usage(share=int(100 * len(quota.taken) / quota.limit) / 100) if told else None
        if took:
            taken += 1
            one.answered(ticket, answer_s, usage)
            if priority is Priority.SLOW:
                slow_gap_s = max(slow_gap_s, now_s - last_slow_s)
                last_slow_s = now_s
        else:
            throttles += 1
            one.throttled(ticket, answer_s, usage=usage)
            now_s = answer_s
        now_s += chance.choice((0.0, 0.001))
    if true == documented:
        assert throttles == 0, f"{throttles} throttles under a limit that is as documented"
        steady = (windows - 1) * true
        assert taken >= 0.9 * steady - true, f"{taken} of {steady} calls"
        if Priority.SLOW in priorities and documented > 1:
            assert slow_gap_s <= 2.2 * window_s, (
                f"the slow lane waited {slow_gap_s:.1f} s under {documented} calls in {window_s:.0f} s"
            )
    else:
        assert throttles <= windows + true, f"{throttles} throttles in {windows} windows"
    assert one.open_calls == 0
    assert one.fast_calls == sum(call.fast for call in one.calls)
    assert one.foreign_calls == sum(not call.own for call in one.calls)


def breaker(chance: random.Random) -> None:
    """It opens for a sick endpoint, lets one probe go at a time, and closes for one that is well again."""
    rules = BreakerRules(calls_min=chance.choice((2, 10)), consecutive_max=chance.choice((2, 5)))
    one, now_s, sick = Breaker(rules), 0.0, False
    unwell = 0
    for _ in range(60):
        now_s += chance.choice((0.0, 0.1, 3.0, 40.0))
        if chance.random() < 0.1:
            sick = not sick
        wait_s = one.wait_s(now_s)
        state = one.state(now_s)
        assert (wait_s == 0) == (
            state is BreakerState.CLOSED or (state is BreakerState.HALF_OPEN and not one.probing)
        )
        if wait_s:
            assert wait_s <= rules.open_max_s * 1.25
            continue
        permit = one.begin(now_s)
        assert permit.probe == (state is BreakerState.HALF_OPEN)
        if permit.probe:
            assert one.wait_s(now_s) > 0, "two probes at once"
        one.end(permit, Health.UNWELL if sick else Health.WELL, now_s, jitter=chance.random())
        unwell = unwell + 1 if sick else 0
        if permit.probe:
            assert (one.state(now_s) is BreakerState.CLOSED) == (not sick)
            if sick:
                longer_s = one.wait_s(now_s)
                assert longer_s >= min(rules.open_max_s, rules.open_first_s * 2)
        elif unwell >= rules.consecutive_max:
            assert one.state(now_s) is BreakerState.OPEN
        elif not sick:
            unwell = 0
        if one.state(now_s) is not BreakerState.CLOSED:
            unwell = 0
    assert one.failed == sum(failed for _, failed in one.outcomes)


def turns(chance: random.Random) -> None:
    """Nobody who waits is passed over for more than one turn of each other; no platform takes all slots."""
    share, names = FairShare(), [f"brand-{n}" for n in range(chance.randint(2, 6))]
    served = dict.fromkeys(names, 0.0)
    for _ in range(60):
        chosen = share.choose(names)
        assert chosen is not None
        assert served[chosen] == min(served.values())
        share.charge(chosen)
        served[chosen] += 1
    share.charge("late")
    assert share.finishes["late"] >= share.now
    total = chance.randint(1, 6)
    slots = Slots(total=total, platform_max=chance.randint(1, total))
    for _ in range(60):
        waiting = [(chance.choice(names), chance.choice(("meta", "pinterest"))) for _ in range(4)]
        chosen_pair = slots.choose(waiting)
        assert (chosen_pair is None) == all(slots.room(platform) <= 0 for _, platform in waiting)
        if chosen_pair is not None and chance.random() < 0.7:
            slots.take(*chosen_pair)
        elif slots.held:
            slots.give_back(sorted(slots.held)[0])
        assert 0 <= slots.free <= total
        assert all(0 < many <= slots.platform_max for many in slots.held.values())


def registers(chance: random.Random) -> None:
    """A replica ends equal in all interleavings, with repeats; a snapshot in the middle changes nothing."""
    stamp, content, offer, exists = Stamp(), 0, 0, False
    story = []
    for _ in range(chance.randint(1, 12)):
        match chance.choice(("content", "offer", "delete")):
            case "content":
                content, exists = content + 1, True
                story.append(replica.content_changed(content, bytes([content]), stamp))
            case "delete" if exists:
                content, exists = content + 1, False
                story.append(replica.item_deleted(content, offer, stamp))
            case _:
                offer += 1
                story.append(replica.offer_changed("US", offer, bytes([offer]), stamp))
    end = replica.join_all(story)
    assert end.exists == exists
    for _ in range(4):
        mixed = story + chance.sample(story, chance.randint(0, len(story)))
        chance.shuffle(mixed)
        cut = chance.randint(0, len(mixed))
        halves = replica.join(replica.join_all(mixed[cut:]), replica.join_all(mixed[:cut]))
        assert halves == end == replica.join_all(mixed)


def batches(chance: random.Random) -> None:
    """A batch keeps within both bounds but for one record; halves are whole and nearly equal; times only go on."""
    sizes = [chance.randint(1, 50) for _ in range(chance.randint(1, 20))]
    items_max, bytes_max = chance.randint(1, 20), chance.randint(1, 200)
    count = batching.fill(sizes, items_max=items_max, bytes_max=bytes_max)
    assert 1 <= count <= items_max
    assert count == 1 or sum(sizes[:count]) <= bytes_max
    room = count < min(len(sizes), items_max)
    assert not room or sum(sizes[: count + 1]) > bytes_max, "more would have fitted"
    parts = batching.halves(sizes)
    assert [one for part in parts for one in part] == (sizes if len(sizes) > 1 else [])
    assert len(sizes) < 2 or abs(len(parts[0]) - len(parts[1])) <= 1
    cut = bisect.halve_by_size(sizes)
    assert (cut == 0) == (len(sizes) == 1)
    if cut:
        best = min(abs(sum(sizes[:n]) - sum(sizes[n:])) for n in range(1, len(sizes)))
        assert abs(sum(sizes[:cut]) - sum(sizes[cut:])) == best
    tries = chance.randint(0, 40)
    assert (
        T0 < schedule.next_poll(T0, tries) <= schedule.next_poll(T0, tries + 1) <= T0 + timedelta(seconds=5)
    )
    assert T0 < schedule.next_read_back(T0, tries) <= T0 + timedelta(seconds=300)
    jitter = chance.random()
    pause = schedule.next_try(T0, tries, jitter=jitter) - T0
    assert timedelta(seconds=0.5) <= pause <= timedelta(seconds=90)
    asked_s = chance.uniform(0, 10_000)
    assert schedule.next_try(T0, tries, jitter=jitter, retry_after_s=asked_s) == T0 + timedelta(
        seconds=min(asked_s, 3600)
    )
    gate = T0 + timedelta(seconds=chance.uniform(-5, 5))
    assert schedule.send_at(T0, gate) == max(T0, gate)


def stillness(chance: random.Random) -> None:
    """What stands still on purpose is not stuck; what nobody will come for is."""
    after, now = timedelta(minutes=15), T0
    ago = [None, now - timedelta(hours=1), now, now + timedelta(minutes=5)]
    claimed = chance.random() < 0.5
    one = Standing(
        brand_id=None,  # type: ignore[arg-type]
        channel_id=None,  # type: ignore[arg-type]
        platform="meta",
        may_work=chance.random() < 0.8,
        due_at=chance.choice(ago),
        send_after=chance.choice(ago),
        failures=chance.choice((0, 0, 3)),
        claimed=claimed,
        claimed_until=chance.choice(ago[1:]) if claimed else None,
        last_call_at=chance.choice(ago[:3]),
        items=chance.choice((0, 2)),
        flights=chance.choice((0, 1)),
        suspects=chance.choice((0, 1)),
        looks=chance.choice((0, 1)),
        attempts=chance.choice((0, 1)),
    )
    stopped = chance.random() < 0.2
    found = stuck_domain.findings(one, now=now, after=after, stopped=stopped)
    if stopped or not one.may_work:
        assert found == []
        return
    causes = {finding.kind: finding.cause for finding in found}
    assert (causes.get(Kind.FLIGHT) is Cause.LOST) == bool(one.flights)
    assert (causes.get(Kind.SUSPECT) is Cause.LOST) == bool(one.suspects)
    assert (Kind.ITEM in causes) == bool(one.items)
    dead = one.claimed and one.claimed_until is not None and one.claimed_until < now - after
    assert (Kind.CLAIM in causes) == dead
    alive = one.claimed and one.claimed_until is not None and one.claimed_until >= now
    for kind in (Kind.ITEM, Kind.LOOK, Kind.ATTEMPT):
        if kind in causes:
            assert (causes[kind] is Cause.NOT_DUE) == (one.due_at is None and not alive)
            assert (causes[kind] is Cause.SILENT) <= alive
    assert stuck_domain.stuck(found) >= one.flights + one.suspects


DRILLS: Final = (hunt, limiter, breaker, turns, registers, batches, stillness)


def drill(seed: int) -> None:
    for one in DRILLS:
        chance = random.Random(f"{one.__name__} {seed}")
        try:
            one(chance)
        except AssertionError as error:
            raise AssertionError(f"drill {one.__name__}: {error}") from error
