"""What membership means, in plain Python: no anchors, no state, nothing shared with the engine but the rule's tree.

A pure function of the accepted events (with their arrival), the identity map, facts, bounds of top conditions, and T.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vitrin.retargeting.audiences.engine.bounds import key
from vitrin.retargeting.audiences.language import Rule
from vitrin.retargeting.audiences.language.nodes import (
    All,
    Consent,
    Count,
    FirstOlder,
    InAudience,
    Market,
    Match,
    Node,
    Not,
    Some,
    Sum,
    Top,
    Unfollowed,
)


@dataclass(frozen=True, slots=True)
class SeenItem:
    item: str
    category: str | None = None
    brand: str | None = None
    price: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """An accepted event. `event_id` is what repeats are told by."""

    seq: int
    event_id: str
    visitor: int
    at: int
    name: str
    value: int = 0
    currency: str | None = None
    items: tuple[SeenItem, ...] = ()


@dataclass(slots=True)
class World:
    """All that membership depends on, but the instant."""

    rules: dict[str, Rule]
    events: list[Seen] = field(default_factory=list)
    identity: dict[int, int] = field(default_factory=dict)
    facts: dict[int, dict[str, str]] = field(default_factory=dict)
    bounds: dict[str, int] = field(default_factory=dict)

    def subject(self, visitor: int) -> int:
        return self.identity.get(visitor, visitor)

    def by_subject(self) -> dict[int, list[Seen]]:
        found: dict[int, list[Seen]] = {}
        for event in self.events:
            found.setdefault(self.subject(event.visitor), []).append(event)
        return found


def members(world: World, at: int) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {audience: set() for audience in world.rules}
    for subject, events in world.by_subject().items():
        for audience, rule in world.rules.items():
            if holds(rule.who, events, world.facts.get(subject, {}), at, world):
                found[audience].add(subject)
    return found


def holds(node: Node, events: list[Seen], facts: Mapping[str, str], at: int, world: World) -> bool:
    match node:
        case All():
            return all(holds(child, events, facts, at, world) for child in node.children)
        case Some():
            return any(holds(child, events, facts, at, world) for child in node.children)
        case Not():
            return not holds(node.child, events, facts, at, world)
        case InAudience():
            return holds(world.rules[node.audience].who, events, facts, at, world)
        case Market():
            return facts.get("market") in node.markets
        case Consent():
            return facts.get(node.purpose, "unknown") == node.choice
        case _:
            return _leaf(node, events, at, world.bounds)


def _leaf(
    node: Count | Sum | FirstOlder | Unfollowed | Top, events: list[Seen], at: int, bounds: Mapping[str, int]
) -> bool:
    match node:
        case Count():
            return len(list(_within(node.match, events, at, node.within_ms))) >= node.at_least
        case Sum():
            return _sum(node.match, node.currency, events, at, node.within_ms) >= node.at_least
        case FirstOlder():
            return any(_meets(event, node.match) and event.at <= at - node.age_ms for event in events)
        case Unfollowed():
            mine = [event.at for event in _within(node.match, events, at, node.within_ms)]
            later = [event.at for event in events if event.at <= at and _meets(event, node.later)]
            return bool(mine) and not any(other >= max(mine) for other in later)
        case Top():
            bound = bounds.get(key(node))
            if bound is None:
                return False
            if node.by == "sum":
                return _sum(node.match, node.currency, events, at, node.within_ms) >= bound
            if node.by == "count":
                return len(list(_within(node.match, events, at, node.within_ms))) >= bound
            return any(at - event.at < bound for event in _within(node.match, events, at, node.within_ms))


def _sum(match: Match, currency: str | None, events: list[Seen], at: int, within_ms: int) -> int:
    return sum(event.value for event in _within(match, events, at, within_ms) if event.currency == currency)


def _within(match: Match, events: list[Seen], at: int, within_ms: int) -> Iterable[Seen]:
    return (event for event in events if at - within_ms < event.at <= at and _meets(event, match))


def _meets(event: Seen, match: Match) -> bool:
    if event.name not in match.events:
        return False
    if not match.about_items:
        return True
    if match.price is not None and event.currency != match.price.currency:
        return False
    return any(_item_meets(item, match) for item in event.items)


def _item_meets(item: SeenItem, match: Match) -> bool:
    if match.items and item.item not in match.items:
        return False
    if match.categories and item.category not in match.categories:
        return False
    if match.brands and item.brand not in match.brands:
        return False
    if match.price is None:
        return True
    if item.price is None:
        return False
    low = match.price.at_least is None or item.price >= match.price.at_least
    return low and (match.price.below is None or item.price < match.price.below)
