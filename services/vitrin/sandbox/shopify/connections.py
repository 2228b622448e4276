"""Connections as Shopify pages them: cursors, page sizes, and the words of `query`.

The words that the sandbox knows are `name:value` with >, >=, <, <= and AND between them; any other word is refused,
where Shopify would search titles: a stand-in that ignored what it does not understand would prove nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
from graphql import GraphQLError

T = TypeVar("T")
Node = dict[str, Any]

FIRST_MAX = 250
WORD = re.compile(r"""\s*(?:AND\s+)?(?P<name>\w+):(?P<op>>=|<=|>|<)?(?P<value>'[^']*'|"[^"]*"|[^\s()]+)\s*""")


@dataclass(frozen=True, slots=True)
class Field:
    """One word of a query: how the thing's value is read, and whether it is a moment."""

    read: Callable[[Any], Any]
    moment: bool = False


def connection(
    items: Iterable[T],
    make: Callable[[T], Node],
    args: dict[str, Any],
    *,
    whole: bool = False,
    key: Callable[[T], Any] | None = None,
    ident: Callable[[T], Any] | None = None,
) -> Node:
    """A page; `whole` gives everything, as a bulk operation reads. `key` orders, `ident` breaks ties."""
    ordered = list(items)
    name = ident or (lambda item: getattr(item, "id", 0))
    sort = (lambda item: (key(item), name(item))) if key is not None else name
    if key is not None:
        ordered.sort(key=sort)
    if args.get("reverse"):
        ordered.reverse()
    if whole:
        return _page(ordered, make, sort, before=False, behind=False)
    size, last = args.get("first"), args.get("last")
    if size is None and last is None:
        raise GraphQLError("you must provide one of first or last")
    if size is not None and last is not None:
        raise GraphQLError("providing both first and last is not supported")
    count = int(size if size is not None else last or 0)
    if not 0 <= count <= FIRST_MAX:
        raise GraphQLError(f"The page size must be between 0 and {FIRST_MAX}, {count} was given")
    start, end = 0, len(ordered)
    if args.get("after"):
        start = _place(ordered, sort, args["after"], reverse=bool(args.get("reverse")), behind=True)
    if args.get("before"):
        end = _place(ordered, sort, args["before"], reverse=bool(args.get("reverse")), behind=False)
    if size is not None:
        stop = min(start + size, end)
    else:
        stop, start = end, max(start, end - count)
    return _page(ordered[start:stop], make, sort, before=start > 0, behind=stop < len(ordered))


def _page(
    items: Sequence[T], make: Callable[[T], Node], sort: Callable[[T], Any], *, before: bool, behind: bool
) -> Node:
    cursors = [_cursor(sort(item)) for item in items]
    nodes = [make(item) for item in items]
    return {
        "edges": [{"cursor": cursor, "node": node} for cursor, node in zip(cursors, nodes, strict=True)],
        "nodes": nodes,
        "pageInfo": {
            "hasNextPage": behind,
            "hasPreviousPage": before,
            "startCursor": cursors[0] if cursors else None,
            "endCursor": cursors[-1] if cursors else None,
        },
    }


def _cursor(value: Any) -> str:
    return base64.b64encode(orjson.dumps(value)).decode()


def _place(items: Sequence[T], sort: Callable[[T], Any], cursor: str, *, reverse: bool, behind: bool) -> int:
    """Where the page goes on: by the order's own values, so that it holds when the item itself is gone."""
    try:
        found = orjson.loads(base64.b64decode(cursor, validate=True))
    except (binascii.Error, ValueError):
        raise GraphQLError(f"Invalid cursor for current pagination sort: {cursor}.") from None
    value = tuple(found) if isinstance(found, list) else found
    for place, item in enumerate(items):
        own = sort(item)
        passed = own < value if reverse else own > value
        if passed or (own == value and not behind):
            return place
        if own == value:
            return place + 1
    return len(items)


def searched(items: Iterable[T], text: str | None, fields: dict[str, Field]) -> list[T]:
    """Those that the query leaves. Raises GraphQLError for words that nobody here knows."""
    left = list(items)
    rest = (text or "").strip()
    while rest:
        word = WORD.match(rest)
        if word is None:
            raise GraphQLError(f"the sandbox does not understand the search {rest!r}")
        field = fields.get(word["name"])
        if field is None:
            known = ", ".join(sorted(fields))
            raise GraphQLError(f"the sandbox does not know the filter {word['name']!r}; it knows {known}")
        value = word["value"].strip("'\"")
        left = [one for one in left if _holds(field, one, word["op"] or "", value)]
        rest = rest[word.end() :]
    return left


def _holds(field: Field, item: Any, op: str, value: str) -> bool:
    own = field.read(item)
    wanted: Any = value
    if field.moment:
        wanted, own = _moment(value), own // 1000
    elif isinstance(own, int):
        wanted = int(value) if value.isdecimal() else -1
    elif isinstance(own, tuple):
        return value.lower() in (one.lower() for one in own)
    else:
        own, wanted = str(own).lower(), value.lower()
        if wanted.endswith("*"):
            return bool(own.startswith(wanted[:-1]))
        if "," in wanted and not op:
            return own in wanted.split(",")
    match op:
        case ">":
            return bool(own > wanted)
        case ">=":
            return bool(own >= wanted)
        case "<":
            return bool(own < wanted)
        case "<=":
            return bool(own <= wanted)
    return bool(own == wanted)


def _moment(text: str) -> int:
    """Whole seconds since 1970. A moment without a zone is UTC here (Shopify: the shop's own)."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise GraphQLError(f"{text!r} is no moment") from None
    return int((found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp())
