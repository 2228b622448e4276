"""Bulk operations: a query that Shopify works on by itself, and its result as JSON lines.

The rules of shopify.dev: at least one connection, at most five, nested at most two levels below the first; no `node`
at the top; one operation at a time per app and shop, five since 2026-01. Children are lines of their own that name
their parent in `__parentId`; without `groupObjects` they need not follow it, here they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_named_type,
    parse,
    validate,
)

from vitrin.sandbox.shopify.connections import connection
from vitrin.sandbox.shopify.texts import gid, number_of, utc
from vitrin.sandbox.shops.model import Access, BulkOperation, Shop

CONNECTIONS_MAX, DEPTH_MAX = 5, 3
MANY_SINCE = "2026-01"
AT_ONCE_BEFORE, AT_ONCE_SINCE = 1, 5
RUNNING = ("CREATED", "RUNNING", "CANCELING")
Start = Callable[[BulkOperation], None]


class Bulk:
    """What one app may do with bulk operations in one shop."""

    def __init__(
        self,
        shop: Shop,
        access: Access,
        *,
        schema: Callable[[], GraphQLSchema],
        api_version: str,
        base_url: str,
        now_ms: int,
        start: Start,
    ) -> None:
        self._shop, self._access, self._schema = shop, access, schema
        self._api_version, self._base_url, self._now_ms, self._start = api_version, base_url, now_ms, start

    def own(self) -> list[BulkOperation]:
        """Those of the app, oldest first."""
        return [one for one in self._shop.bulk.values() if one.app_id == self._access.app_id]

    def current(self) -> dict[str, Any] | None:
        """`currentBulkOperation`: the newest one, running or not."""
        own = self.own()
        return self._node(own[-1]) if own else None

    def by_gid(self, global_id: str) -> dict[str, Any] | None:
        """One of the app's own."""
        number = number_of(global_id, "BulkOperation")
        one = next((one for one in self.own() if one.id == number), None)
        return self._node(one) if one is not None else None

    def listed(self, args: dict[str, Any]) -> dict[str, Any]:
        """`bulkOperations`."""
        return connection(self.own(), self._node, args)

    def run(self, text: str) -> dict[str, Any]:
        """`bulkOperationRunQuery`."""
        problem = query_problem(self._schema(), text)
        if problem is not None:
            return _refused("INVALID", ["query"], problem)
        running = [one for one in self.own() if one.status in RUNNING]
        room = AT_ONCE_SINCE if self._api_version >= MANY_SINCE else AT_ONCE_BEFORE
        if len(running) >= room:
            names = ", ".join(gid("BulkOperation", one.id) for one in running)
            message = f"A bulk query operation for this app and shop is already in progress: {names}."
            return _refused("OPERATION_IN_PROGRESS", None, message)
        one = BulkOperation(
            self._shop.new_id(), self._access.app_id, text, self._api_version, "CREATED", self._now_ms
        )
        self._shop.bulk[one.id] = one
        self._start(one)
        return {"bulkOperation": self._node(one), "userErrors": []}

    def cancel(self, global_id: str) -> dict[str, Any]:
        """`bulkOperationCancel`."""
        number = number_of(global_id, "BulkOperation")
        one = next((one for one in self.own() if one.id == number), None)
        if one is None:
            missing = {"field": ["id"], "message": "Bulk operation does not exist"}
            return {"bulkOperation": None, "userErrors": [missing]}
        if one.status not in RUNNING:
            message = f"A bulk operation cannot be canceled when it is {one.status.lower()}"
            return {"bulkOperation": self._node(one), "userErrors": [{"field": None, "message": message}]}
        one.status = "CANCELING"
        return {"bulkOperation": self._node(one), "userErrors": []}

    def _node(self, one: BulkOperation) -> dict[str, Any]:
        url = f"{self._base_url}/_storage/{one.file}" if one.file else None
        done = one.status == "COMPLETED"
        return {
            "__typename": "BulkOperation",
            "id": gid("BulkOperation", one.id),
            "status": one.status,
            "errorCode": one.error_code,
            "createdAt": utc(one.created_ms),
            "completedAt": utc(one.completed_ms) if one.completed_ms is not None else None,
            "objectCount": str(one.objects),
            "rootObjectCount": str(one.root_objects),
            "fileSize": str(one.file_bytes) if one.file else None,
            "url": url if done else None,
            "partialDataUrl": url if not done else None,
            "query": one.query,
            "type": "QUERY",
        }


def _refused(code: str, field: list[str] | None, message: str) -> dict[str, Any]:
    problem = {"field": field, "message": message, "code": code}
    return {"bulkOperation": None, "userErrors": [problem]}


def query_problem(schema: GraphQLSchema, text: str) -> str | None:
    """Why it cannot be run in bulk; None: it can."""
    try:
        document = parse(text)
    except GraphQLError as error:
        return f"Invalid bulk query: {error.message}"
    problems = validate(schema, document)
    if problems:
        return f"Invalid bulk query: {problems[0].message}"
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    if len(operations) != 1 or operations[0].operation is not OperationType.QUERY:
        return "Bulk queries must be exactly one query"
    names = [one.name.value for one in operations[0].selection_set.selections if isinstance(one, FieldNode)]
    if "node" in names or "nodes" in names:
        return "Bulk queries cannot contain node or nodes at the top level"
    depths: list[int] = []
    root = schema.query_type
    if root is None:
        return "there is no query type"
    missing = _walk(operations[0].selection_set, root, schema, depth=0, depths=depths)
    if not depths:
        return "Bulk queries must contain at least one connection."
    if len(depths) > CONNECTIONS_MAX:
        return f"Bulk queries cannot contain more than {CONNECTIONS_MAX} connections."
    if max(depths) > DEPTH_MAX:
        return "Bulk queries cannot contain connections with a nesting depth greater than 2."
    return missing


def _walk(
    selections: SelectionSetNode,
    parent: GraphQLObjectType,
    schema: GraphQLSchema,
    *,
    depth: int,
    depths: list[int],
) -> str | None:
    """Collects how deep each connection is; says where a parent of one does not ask for its id."""
    problem: str | None = None
    for one in selections.selections:
        if not isinstance(one, FieldNode) or one.selection_set is None or one.name.value.startswith("__"):
            continue
        kind = get_named_type(parent.fields[one.name.value].type)
        is_connection = kind.name.endswith("Connection")
        if is_connection:
            depths.append(depth + 1)
            if depth and not _asks_id(selections) and parent.name in ("Product", "ProductVariant", "Order"):
                problem = (
                    f"The parent 'node' field for a nested connection must select the 'id' field without an alias"
                    f" ({parent.name}.{one.name.value})"
                )
        if isinstance(kind, GraphQLObjectType):
            found = _walk(
                one.selection_set, kind, schema, depth=depth + (1 if is_connection else 0), depths=depths
            )
            problem = problem or found
    return problem


def _asks_id(selections: SelectionSetNode) -> bool:
    return any(
        isinstance(one, FieldNode) and one.name.value == "id" and one.alias is None
        for one in selections.selections
    )


def lines_of(data: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """The lines of a result and whether each is a root object. A child names the node above it."""
    for value in data.values():
        if (isinstance(value, dict) and "edges" in value) or (isinstance(value, dict) and "nodes" in value):
            for node in _nodes(value):
                yield from _flat(node, parent=None)


def _flat(node: dict[str, Any], *, parent: str | None) -> Iterator[tuple[dict[str, Any], bool]]:
    children: list[dict[str, Any]] = []
    line = _without_connections(node, children)
    if parent is not None:
        line["__parentId"] = parent
    yield line, parent is None
    for child in children:
        yield from _flat(child, parent=node.get("id"))


def _without_connections(value: dict[str, Any], children: list[dict[str, Any]]) -> dict[str, Any]:
    """A node's own fields; connections below it, also inside nested objects, give lines of their own."""
    kept: dict[str, Any] = {}
    for name, each in value.items():
        if isinstance(each, dict) and ("edges" in each or "nodes" in each):
            children.extend(_nodes(each))
        elif isinstance(each, dict):
            kept[name] = _without_connections(each, children)
        else:
            kept[name] = each
    return kept


def _nodes(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in value["edges"]] if "edges" in value else list(value["nodes"])


def write_lines(data: dict[str, Any], path: Path) -> tuple[int, int, int]:
    """The file of a result: its objects, root objects and bytes. Meant for a thread."""
    objects = roots = size = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for line, is_root in lines_of(data):
            encoded = orjson.dumps(line) + b"\n"
            file.write(encoded)
            objects, roots, size = objects + 1, roots + is_root, size + len(encoded)
    return objects, roots, size
