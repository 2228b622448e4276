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
from numpy.typing import NDArray

from vitrin.retargeting.audiences.engine.arrays import Ints, Words, ints, words_for
from vitrin.retargeting.audiences.engine.columns import Dictionary
from vitrin.retargeting.audiences.engine.filters import Filter, Matcher
from vitrin.retargeting.audiences.engine.graph import Graph
from vitrin.retargeting.audiences.language import Rule, canonical, evaluation_order, rule_hash

COUNT, SUM, OLDEST = 0, 1, 2
FACT_COLUMNS: Final = ("market", "analytics", "ads", "personalization")


class PlanArrays(NamedTuple):
    """What the inner loop reads. Anchors of a filter lie together, counts and sums ascending in what they ask for."""

    count_lo: Ints
    count_hi: Ints
    sum_lo: Ints
    sum_hi: Ints
    oldest: Ints
    """Per filter the anchor of its oldest event, -1 for none."""
    keep_count: Ints
    """Per filter how many of the newest must be kept, and within which window; the same for sums."""
    keep_count_ms: Ints
    keep_sum: Ints
    keep_sum_ms: Ints
    anchor_x: Ints
    """Per anchor the count or sum that it asks for."""
    op: NDArray[np.int8]
    first: Ints
    """Per node its (first) anchor, fact column, child, or start of its children."""
    second: Ints
    """Per node its second anchor, start of its fact table, or end of its children."""
    window: Ints
    """Per node its window, or the length of its fact table."""
    children: Ints
    fact_table: NDArray[np.uint8]
    default_truth: NDArray[np.uint8]
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
        count_lo=ints(layout.count_lo),
        count_hi=ints(layout.count_hi),
        sum_lo=ints(layout.sum_lo),
        sum_hi=ints(layout.sum_hi),
        oldest=ints(layout.oldest),
        keep_count=ints(layout.keep_count),
        keep_count_ms=ints(layout.keep_count_ms),
        keep_sum=ints(layout.keep_sum),
        keep_sum_ms=ints(layout.keep_sum_ms),
        anchor_x=ints(layout.anchor_x),
        op=np.array([node.op for node in graph.nodes], dtype=np.int8),
        first=ints([layout.place(node)[0] for node in graph.nodes]),
        second=ints([layout.place(node)[1] for node in graph.nodes]),
        window=ints([node.window for node in graph.nodes]),
        children=ints(layout.children),
        fact_table=np.array(layout.fact_table, dtype=np.uint8),
        default_truth=np.array(default, dtype=np.uint8),
        above_lo=above_lo,
        above=above,
        root_lo=root_lo,
        root=root,
        default_mask=mask,
    )


def _csr(lists: list[list[int]]) -> tuple[Ints, Ints]:
    starts = np.concatenate((ints([0]), np.cumsum(ints([len(one) for one in lists]))))
    return starts, ints([value for one in lists for value in one])
