"""What happens in one seed. The same scenarios, small ones, run on the real parts (tests/faults/test_scenarios.py)."""

import random
from dataclasses import dataclass
from typing import Final, Literal

ChangeKind = Literal[
    "content", "offer", "delete", "draft", "activate", "break", "repair", "sell_out", "restock"
]
TroubleKind = Literal[
    "lost_request", "lost_answer", "late_request", "duplicate", "no_connection", "unwell", "unwell_after",
    "throttle", "half_batch", "fail_batch", "lose_handle", "outage", "drift", "slow",
]  # fmt: skip
ON_SANDBOX: Final[tuple[TroubleKind, ...]] = (
    "lost_request", "lost_answer", "unwell", "throttle", "half_batch", "fail_batch", "lose_handle", "outage", "drift",
)  # fmt: skip
ALL: Final[tuple[TroubleKind, ...]] = (
    *ON_SANDBOX, "late_request", "duplicate", "no_connection", "unwell_after", "slow",
)  # fmt: skip
RELAYS: Final = ("relay-0", "relay-1", "relay-2")


@dataclass(frozen=True, slots=True)
class Change:
    """`value`: of the new title or price."""

    at_s: float
    item: str
    kind: ChangeKind
    value: int = 0


@dataclass(frozen=True, slots=True)
class Trouble:
    """The next `count` calls of the endpoint; an outage for `for_s` seconds. `seed`: which half, what drifts."""

    at_s: float
    kind: TroubleKind
    endpoint: Literal["send", "poll", "read"] = "send"
    count: int = 1
    for_s: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Crash:
    """`who` is killed `steps` steps later, and starts again after `back_s`."""

    at_s: float
    who: str
    steps: int
    back_s: float


@dataclass(frozen=True, slots=True)
class Stall:
    at_s: float
    who: str
    for_s: float


@dataclass(frozen=True, slots=True)
class BrokerLost:
    """The broker comes back empty after `back_s`."""

    at_s: float
    back_s: float


@dataclass(frozen=True, slots=True)
class HouseStop:
    """Everything stops for `for_s`. `clean`: drained before, with a marker. `empty`: the broker comes back empty."""

    at_s: float
    clean: bool
    for_s: float
    empty: bool


@dataclass(frozen=True, slots=True)
class Decide:
    """Somebody decides about what the removal guard holds; nothing where nothing waits."""

    at_s: float
    approve: bool


Step = Change | Trouble | Crash | Stall | BrokerLost | HouseStop | Decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """A platform. `quota`: calls per minute that it takes of each endpoint; `documented`: what we believe. `silent`:
    drops of what it calls accepted are not told. `wordless`: what it dislikes fails the whole batch later."""

    asynchronous: bool
    partial_update: bool
    read_back: bool
    batch_items_max: int
    batch_bytes_max: int
    true_bytes_max: int
    quota: int
    documented: int
    tells_usage: bool
    silent: bool
    wordless: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`refused`: items that the platform refuses by name; `nameless`: those for which it refuses every call."""

    seed: int
    items: tuple[str, ...]
    traits: Traits
    refused: frozenset[str]
    nameless: frozenset[str]
    percent: int
    at_least: int
    has_state: bool
    steps: tuple[Step, ...]

    @property
    def end_s(self) -> float:
        return max((step.at_s for step in self.steps), default=0.0)


def scenario(seed: int, *, small: bool = False) -> Scenario:
    """`small`: few items and only what the sandbox and a test's patience can do; times are then an order only."""
    chance = random.Random(f"vitrin {seed}{' small' if small else ''}")
    count = chance.randint(2, 7) if small else chance.choice((3, 8, 16, 30, 48))
    items = tuple(f"{number:03}" for number in range(count))
    span_s = chance.choice((20.0, 120.0, 600.0))
    has_state = chance.random() < 0.7
    changes = _changes(chance, items, span_s, small=small)
    steps: list[Step] = list(changes)
    steps += _troubles(chance, span_s, small=small)
    steps += [
        Decide(chance.uniform(0, span_s * 1.2), chance.random() < 0.6) for _ in range(chance.randrange(3))
    ]
    if small:
        if chance.random() < 0.4:
            steps.append(Crash(chance.uniform(0, span_s), "worker", 0, 0.0))
    else:
        steps += _breakdowns(chance, span_s, has_state=has_state)
    culprits = chance.sample(items, min(len(items), chance.choice((0, 0, 1, 1, 2, 3))))
    named = chance.randint(0, len(culprits))
    return Scenario(
        seed=seed,
        items=items,
        traits=_traits(chance, random.Random(f"answers {seed}")),
        refused=frozenset(culprits[:named]),
        nameless=frozenset(culprits[named:]),
        percent=chance.choice((0, 10, 25)),
        at_least=chance.choice((1, 2, 3)) if small else chance.choice((2, 4, 8)),
        has_state=has_state,
        steps=tuple(sorted(steps, key=lambda step: step.at_s)),
    )


def _traits(chance: random.Random, answers: random.Random) -> Traits:
    documented = chance.choice((6, 20, 60))
    limit = chance.choice((400, 1_500, 100_000))
    asynchronous = chance.random() < 0.7
    return Traits(
        asynchronous=asynchronous,
        partial_update=chance.random() < 0.5,
        read_back=chance.random() < 0.85,
        batch_items_max=chance.choice((5, 20, 100)),
        batch_bytes_max=limit,
        true_bytes_max=limit if chance.random() < 0.8 else limit // 2,
        quota=documented if chance.random() < 0.8 else max(3, documented // 2),
        documented=documented,
        tells_usage=chance.random() < 0.5,
        silent=answers.random() < 0.5,
        wordless=asynchronous and answers.random() < 0.5,
    )


def _changes(chance: random.Random, items: tuple[str, ...], span_s: float, *, small: bool) -> list[Change]:
    value = 0
    found: list[Change] = []
    began = [item for item in items if chance.random() < 0.9]
    for item in began:
        value += 2
        found += [
            Change(0.0, item, "content", value),
            Change(chance.choice((0.0, 0.3)), item, "offer", value + 1),
        ]
    kinds: list[ChangeKind] = [
        "content", "content", "offer", "offer", "offer", "delete", "draft", "activate", "break", "repair", "sell_out",
        "restock",
    ]  # fmt: skip
    for _ in range(chance.randint(1, 8) if small else chance.randint(2, 30)):
        value += 1
        at_s = chance.uniform(0.5, span_s)
        if chance.random() < 0.15:
            kind: ChangeKind = chance.choice(("delete", "draft", "sell_out", "activate", "restock", "offer"))
            many = chance.sample(items, chance.randint(1, len(items)))
            found += [Change(at_s, item, kind, value) for item in sorted(many)]
        else:
            found.append(Change(at_s, chance.choice(items), chance.choice(kinds), value))
    return found


def _troubles(chance: random.Random, span_s: float, *, small: bool) -> list[Trouble]:
    kinds = ON_SANDBOX if small else ALL
    found = []
    for _ in range(chance.choice((0, 1, 1, 2)) if small else chance.choice((0, 1, 3, 6))):
        kind = chance.choice(kinds)
        only_sends = kind in {"half_batch", "fail_batch", "lose_handle", "drift", "late_request", "duplicate"}
        found.append(
            Trouble(
                at_s=chance.uniform(0, span_s),
                kind=kind,
                endpoint="send" if only_sends or chance.random() < 0.7 else chance.choice(("poll", "read")),
                count=1 if chance.random() < 0.6 else chance.randint(2, 3 if small else 6),
                for_s=chance.choice((0.3, 0.6)) if small else chance.choice((5.0, 40.0, 300.0)),
                seed=chance.randrange(1_000),
            )
        )
    return found


def _breakdowns(chance: random.Random, span_s: float, *, has_state: bool) -> list[Step]:
    """Without a source of the whole state nobody may be away for as long as the outbox keeps its rows."""
    found: list[Step] = []
    for _ in range(chance.choice((0, 1, 2, 5))):
        who = chance.choice(("worker", "worker", "worker", "consumer", *RELAYS))
        found.append(
            Crash(chance.uniform(0, span_s), who, chance.randrange(12), chance.choice((0.0, 0.5, 20.0)))
        )
    for _ in range(chance.choice((0, 0, 1, 2))):
        who = chance.choice(("consumer", *RELAYS))
        found.append(Stall(chance.uniform(0, span_s), who, chance.choice((1.0, 8.0, 16.0, 40.0))))
    if chance.random() < 0.25:
        found.append(BrokerLost(chance.uniform(0, span_s), chance.choice((0.0, 2.0, 20.0))))
    if chance.random() < 0.2:
        found.append(
            HouseStop(
                chance.uniform(1, span_s),
                chance.random() < 0.6,
                chance.choice((5.0, 3_600.0, 3 * 86_400.0, 8 * 86_400.0 if has_state else 5 * 86_400.0)),
                chance.random() < 0.7,
            )
        )
    return found
