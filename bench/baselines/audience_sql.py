"""The rule language as SQL for DuckDB: the independent recompute that the engine is compared with.

Over `events(seq, subject, ts, kind, value, currency)` (accepted events with the subject that their visitor is now),
`items(seq, item, category, brand, price)` and `facts(subject, market, analytics, ads, personalization)`. With `flat`
there is no table of items: each event has its one item in columns of its own, and conditions are pushed into the scan.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vitrin.retargeting.audiences.engine.bounds import key
from vitrin.retargeting.audiences.language import Rule
from vitrin.retargeting.audiences.language.nodes import (
    All,
    Consent,
    Count,
    FirstOlder,
    InAudience,
    Leaf,
    Market,
    Match,
    Node,
    Not,
    Some,
    Sum,
    Top,
    Unfollowed,
)

Literal = Callable[[str, str], str]
"""Attribute and text to an SQL literal."""


def quoted(_attribute: str, text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Dialect:
    rules: Mapping[str, Rule]
    bounds: Mapping[str, int]
    literal: Literal = quoted
    flat: bool = False

    def members(self, audience: str, at: int) -> str:
        """The subjects of an audience at the instant."""
        where = self._condition(self.rules[audience].who, at)
        return f"select subject from (select distinct subject from events) s where {where}"

    def leaf(self, leaf: Leaf, at: int) -> str:
        """The subjects for which a condition holds, each once."""
        match leaf:
            case Count(at_least=1):
                return f"select distinct subject from events where {self._within(leaf.match, at, leaf.within_ms)}"
            case Count():
                return self._grouped(leaf.match, at, leaf.within_ms, f"count(*) >= {leaf.at_least}")
            case Sum():
                where = self._within(leaf.match, at, leaf.within_ms)
                where += f" and currency = {self._text('currency', leaf.currency)}"
                return f"select subject from events where {where} group by 1 having sum(value) >= {leaf.at_least}"
            case FirstOlder():
                where = f"ts <= {at - leaf.age_ms} and {self._meets(leaf.match)}"
                return f"select distinct subject from events where {where}"
            case Unfollowed():
                newest = "select subject, max(ts) newest from events where"
                mine = f"{newest} {self._within(leaf.match, at, leaf.within_ms)} group by 1"
                later = f"{newest} ts <= {at} and {self._meets(leaf.later)} group by 1"
                free = "l.newest is null or l.newest < m.newest"
                return f"select m.subject from ({mine}) m left join ({later}) l using (subject) where {free}"
            case Top():
                return self._top(leaf, at)
            case Market():
                return f"select subject from facts where market in ({self._texts('market', leaf.markets)})"
            case Consent():
                return f"select subject from facts where {leaf.purpose} = '{leaf.choice}'"
            case InAudience():
                return self.members(leaf.audience, at)

    def _top(self, leaf: Top, at: int) -> str:
        bound = self.bounds.get(key(leaf))
        if bound is None:
            return "select subject from events where false"
        if leaf.by == "sum":
            assert leaf.currency is not None
            return self.leaf(Sum(leaf.match, leaf.currency, bound, leaf.within_ms), at)
        if leaf.by == "count":
            return self.leaf(Count(leaf.match, bound, leaf.within_ms), at)
        where = self._within(leaf.match, at, leaf.within_ms)
        return f"select subject from events where {where} group by subject having {at} - max(ts) < {bound}"

    def _condition(self, node: Node, at: int) -> str:
        match node:
            case All():
                return "(" + " and ".join(self._condition(child, at) for child in node.children) + ")"
            case Some():
                return "(" + " or ".join(self._condition(child, at) for child in node.children) + ")"
            case Not():
                return f"(not {self._condition(node.child, at)})"
            case InAudience():
                return self._condition(self.rules[node.audience].who, at)
            case Consent(choice="unknown"):
                known = f"select subject from facts where {node.purpose} in ('granted', 'denied')"
                return f"(s.subject not in ({known}))"
            case _:
                return f"(s.subject in ({self.leaf(node, at)}))"

    def _grouped(self, match: Match, at: int, within_ms: int, having: str) -> str:
        return f"select subject from events where {self._within(match, at, within_ms)} group by subject having {having}"

    def _within(self, match: Match, at: int, within_ms: int) -> str:
        return f"ts > {at - within_ms} and ts <= {at} and {self._meets(match)}"

    def _meets(self, match: Match) -> str:
        where = [f"kind in ({self._texts('kind', match.events)})"]
        if match.price is not None:
            where.append(f"currency = {self._text('currency', match.price.currency)}")
        item = self._item(match)
        if item and self.flat:
            where.append(item)
        elif item:
            where.append(f"exists (select 1 from items i where i.seq = events.seq and {item})")
        return " and ".join(where)

    def _item(self, match: Match) -> str:
        where = [
            f"{name} in ({self._texts(name, texts)})"
            for name, texts in (
                ("item", match.items),
                ("category", match.categories),
                ("brand", match.brands),
            )
            if texts
        ]
        if match.price is not None and match.price.at_least is not None:
            where.append(f"price >= {match.price.at_least}")
        if match.price is not None and match.price.below is not None:
            where.append(f"price < {match.price.below}")
        if match.price is not None:
            where.append("price >= 0")
        return " and ".join(where)

    def _text(self, attribute: str, text: str) -> str:
        return self.literal(attribute, text)

    def _texts(self, attribute: str, texts: tuple[str, ...]) -> str:
        return ", ".join(self.literal(attribute, text) for text in texts)
