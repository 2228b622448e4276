"""A random history on a virtual clock: both inner loops live through it, the reference says after every step what is
true.

Everything comes from one seed; a failure names it. DuckDB is asked too where a test wants it (`duck`).
"""

import random
from collections.abc import Callable
from typing import Final

import numpy as np

from tests.retargeting.audiences import reference, rules
from tests.retargeting.audiences.reference import Seen, SeenItem, World
from tests.retargeting.audiences.translate import Translator
from vitrin.retargeting.audiences.engine import Changes, Engine, Plan, compile_plan
from vitrin.retargeting.audiences.engine.admission import LATE_MS_MAX, accepted_of, admit
from vitrin.retargeting.audiences.engine.arrays import NEVER
from vitrin.retargeting.audiences.engine.bounds import bound, key
from vitrin.retargeting.audiences.engine.checkpoint import checkpoint, restore
from vitrin.retargeting.audiences.engine.columns import Batch
from vitrin.retargeting.audiences.engine.engine import handover
from vitrin.retargeting.audiences.engine.kernels import Loop
from vitrin.retargeting.audiences.engine.plan import FACT_COLUMNS
from vitrin.retargeting.audiences.engine.why import next_arrival, why, why_from_log
from vitrin.retargeting.audiences.language import parse, words
from vitrin.retargeting.audiences.language.nodes import Top

START: Final = 1_700_000_000_000
VISITORS: Final = 9
Loops = tuple[Loop, ...]
Act = Callable[[Engine], Changes]


class Stage:
    def __init__(self, seed: int, loops: Loops = ("numpy", "compiled"), audiences: int = 6) -> None:
        self.rng = random.Random(seed)
        self.seed = seed
        self.translator = Translator()
        self.world = World(
            {name: parse(rule) for name, rule in rules.random_rules(self.rng, audiences).items()},
            identity={visitor: visitor for visitor in range(VISITORS)},
        )
        self.clock = START
        self.arrivals = 0
        self.arrived: list[Seen] = []
        self.accepted_ids: set[str] = set()
        self.refused = dict.fromkeys(("repeated", "late", "bad_value"), 0)
        self.flips = 0
        self.done: dict[str, int] = {}
        self.engines = [Engine(self.plan(), clock=START, loop=loop) for loop in loops]
        self.loops: Loops = loops
        self.saved = [checkpoint(engine) for engine in self.engines]
        self.since: list[Act] = []

    def plan(self) -> Plan:
        return compile_plan(self.world.rules, self.translator.dictionary, self.world.bounds)

    def run(self, steps: int) -> None:
        acts = (self.deliver, self.deliver, self.deliver, self.pass_time, self.pass_time, self.tell_facts)
        rare = (
            self.merge,
            self.unmerge,
            self.erase,
            self.edit_rules,
            self.new_bounds,
            self.crash,
            self.idle_days,
        )
        for _ in range(steps):
            act = self.rng.choice(acts if self.rng.random() < 0.7 else rare)
            act()
            self.done[act.__name__] = self.done.get(act.__name__, 0) + 1
            self.check()

    def check(self) -> None:
        expected = reference.members(self.world, self.clock)
        for engine in self.engines:
            found = {audience: set(engine.members(audience).tolist()) for audience in engine.plan.audiences}
            assert found == expected, f"seed {self.seed} at {self.clock - START} after {self.done}"
        self._check_why(expected)
        saved = {checkpoint(engine) for engine in self.engines}
        assert len(saved) == 1, f"seed {self.seed}: the loops differ after {self.done}"

    def _check_why(self, expected: dict[str, set[int]]) -> None:
        """For one subject: the truth of every audience, from the state and from the log, and the next instant."""
        subject, engine = self.rng.choice(self._subjects()), self.engines[0]
        if subject >= engine.subjects.size or not engine.subjects.known[subject]:
            return
        log = self._log(
            [event for event in self.world.events if self.world.subject(event.visitor) == subject]
        )
        facts = {
            name: self.translator.fact(name, text) for name, text in self.world.facts.get(subject, {}).items()
        }
        dictionary, instants = self.translator.dictionary, [next_arrival(engine, subject)]
        for audience in engine.plan.audiences:
            told = why(engine, audience, subject, dictionary)
            other = why_from_log(engine.plan, audience, log, facts, at=self.clock, dictionary=dictionary)
            assert told.true is other.true is (subject in expected[audience]), f"seed {self.seed}"
            assert told.flips_at == other.flips_at
            instants.append(told.flips_at)
        least = min((instant for instant in instants if instant is not None), default=NEVER)
        # Never after the first instant at which an audience can turn; before it where a condition turned in vain.
        assert engine.subjects.next[subject] <= least, f"seed {self.seed}"

    def act(self, act: Act) -> Changes:
        """On every engine; the changes must be the same."""
        self.since.append(act)
        found = [_sorted(act(engine)) for engine in self.engines]
        assert all(one == found[0] for one in found), f"seed {self.seed}: the loops differ after {self.done}"
        return _changes(found[0])

    # Steps ----------------------------------------------------------------------------------------------------------

    def deliver(self) -> None:
        """A batch: new ones, some late, some too late, some of the future, repeats within it and of before."""
        self.clock += self.rng.choice((0, 1, 60_000, words.HOUR_MS))
        arrived = [self._arrival() for _ in range(self.rng.randint(1, 12))]
        batch = self.translator.batch(arrived, self.world)
        seen, first = set(self.accepted_ids), []
        for event in arrived:
            first.append(event.event_id not in seen)
            seen.add(event.event_id)
        admitted = admit(batch, self.clock, np.array(first))
        for name in self.refused:
            self.refused[name] += int(getattr(admitted, name).sum())
        accepted = [event for event, good in zip(arrived, admitted.accepted, strict=True) if good]
        assert all(self.clock - event.at <= LATE_MS_MAX and event.value >= 0 for event in accepted)
        self.accepted_ids.update(event.event_id for event in accepted)
        self.world.events.extend(accepted)
        self.arrived.extend(arrived)
        good, now = accepted_of(batch, admitted), self.clock
        self.act(lambda engine: engine.apply(good, now))
        if self.rng.random() < 0.2:  # delivered again after a crash of the consumer: nothing happens
            assert self.act(lambda engine: engine.apply(good, now)).rows == 0

    def _arrival(self) -> Seen:
        rng = self.rng
        if self.arrived and rng.random() < 0.1:
            again = rng.choice(self.arrived)
            return Seen(*(getattr(again, name) for name in Seen.__slots__))
        age = rng.choice(
            (0, 0, rng.randint(0, words.HOUR_MS), rng.randint(0, LATE_MS_MAX), -rng.randint(1, LATE_MS_MAX))
        )
        if rng.random() < 0.05:
            age = LATE_MS_MAX + rng.randint(1, 5 * words.DAY_MS)
        self.arrivals += 1
        items = tuple(
            SeenItem(
                rng.choice(rules.ITEMS),
                rng.choice((*rules.CATEGORIES, None)),
                rng.choice(rules.BRANDS),
                price,
            )
            for price in rng.choices((None, 100, 200, 399, 400, 600, 700), k=rng.choice((0, 1, 1, 1, 3)))
        )
        return Seen(
            seq=self.arrivals,
            event_id=f"e{self.arrivals}",
            visitor=rng.randrange(VISITORS),
            at=self.clock - age,
            name=rng.choice(rules.EVENTS),
            value=rng.choice((0, 1, 299, 300, 500, 800, -5)),
            currency=rng.choice((*rules.CURRENCIES, None)),
            items=items,
        )

    def pass_time(self) -> None:
        before = self.clock
        self.clock += self.rng.choice(
            (1, 1_000, words.MINUTE_MS, words.HOUR_MS, words.DAY_MS, 3 * words.DAY_MS)
        )
        now = self.clock
        self._check_flips(self.act(lambda engine: engine.advance(now)), before)

    def idle_days(self) -> None:
        """Days in which only time passes, hour by hour."""
        for _ in range(30):
            before = self.clock
            self.clock += words.HOUR_MS
            now = self.clock
            self._check_flips(self.act(lambda engine, now=now: engine.advance(now)), before)  # type: ignore[misc]

    def _check_flips(self, changes: Changes, before: int) -> None:
        """A flip happens at its instant: one millisecond before, the rule still said the other."""
        columns = list(zip(*(column.tolist() for column in changes), strict=True))
        for at, subject, audience, member in self.rng.sample(columns, min(4, len(columns))):
            assert before < at <= self.clock
            name = self.engines[0].plan.audiences[audience]
            assert (subject in reference.members(self.world, at)[name]) is member
            assert (subject in reference.members(self.world, at - 1)[name]) is not member
            self.flips += 1

    def tell_facts(self) -> None:
        subject, now = self.rng.choice(self._subjects()), self.clock
        facts = {
            "market": self.rng.choice(rules.MARKETS),
            self.rng.choice(words.PURPOSES): self.rng.choice(words.CHOICES),
        }
        self.world.facts.setdefault(subject, {}).update(facts)
        values = {name: [self.translator.fact(name, text)] for name, text in facts.items()}
        self.act(lambda engine: engine.set_facts(np.array([subject]), values, now))

    def merge(self) -> None:
        subjects, now = self._subjects(), self.clock
        if len(subjects) < 2:
            return
        into, absorbed = self.rng.sample(subjects, 2)
        for visitor, subject in self.world.identity.items():
            if subject == absorbed:
                self.world.identity[visitor] = into
        self.act(lambda engine: engine.merge(into, absorbed, now))

    def unmerge(self) -> None:
        """A visitor is somebody of his own again: both are rebuilt from the log."""
        moved = [visitor for visitor, subject in self.world.identity.items() if subject != visitor]
        if not moved:
            return
        visitor, now = self.rng.choice(moved), self.clock
        was = self.world.identity[visitor]
        if visitor in self._subjects():  # the number is taken by others who were merged into it
            return
        self.world.identity[visitor] = visitor
        both = np.array([was, visitor])
        events = self._log(
            [event for event in self.world.events if self.world.subject(event.visitor) in both]
        )
        self.act(lambda engine: engine.rebuild(both, events, now))

    def erase(self) -> None:
        if self.rng.random() < 0.5:
            return
        subject, now = self.rng.choice(self._subjects()), self.clock
        self.world.events = [e for e in self.world.events if self.world.subject(e.visitor) != subject]
        self.world.facts.pop(subject, None)
        self.act(lambda engine: engine.erase(np.array([subject]), now))

    def edit_rules(self) -> None:
        """One rule is changed, one added, one removed that nobody refers to."""
        named = {name for rule in self.world.rules.values() for name in rule.references()}
        fresh = parse({"version": 1, "who": rules.condition(self.rng, [], depth=2)})
        free = sorted(set(self.world.rules) - named)
        edited = dict(self.world.rules)
        edited[self.rng.choice(sorted(edited))] = fresh
        if len(free) > 1:
            edited.pop(self.rng.choice(free), None)
        edited[f"n{self.rng.randrange(1_000)}"] = parse(
            {"version": 1, "who": rules.condition(self.rng, [], depth=1)}
        )
        self._exchange(
            World(edited, self.world.events, self.world.identity, self.world.facts, self.world.bounds)
        )

    def new_bounds(self) -> None:
        """As a schedule does it: bounds of all top conditions, by a count of our own."""
        tops = [top for rule in self.world.rules.values() for top in rule.tops()]
        found = {key(top): reference_bound(self.world, top, self.clock) for top in tops}
        log, dictionary = self._log(self.world.events), self.translator.dictionary
        assert found == {key(top): bound(top, log, dictionary, self.clock) for top in tops}, (
            f"seed {self.seed}"
        )
        bounds = {name: value for name, value in found.items() if value is not None}
        self._exchange(
            World(self.world.rules, self.world.events, self.world.identity, self.world.facts, bounds)
        )

    def _exchange(self, world: World) -> None:
        """Another engine catches up chunk by chunk while the first goes on, then takes over."""
        old_members = reference.members(self.world, self.clock)
        plan = compile_plan(world.rules, self.translator.dictionary, world.bounds)
        log = self._log(self.world.events)
        now, fresh = self.clock, []
        for engine, loop in zip(self.engines, self.loops, strict=True):
            other = engine.successor(plan, loop=loop)
            for start in range(0, log.rows, 7):
                other.load(log.take(np.arange(start, min(start + 7, log.rows))))
            while other.settle(4) < 1.0:
                pass
            other.position = engine.position
            changes = handover(engine, other)
            assert (changes.at == now).all()
            fresh.append(other)
            found = {name: set(members) for name, members in old_members.items()}
            for _, subject, audience, member in zip(*(column.tolist() for column in changes), strict=True):
                name = plan.audiences[audience] if audience >= 0 else engine.plan.audiences[-1 - audience]
                (set.add if member else set.discard)(found.setdefault(name, set()), subject)
            expected = reference.members(world, now)
            assert {name: members for name, members in found.items() if members} == {
                name: members for name, members in expected.items() if members
            }
        self.engines, self.world = fresh, world
        self.saved, self.since = [checkpoint(engine) for engine in self.engines], []

    def crash(self) -> None:
        """The process dies: from the last checkpoint, what came since is done again, with the same changes as then."""
        plan = self.engines[0].plan
        again = [restore(plan, saved, loop=loop) for saved, loop in zip(self.saved, self.loops, strict=True)]
        for act in self.since:
            for engine in again:
                act(engine)
        self.engines = again
        if self.rng.random() < 0.7:
            self.saved, self.since = [checkpoint(engine) for engine in self.engines], []

    def _subjects(self) -> list[int]:
        return sorted(set(self.world.identity.values()))

    def _log(self, events: list[Seen]) -> Batch:
        return self.translator.batch(events, self.world)


def reference_bound(world: World, top: Top, at: int) -> int | None:
    """Nearest rank, by sorting."""
    measures = []
    for events in world.by_subject().values():
        met = list(reference._within(top.match, events, at, top.within_ms))
        if top.by == "sum":
            measures.append(sum(event.value for event in met if event.currency == top.currency))
        elif top.by == "count":
            measures.append(len(met))
        elif met:
            measures.append(at - max(event.at for event in met) + 1)
    positive = sorted((measure for measure in measures if measure > 0), reverse=top.by != "recency")
    if not positive:
        return None
    rank = (len(positive) * top.percent + 99) // 100
    return positive[rank - 1]


def _sorted(changes: Changes) -> list[tuple[int, int, int, bool]]:
    return sorted(zip(*(column.tolist() for column in changes), strict=True))


def _changes(rows: list[tuple[int, int, int, bool]]) -> Changes:
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return Changes(
        np.array(columns[0], dtype=np.int64),
        np.array(columns[1], dtype=np.int64),
        np.array(columns[2], dtype=np.int32),
        np.array(columns[3], dtype=np.bool_),
    )


assert set(FACT_COLUMNS) == {"market", *words.PURPOSES}
