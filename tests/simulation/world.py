"""A house in virtual time: catalog, relays, broker, consumer, worker, platform; what must hold at every step and at the
end. `run(scenario)` raises `Broken` with the last steps, or answers what was done and the hash of the whole trace."""

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from tests.simulation.clockwork import Clockwork, Nap, Process, Steps
from tests.simulation.hunting import LONE_REFUSALS
from tests.simulation.platform import Platform
from tests.simulation.scenario import (
    RELAYS,
    BrokerLost,
    Change,
    Crash,
    Decide,
    HouseStop,
    Scenario,
    Stall,
    Step,
    Trouble,
)
from tests.simulation.shop import Shop
from tests.simulation.spine import (
    DB_S,
    MARKET,
    PARTITIONS,
    TOPICS,
    Broker,
    Database,
    moment,
    relay,
)
from tests.simulation.verdict import AT_REST, wrong
from tests.simulation.worker import WITHIN_S, Worker
from vitrin.platforms.base import Operation, OperationKind
from vitrin.shop_sync.domain import arrival, guard, sync
from vitrin.shop_sync.domain.guard import Judgement, Policy
from vitrin.shop_sync.domain.replica import ItemReplica
from vitrin.shop_sync.domain.sync import Facts, Lane, State, Want
from vitrin.shop_sync.domain.values import ChannelItem

START_S: Final = 1_000_000.0
REST_MAX_S: Final = 8 * 3_600.0
"""After the last step: hours, since a guard's window, holds and pauses have to pass."""
POLL_S: Final = 5.0
DRAIN_S: Final = 10.0
BATCH_MAX: Final = 20


class Broken(AssertionError):
    """An invariant of a scenario does not hold."""


@dataclass
class Report:
    seed: int
    trace: str = ""
    steps: int = 0
    calls: int = 0
    throttles: int = 0
    hunts: int = 0
    held: int = 0
    repeats: int = 0
    lives: int = 0
    states: Counter[str] = field(default_factory=Counter)


class World:
    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.clock = Clockwork(START_S, random.Random(f"world {scenario.seed}"))
        self.report = Report(scenario.seed)
        self.database = Database()
        self.broker = Broker(self.clock)
        self.platform = Platform(scenario, self.clock)
        self.shop = Shop(Policy(scenario.percent, scenario.at_least))
        self.broker.told = self._wake_consumers
        self.platform.heard = self._heard
        self.shop.moved, self.shop.judged = self._moved, self._judged
        self.shop.returned = self._came_back
        self.left: dict[str, datetime] = {}
        self.shown: list[tuple[datetime, int]] = []
        self.doubtful: dict[str, str] = {}
        self.is_up = True
        self.queued: list[Change] = []
        self.starts = 0
        self.left_to_do = len(scenario.steps)
        self.processes = {name: Process(self.clock, name, self._relay(name)) for name in RELAYS}
        for name in ("consumer", "consumer-b"):
            self.processes[name] = Process(self.clock, name, self._consumer)
        self.processes["worker"] = Process(self.clock, "worker", self._worker)

    def run(self) -> Report:
        for process in self.processes.values():
            process.start()
        for step in self.scenario.steps:
            self.clock.after(step.at_s, lambda step=step: self._do(step))  # type: ignore[misc]
        self.clock.run_until(START_S + self.scenario.end_s)
        while self.left_to_do or not self.is_up:
            self.clock.run_until(self.clock.now_s + 60.0)
        begun_s = self.clock.now_s
        self.clock.run_until(begun_s + REST_MAX_S, self._is_at_rest)
        self._finally()
        report = self.report
        report.trace, report.steps = self.clock.trace, self.clock.steps
        report.calls, report.throttles = self.platform.calls, self.platform.throttles
        report.held = sum(len(one.waiting) for one in self.shop.requests)
        report.hunts = self.shop.hunts_begun
        report.lives = self.broker.lives
        report.states = Counter(row.settled.state.value for row in self.shop.rows.values())
        return report

    # ---- processes

    def _relay(self, name: str):  # type: ignore[no-untyped-def]
        def make() -> Steps:
            self.starts += 1
            return relay(
                self.database,
                self.broker,
                self.clock,
                owner=f"{name}#{self.starts}",
                has_state=self.scenario.has_state,
                told=self._wake_relays,
            )

        return make

    def _worker(self) -> Steps:
        return Worker(self.shop, self.platform, self.clock).run()

    def _consumer(self) -> Steps:
        """Positions live with what was handled, and move by compare-and-set."""
        positions = self.shop.positions
        while True:
            taken = []
            for topic in TOPICS if self.broker.up else ():
                topic_id, logs = self.broker.topics[topic]
                for partition in range(PARTITIONS):
                    place = (topic, topic_id, partition)
                    at = positions.get(place, 0)
                    records = logs[partition][at : at + BATCH_MAX]
                    if records:
                        taken.append((place, at, records))
            if not taken:
                yield Nap(POLL_S)
                continue
            yield self.clock.chance.choice((DB_S, 0.02))
            if any(positions.get(place, 0) != at for place, at, _ in taken):
                self.clock.note("positions have moved: rolled back")
                yield DB_S
                continue
            self.shop.hear([one for _, _, records in taken for one in records], moment(self.clock.now_s))
            for place, at, records in taken:
                positions[place] = at + len(records)
            self.processes["worker"].wake()

    def _wake_relays(self) -> None:
        for name in RELAYS:
            self.processes[name].wake()

    def _wake_consumers(self) -> None:
        self.processes["consumer"].wake()
        self.processes["consumer-b"].wake()

    # ---- steps

    def _do(self, step: Step) -> None:
        self.left_to_do -= 1
        self.clock.note(str(step))
        match step:
            case Change():
                self._change(step)
            case Trouble():
                self.platform.trouble(step)
            case Decide(approve=approve):
                self.shop.decide(approve=approve, now=moment(self.clock.now_s))
                self.processes["worker"].wake()
            case Stall(who=who, for_s=for_s):
                self.processes[who].stall(for_s)
            case Crash():
                self._crash(step)
            case BrokerLost(back_s=back_s):
                self.broker.up = False
                self.clock.after(back_s, self.broker.come_back_empty)
            case HouseStop():
                self.left_to_do += 1
                self.clock.after(0.0, lambda: self._stop(step, self.clock.now_s + DRAIN_S))

    def _change(self, change: Change) -> None:
        if not self.is_up:
            self.queued.append(change)
        elif self.database.change(change, moment(self.clock.now_s)):
            self._wake_relays()

    def _crash(self, step: Crash) -> None:
        process = self.processes[step.who]
        if process.is_up:
            process.doomed_in = step.steps

        def back() -> None:
            if process.doomed_in is not None and process.is_up:
                process.kill()
            if self.is_up:
                process.start()

        self.clock.after(step.back_s + 1.0, back)

    def _stop(self, step: HouseStop, until_s: float) -> None:
        now = moment(self.clock.now_s)
        drained = self.broker.up and self._is_drained()
        if step.clean and not drained and self.clock.now_s < until_s:
            self.clock.after(0.1, lambda: self._stop(step, until_s))
            return
        if step.clean and drained:
            self.database.drained_at = now
            self.clock.note("marker")
        self.is_up = False
        for process in self.processes.values():
            process.kill()
        self.clock.after(step.for_s, lambda: self._restart(step))

    def _restart(self, step: HouseStop) -> None:
        self.left_to_do -= 1
        if self.is_up:
            return
        self.database.forget(moment(self.clock.now_s))
        if step.empty or not self.broker.up:
            self.broker.come_back_empty()
        self.is_up = True
        for process in self.processes.values():
            process.start()
        for change in self.queued:
            self._change(change)
        self.queued = []

    def _is_drained(self) -> bool:
        if any(row.sent_at is None for row in self.database.outbox.values()):
            return False
        for topic in TOPICS:
            topic_id, logs = self.broker.topics[topic]
            if any(
                self.shop.positions.get((topic, topic_id, number), 0) < len(log)
                for number, log in enumerate(logs)
            ):
                return False
        return True

    # ---- what must hold at every step

    def _moved(self, row: ChannelItem, before: Facts) -> None:
        """A state never contradicts its facts."""
        facts, settled, item = row.facts, row.settled, row.item_id
        assert settled == sync.settle(facts)
        flight = facts.in_flight
        assert (settled.state in {State.SENT, State.UNKNOWN}) == (flight is not None)
        assert (settled.lane is not None) == (settled.state is State.PENDING)
        assert (settled.lane is Lane.SUSPECT) <= (facts.hunt_id is not None)
        if settled.state in {State.LIVE, State.ACCEPTED}:
            assert facts.confirmed == facts.desired != facts.refused
        if settled.state is State.REJECTED:
            assert facts.refused == facts.desired
        if settled.state in {State.REMOVED, State.EXCLUDED}:
            assert facts.want is Want.ABSENT
            assert not facts.exposed
        if flight is not None and flight.unknown:
            self.doubtful[item] = "unknown"
        elif before.in_flight is not None and before.in_flight.unknown and facts.confirmed is None:
            self.doubtful[item] = "requeued"
        elif flight is None and facts.confirmed is not None:
            self.doubtful.pop(item, None)
        unwell = any(reason.code == "transient" for reason in facts.note)
        if before.in_flight is not None and flight is None and unwell:
            self.doubtful[item] = "requeued"
        self.clock.note(f"{item} {settled.state} {settled.lane}")

    def _heard(self, operation: Operation) -> None:
        """What was accepted and has not changed goes again only after an unknown outcome (and a look at it)."""
        item, held = operation.platform_item_id, self.platform.shown.get(operation.platform_item_id)
        if held is None:
            return
        same = (
            all(held.get(name) == value for name, value in operation.attributes.items())
            if operation.kind is OperationKind.OFFER
            else operation.kind is OperationKind.UPSERT and held == operation.attributes
        )
        if not same or item in self.platform.drifted:
            return
        self.report.repeats += 1
        row = self.shop.rows[item]
        flight = row.facts.in_flight
        late = flight is None or flight.unknown
        assert late or item in self.doubtful or self._is_twice(item) or self._changed_unseen(row), (
            f"{item} was accepted, is unchanged and was sent again"
        )

    def _changed_unseen(self, row: ChannelItem) -> bool:
        """The platform accepted something else since, and dropped it: what it shows is what we now want back."""
        facts = row.facts
        accepted = facts.in_flight is not None and facts.confirmed not in {None, facts.in_flight.hashes}
        return accepted and self.platform.dropped[row.item_id] > 0

    def _is_twice(self, item: str) -> bool:
        """The network delivered one call twice: the row is in flight, and has been sent once."""
        return any(one.kind == "duplicate" for one in self.scenario.steps if isinstance(one, Trouble))

    def _judged(self, judgement: Judgement, on_show: int, now: datetime) -> None:
        """Never more than the limit within an hour, counted in another way than the guard does."""
        self.shown = [(at, many) for at, many in self.shown if at > now - timedelta(seconds=60)]
        gone = sum(at > now - timedelta(minutes=61) for at in self.left.values())
        self.shown.append((now, on_show + gone))
        base = max(many for _, many in self.shown)
        limit = guard.limit_of(self.shop.policy, base)
        for ask in judgement.passed:
            if ask.item_id not in self.left:
                self.left[ask.item_id] = now
        told = {ask.item_id for ask in judgement.passed if ask.told}
        hour = [item for item, at in self.left.items() if at > now - timedelta(hours=1) and item not in told]
        new = [ask for ask in judgement.passed if ask.charge is None and not ask.told]
        assert not new or len(hour) <= limit, f"{len(hour)} left within an hour, {limit} may"

    def _came_back(self, item: str) -> None:
        self.left.pop(item, None)

    # ---- the end

    def _is_at_rest(self) -> bool:
        if not self.broker.up or self.shop.attempts or self.shop.hunts or not self._is_drained():
            return False
        return all(self._rests(row) for row in self.shop.rows.values())

    def _rests(self, row: ChannelItem) -> bool:
        """And what a look may still change has been looked at."""
        if self._is_lost(row):
            return True
        looks = row.read_back_at is not None and self.platform.traits.read_back
        if looks and row.settled.state in {State.REMOVED, State.INVALID, State.HELD}:
            overdue = arrival.is_overdue(row.facts, looks=row.read_back_tries, within_s=WITHIN_S)
            return overdue or not arrival.is_open(row.facts)
        return row.settled.state in AT_REST

    def _is_lost(self, row: ChannelItem) -> bool:
        """It was dropped again and again, until nothing was sent any more (or nobody can look)."""
        dropped = self.platform.dropped[row.item_id]
        if not self.platform.traits.read_back:
            return row.item_id in self.platform.drifted
        return row.facts.resends == arrival.RESENDS_MAX and dropped > arrival.RESENDS_MAX

    def _finally(self) -> None:
        if not self._is_at_rest():
            waiting = {
                row.item_id: (row.settled.state.value, [one.code for one in row.settled.reasons])
                for row in self.shop.rows.values()
                if row.settled.state not in AT_REST
            }
            raise AssertionError(
                f"it does not come to rest: {waiting}, attempts {self.shop.attempts}, hunts {self.shop.hunts}"
            )
        self._nothing_is_missed()
        for row in self.shop.rows.values():
            self._is_right(row)
        documented = self.scenario.traits.quota == self.scenario.traits.documented
        killed = any(isinstance(one, Crash | HouseStop) for one in self.scenario.steps)
        late = any(
            isinstance(one, Trouble) and one.kind in {"late_request", "duplicate", "slow", "lost_request"}
            for one in self.scenario.steps
        )
        if documented and not killed and not late:
            assert self.platform.throttles == 0, "the platform's window was overrun"

    def _nothing_is_missed(self) -> None:
        now = moment(0)
        for name, item in self.database.items.items():
            held = self.shop.replicas.get(name, ItemReplica())
            assert held.content.version == item.content_version, f"{name}: content was missed"
            assert held.exists == item.exists
            if item.price is None:
                assert MARKET not in held.offers
                continue
            offer = self.database.record(name, "offer", now).news.offers[MARKET]
            assert replace(held.offers[MARKET], stamp=offer.stamp) == offer, f"{name}: an offer was missed"

    def _is_right(self, row: ChannelItem) -> None:
        item = row.item_id
        if self._is_lost(row):
            return
        alone = row.settled.state is State.REJECTED and self.platform.failed_alone[item] >= LONE_REFUSALS
        found = wrong(
            self.database.items[item],
            row.settled.state,
            shown=self.platform.shown.get(item),
            held=bool(row.facts.held),
            confirmed=row.facts.confirmed is not None,
            culprit=item in self.platform.refused | self.platform.nameless or alone,
        )
        assert found is None, f"{item} is {found}"


def run(scenario: Scenario) -> Report:
    world = World(scenario)
    try:
        return world.run()
    except AssertionError as error:
        tail = "\n".join(world.clock.tail[-40:])
        raise Broken(f"seed {scenario.seed}: {error}\n{scenario.traits}\n{tail}") from error
