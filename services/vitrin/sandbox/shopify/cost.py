"""Points of a query and the bucket that they come from.

A simple model of shopify.dev's: an object one point, a connection two and one per object that it may give, a mutation
ten; a bucket of 2,000 points that fills by 100 a second (standard plans). The real weights differ (unverified).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
)

SINGLE_MAX = 1_000
MUTATION = 10
PAGE = ("edges", "nodes", "node", "pageInfo")


@dataclass(slots=True)
class Bucket:
    """Of one app in one shop."""

    size: float
    per_second: float
    points: float
    at_ms: int

    def fill(self, *, now_ms: int) -> None:
        """What came since."""
        passed_s = max(0, now_ms - self.at_ms) / 1000
        self.points, self.at_ms = min(self.size, self.points + passed_s * self.per_second), now_ms

    def status(self) -> dict[str, Any]:
        """`throttleStatus`."""
        return {
            "maximumAvailable": float(self.size),
            "currentlyAvailable": int(self.points),
            "restoreRate": float(self.per_second),
        }


def requested(document: DocumentNode, variables: dict[str, Any], operation_name: str | None) -> int:
    """Points that a query may need at most."""
    fragments = {
        one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)
    }
    for one in document.definitions:
        if isinstance(one, OperationDefinitionNode) and operation_name in (
            None,
            "",
            one.name.value if one.name is not None else None,
        ):
            if one.operation is OperationType.MUTATION:
                return MUTATION
            return max(1, _points(one.selection_set, fragments, variables))
    return 1


def _points(
    selections: SelectionSetNode, fragments: dict[str, FragmentDefinitionNode], variables: dict[str, Any]
) -> int:
    points = 0
    for one in selections.selections:
        if isinstance(one, FragmentSpreadNode):
            known = fragments.get(one.name.value)
            points += _points(known.selection_set, fragments, variables) if known is not None else 0
        elif isinstance(one, InlineFragmentNode):
            points += _points(one.selection_set, fragments, variables)
        elif isinstance(one, FieldNode) and one.selection_set is not None:
            below = _points(one.selection_set, fragments, variables)
            if one.name.value in PAGE:
                points += below
                continue
            size = _size(one, variables)
            # Objects of a page share one point per ten, so that a page of 250 stays below the limit of one query.
            points += 1 + below if size is None else 2 + max(1, size * max(1, below) // 10)
    return points


def _size(one: FieldNode, variables: dict[str, Any]) -> int | None:
    for argument in one.arguments or ():
        if argument.name.value in ("first", "last"):
            if isinstance(argument.value, IntValueNode):
                return int(argument.value.value)
            if isinstance(argument.value, VariableNode):
                value = variables.get(argument.value.name.value)
                return value if isinstance(value, int) else 1
    return None


def actual(data: Any) -> int:
    """Points of what was found: objects, ten for one."""
    return 1 + _objects(data) // 10


def _objects(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(_objects(one) for one in value.values())
    if isinstance(value, list):
        return sum(_objects(one) for one in value)
    return 0
