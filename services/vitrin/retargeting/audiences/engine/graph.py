"""The graph of conditions while it is built: each filter, anchor and node once, children before parents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vitrin.retargeting.audiences.engine.bounds import key as bound_key
from vitrin.retargeting.audiences.engine.columns import Dictionary
from vitrin.retargeting.audiences.engine.filters import Filter
from vitrin.retargeting.audiences.language import words
from vitrin.retargeting.audiences.language.canonical import node_key
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

FALSE, WITHIN, OLDER, UNFOLLOWED, FACT, NOT, ALL, SOME = range(8)
_COUNT: Final = "count"
_SUM: Final = "sum"
_OLDEST: Final = "oldest"
Anchor = tuple[int, str, int]
"""Filter, kind, what it asks for."""


@dataclass(frozen=True, slots=True)
class GraphNode:
    op: int
    anchors: tuple[Anchor, ...] = ()
    children: tuple[int, ...] = ()
    window: int = 0
    column: int = 0
    values: tuple[int, ...] = ()
    """Of a fact: the numbers for which it is true."""


@dataclass(slots=True)
class Layout:
    """Where anchors, children and fact tables lie in the arrays."""

    filters: list[tuple[int, ...]] = field(default_factory=list)
    """Rows in the order of `plan`'s columns of a filter."""
    anchor_x: list[int] = field(default_factory=list)
    anchors: dict[Anchor, int] = field(default_factory=dict)
    children: list[int] = field(default_factory=list)
    children_at: dict[tuple[int, ...], int] = field(default_factory=dict)
    fact_table: list[int] = field(default_factory=list)
    facts_at: dict[tuple[int, ...], int] = field(default_factory=dict)

    def place(self, node: GraphNode) -> tuple[int, int]:
        """The two numbers of a node; see `PlanArrays.first` and `.second`."""
        if node.op in (ALL, SOME):
            start = self.children_at[node.children]
            return start, start + len(node.children)
        if node.op == NOT:
            return node.children[0], 0
        if node.op == FACT:
            return node.column, self.facts_at[node.values]
        found = [self.anchors[anchor] for anchor in node.anchors]
        return (found[0] if found else 0), (found[1] if len(found) > 1 else 0)


class Graph:
    def __init__(self, dictionary: Dictionary, bounds: Mapping[str, int]) -> None:
        self._dictionary = dictionary
        self._bounds = bounds
        self._filters: dict[tuple[str, str | None], int] = {}
        self._filter_list: list[Filter] = []
        self._nodes: dict[GraphNode, int] = {}
        self.nodes: list[GraphNode] = []
        self.roots: dict[str, int] = {}

    def filters(self) -> tuple[Filter, ...]:
        return tuple(self._filter_list)

    def add(self, audience: str, node: Node) -> None:
        """The audience's rule; those that it refers to were added before."""
        self.roots[audience] = self.node(node)

    def node(self, node: Node) -> int:
        match node:
            case All() | Some():
                children = tuple(self.node(child) for child in node.children)
                return self._put(GraphNode(ALL if isinstance(node, All) else SOME, children=children))
            case Not():
                return self._put(GraphNode(NOT, children=(self.node(node.child),)))
            case InAudience():
                return self.roots[node.audience]
            case Market():
                values = [self._dictionary.id("market", text) for text in node.markets]
                return self._fact(0, values)
            case Consent():
                return self._fact(1 + words.PURPOSES.index(node.purpose), [words.CHOICES.index(node.choice)])
            case Top():
                return self._top(node)
            case _:
                return self._event(node)

    def _event(self, node: Count | Sum | FirstOlder | Unfollowed) -> int:
        match node:
            case Count():
                anchor = (self._filter(node.match, None), _COUNT, node.at_least)
                return self._put(GraphNode(WITHIN, anchors=(anchor,), window=node.within_ms))
            case Sum():
                price = node.match.price
                if price is not None and price.currency != node.currency:
                    return self._put(GraphNode(FALSE))
                anchor = (self._filter(node.match, node.currency), _SUM, node.at_least)
                return self._put(GraphNode(WITHIN, anchors=(anchor,), window=node.within_ms))
            case FirstOlder():
                anchor = (self._filter(node.match, None), _OLDEST, 0)
                return self._put(GraphNode(OLDER, anchors=(anchor,), window=node.age_ms))
            case Unfollowed():
                anchors = (
                    (self._filter(node.match, None), _COUNT, 1),
                    (self._filter(node.later, None), _COUNT, 1),
                )
                return self._put(GraphNode(UNFOLLOWED, anchors=anchors, window=node.within_ms))

    def _top(self, node: Top) -> int:
        bound = self._bounds.get(bound_key(node))
        if bound is None:
            return self._put(GraphNode(FALSE))
        if node.by == "sum":
            assert node.currency is not None
            return self._event(Sum(node.match, node.currency, bound, node.within_ms))
        if node.by == "count":
            return self._event(Count(node.match, bound, node.within_ms))
        return self._event(Count(node.match, 1, min(bound, node.within_ms)))

    def _fact(self, column: int, values: Sequence[int]) -> int:
        return self._put(
            GraphNode(FACT, column=column, values=tuple(sorted(set(values))), window=max(values) + 1)
        )

    def _filter(self, wanted: Match, currency: str | None) -> int:
        key = (node_key(wanted), currency)
        if key not in self._filters:
            self._filters[key] = len(self._filter_list)
            self._filter_list.append(Filter(wanted, currency))
        return self._filters[key]

    def _put(self, node: GraphNode) -> int:
        if node not in self._nodes:
            self._nodes[node] = len(self.nodes)
            self.nodes.append(node)
        return self._nodes[node]

    def default_truth(self) -> list[int]:
        """Without events and facts (every fact is 0: no market, unknown consent)."""
        truth: list[int] = []
        for node in self.nodes:
            below = [truth[child] for child in node.children]
            if node.op == NOT:
                truth.append(1 - below[0])
            elif node.op == ALL:
                truth.append(min(below))
            elif node.op == SOME:
                truth.append(max(below))
            else:
                truth.append(int(node.op == FACT and 0 in node.values))
        return truth

    def layout(self) -> Layout:
        asked: list[dict[str, dict[int, int]]] = [
            {_COUNT: {}, _SUM: {}, _OLDEST: {}} for _ in self._filter_list
        ]
        for node in self.nodes:
            for number, kind, x in node.anchors:
                windows = asked[number][kind]
                windows[x] = max(windows.get(x, 0), node.window)
        layout = Layout()
        for number, wanted in enumerate(asked):
            _place(layout, number, wanted)
        for node in self.nodes:
            if node.op in (ALL, SOME) and node.children not in layout.children_at:
                layout.children_at[node.children] = len(layout.children)
                layout.children.extend(node.children)
            if node.op == FACT and node.values not in layout.facts_at:
                layout.facts_at[node.values] = len(layout.fact_table)
                layout.fact_table.extend(int(value in node.values) for value in range(node.window))
        return layout

    def lasting(self, layout: Layout) -> list[int]:
        """Per anchor how long (ms) it can make a node differ from its default; an oldest event does so for ever."""
        found = [0] * len(layout.anchor_x)
        for node in self.nodes:
            for anchor in node.anchors[:1]:
                place = layout.anchors[anchor]
                found[place] = words.EVER_MS if node.op == OLDER else max(found[place], node.window)
        return found

    def above(self, layout: Layout) -> list[list[int]]:
        """Per anchor, and last for facts, the nodes that can differ from their default because of it."""
        groups: list[set[int]] = [set() for _ in range(len(layout.anchor_x) + 1)]
        causes: list[set[int]] = []
        for number, node in enumerate(self.nodes):
            # A second anchor only takes away what the first gives, and without the first there is nothing.
            own = {layout.anchors[anchor] for anchor in node.anchors[:1]}
            if node.op == FACT:
                own.add(len(layout.anchor_x))
            for child in node.children:
                own |= causes[child]
            causes.append(own)
            for cause in own:
                groups[cause].add(number)
        return [sorted(group) for group in groups]


def _place(layout: Layout, number: int, asked: Mapping[str, Mapping[int, int]]) -> None:
    row: list[int] = []
    for kind in (_COUNT, _SUM):
        row.append(len(layout.anchor_x))
        for x in sorted(asked[kind]):
            layout.anchors[number, kind, x] = len(layout.anchor_x)
            layout.anchor_x.append(x)
        row.append(len(layout.anchor_x))
    row.append(-1)
    if asked[_OLDEST]:
        row[-1] = layout.anchors[number, _OLDEST, 0] = len(layout.anchor_x)
        layout.anchor_x.append(0)
    for kind in (_COUNT, _SUM):
        row += [max(asked[kind], default=0), max(asked[kind].values(), default=0)]
    layout.filters.append(tuple(row))
