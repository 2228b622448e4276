"""The conditions that a rule is made of, after parsing: short forms are already written out.

An event counts at t if t - within < at <= t. All windows are milliseconds, money is minor units.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Price:
    """of an item in the event, in the event's currency: `at_least` <= price < `below` (None: no such bound)."""

    currency: str
    at_least: int | None
    below: int | None


@dataclass(frozen=True, slots=True)
class Match:
    """Which events count. Conditions on items hold when one item of the event meets all of them; empty: no
    condition."""

    events: tuple[str, ...]
    items: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    price: Price | None = None

    @property
    def about_items(self) -> bool:
        return bool(self.items or self.categories or self.brands or self.price)


@dataclass(frozen=True, slots=True)
class All:
    children: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of them (`any` in JSON)."""

    children: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Not:
    child: "Node"


@dataclass(frozen=True, slots=True)
class Count:
    match: Match
    at_least: int
    within_ms: int


@dataclass(frozen=True, slots=True)
class Sum:
    """The values of matching events in `currency` add up to `at_least`."""

    match: Match
    currency: str
    at_least: int
    within_ms: int


@dataclass(frozen=True, slots=True)
class FirstOlder:
    """The oldest matching event is at least `age_ms` old."""

    match: Match
    age_ms: int


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """A matching event within the window, and no event of `later` at its time or after it."""

    match: Match
    later: Match
    within_ms: int


@dataclass(frozen=True, slots=True)
class Top:
    """Among those with a positive measure in the window, the `percent` with the highest (`recency`: the youngest).

    The bound is computed on a schedule and given to the engine (`engine.bounds`); ties with it are in.
    """

    match: Match
    by: str
    currency: str | None
    percent: int
    within_ms: int


@dataclass(frozen=True, slots=True)
class Market:
    markets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Consent:
    purpose: str
    choice: str


@dataclass(frozen=True, slots=True)
class InAudience:
    audience: str


Leaf = Count | Sum | FirstOlder | Unfollowed | Top | Market | Consent | InAudience
Node = All | Some | Not | Leaf


@dataclass(frozen=True, slots=True)
class Rule:
    who: Node

    def leaves(self) -> list[Leaf]:
        return leaves(self.who)

    def references(self) -> tuple[str, ...]:
        found = {leaf.audience for leaf in self.leaves() if isinstance(leaf, InAudience)}
        return tuple(sorted(found))

    def tops(self) -> tuple[Top, ...]:
        return tuple(leaf for leaf in self.leaves() if isinstance(leaf, Top))


def leaves(node: Node) -> list[Leaf]:
    if isinstance(node, All | Some):
        return [leaf for child in node.children for leaf in leaves(child)]
    if isinstance(node, Not):
        return leaves(node.child)
    return [node]
