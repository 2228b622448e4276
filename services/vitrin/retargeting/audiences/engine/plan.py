"""Rules to a plan: filters, anchors and one graph of conditions, each shared by all rules that need it.

- a filter says which events count; a class is the set of filters that an event meets;
- an anchor is the time of the k-th newest event of a filter, or of the newest-first event at which the running sum
  reaches x, or of the oldest event; conditions that differ only in the window share it;
- a node is a condition; a reference to an audience is that audience's node.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from vitrin.retargeting.audiences.engine.arrays import Ints, Words, ints, words_for
from vitrin.retargeting.audiences.engine.columns import Dictionary
from vitrin.retargeting.audiences.engine.filters import Filter, Matcher
from vitrin.retargeting.audiences.engine.graph import Graph
from vitrin.retargeting.audiences.language import Rule, canonical, evaluation_order, rule_hash

COUNT_LO, COUNT_HI, SUM_LO, SUM_HI, OLDEST, KEEP_COUNT, KEEP_COUNT_MS, KEEP_SUM, KEEP_SUM_MS = range(9)
"""Columns of a filter. Its anchors lie together: counts, sums, each ascending in what they ask for, and the oldest
event (-1: none). How many of the newest must be kept and within which window, and the same for sums."""
OP, FIRST, SECOND, WINDOW = range(4)
"""Columns of a node: what it does; its (first) anchor, fact column, child, or start of its children; its second anchor,
start of its fact table, or end of its children; its window, or the length of its fact table."""
FACT_COLUMNS: Final = ("market", "analytics", "ads", "personalization")


class PlanArrays(NamedTuple):
    """What the inner loop reads."""

    filters: Ints
    anchor_x: Ints
    """Per anchor the count or sum that it asks for."""
    anchor_ms: Ints
    """Per anchor how long it can matter."""
    nodes: Ints
    """Children before their parents."""
    children: Ints
    fact_table: Ints
    default_truth: Ints
    """Per node the truth for a subject without events and facts."""
    above_lo: Ints
    """Per anchor: the nodes that it can change, in `above`, ascending; the last entry is what facts can change."""
    above: Ints
    root_lo: Ints
    """Per node the audiences whose root it is, in `root`."""
    root: Ints
    default_mask: Words


@dataclass(frozen=True, slots=True)
class Plan:
    audiences: tuple[str, ...]
    """In the order of their bits."""
    hashes: tuple[str, ...]
    rules: Mapping[str, Rule]
    bounds: Mapping[str, int]
    """Of `Top` conditions, by `bounds.key`; a condition without one has nobody in it."""
    filters: tuple[Filter, ...]
    matcher: Matcher
    arrays: PlanArrays
    roots: tuple[int, ...]

    @property
    def mask_words(self) -> int:
        return words_for(len(self.audiences))

    def version(self) -> str:
        """Equal when the same state means the same members: rules, their order and bounds."""
        parts = [list(zip(self.audiences, self.hashes, strict=True)), sorted(self.bounds.items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def compile_plan(
    rules: Mapping[str, Rule], dictionary: Dictionary, bounds: Mapping[str, int] | None = None
) -> Plan:
    """Raises RuleRefused where audiences refer to each other wrongly. Numbers new texts in the dictionary."""
    order = evaluation_order(rules)
    audiences = tuple(sorted(rules))
    known = {audience: canonical(rules[audience]) for audience in audiences}
    graph = Graph(dictionary, bounds or {})
    for audience in order:
        graph.add(audience, known[audience].who)
    filters = graph.filters()
    return Plan(
        audiences=audiences,
        hashes=tuple(rule_hash(known[audience]) for audience in audiences),
        rules=known,
        bounds=dict(bounds or {}),
        filters=filters,
        matcher=Matcher(filters, dictionary),
        arrays=_arrays(graph, [graph.roots[audience] for audience in audiences]),
        roots=tuple(graph.roots[audience] for audience in audiences),
    )


def _arrays(graph: Graph, roots: list[int]) -> PlanArrays:
    layout = graph.layout()
    default = graph.default_truth()
    mask = np.zeros(words_for(len(roots)), dtype=np.uint64)
    by_node: list[list[int]] = [[] for _ in graph.nodes]
    for audience, node in enumerate(roots):
        by_node[node].append(audience)
        if default[node]:
            mask[audience >> 6] |= np.uint64(1 << (audience & 63))
    above_lo, above = _csr(graph.above(layout))
    root_lo, root = _csr(by_node)
    return PlanArrays(
        filters=ints(layout.filters).reshape(-1, 9),
        anchor_x=ints(layout.anchor_x),
        anchor_ms=ints(graph.lasting(layout)),
        nodes=ints([(node.op, *layout.place(node), node.window) for node in graph.nodes]).reshape(-1, 4),
        children=ints(layout.children),
        fact_table=ints(layout.fact_table),
        default_truth=ints(default),
        above_lo=above_lo,
        above=above,
        root_lo=root_lo,
        root=root,
        default_mask=mask,
    )


def _csr(lists: list[list[int]]) -> tuple[Ints, Ints]:
    starts = np.concatenate((ints([0]), np.cumsum(ints([len(one) for one in lists]))))
    return starts, ints([value for one in lists for value in one])
