"""Conditions on events: `{"event": ..., "where": ..., "within": ..., and one of count, sum, no_later, first, top}`.

Short forms are written out here: `at_most` becomes not (at_least + 1), `idle` becomes no such event in the last
moments, `first.within` becomes an event ever, and the oldest is not older.
"""

from typing import Any, Final

from vitrin.retargeting.audiences.language import words
from vitrin.retargeting.audiences.language.nodes import (
    All,
    Count,
    FirstOlder,
    Match,
    Node,
    Not,
    Price,
    Sum,
    Top,
    Unfollowed,
)
from vitrin.retargeting.audiences.language.reading import Object, Reader

MEASURE_KEYS: Final = ("count", "sum", "no_later", "first", "top")
EVENT_KEYS: Final = ("event", "where", "within", "idle", *MEASURE_KEYS)
WHERE_KEYS: Final = ("item", "category", "brand", "price")


def read_event(found: Object, path: str, reader: Reader) -> Node | None:
    match = read_match(found, path, reader)
    measures = [key for key in MEASURE_KEYS if key in found]
    if len(measures) > 1:
        reader.problem(path, f"has {' and '.join(measures)}; take one, and put the other beside it under all")
        return None
    if measures == ["first"]:
        return _first(found, match, path, reader)
    within_ms = _window(found, match, path, reader)
    idle_ms = None
    if "idle" in found:
        idle_ms = reader.duration(found["idle"], f"{path}.idle")
        if idle_ms is not None and within_ms is not None and idle_ms >= within_ms:
            reader.problem(f"{path}.idle", "must be shorter than within, else nobody can be in it")
    if match is None or within_ms is None:
        return None
    node = _measure(found, match, within_ms, path, reader)
    if node is None or idle_ms is None:
        return node
    return All((node, Not(Count(match, 1, idle_ms))))


def read_match(found: Object, path: str, reader: Reader) -> Match | None:
    events = reader.texts(found.get("event"), f"{path}.event", words.EVENTS)
    if "where" not in found:
        return None if events is None else Match(events)
    where = reader.object(found["where"], f"{path}.where", '{"category": ["Shoes"]}')
    if where is None:
        return None
    reader.known_keys(where, WHERE_KEYS, f"{path}.where")
    if not where:
        reader.problem(f"{path}.where", f"is empty; leave it out, or give {', '.join(WHERE_KEYS)}")
    lists = {
        key: reader.texts(where[key], f"{path}.where.{key}") if key in where else () for key in WHERE_KEYS[:3]
    }
    price = _price(where["price"], f"{path}.where.price", reader) if "price" in where else None
    items, categories, brands = (lists[key] for key in WHERE_KEYS[:3])
    if events is None or items is None or categories is None or brands is None:
        return None
    return Match(events, items, categories, brands, price)


def _price(value: Any, path: str, reader: Reader) -> Price | None:
    found = reader.object(value, path, '{"at_least": 5000, "currency": "EUR"}')
    if found is None:
        return None
    reader.known_keys(found, ("at_least", "below", "currency"), path)
    currency = reader.currency(found.get("currency"), f"{path}.currency")
    least, below = _bounds(found, path, 0, words.SUM_MINOR_MAX, reader)
    return None if currency is None else Price(currency, least, below)


def _bounds(found: Object, path: str, least: int, most: int, reader: Reader) -> tuple[int | None, int | None]:
    """`at_least` and `below`, one of them at least."""
    low = reader.integer(found["at_least"], f"{path}.at_least", least, most) if "at_least" in found else None
    high = reader.integer(found["below"], f"{path}.below", least + 1, most) if "below" in found else None
    if "at_least" not in found and "below" not in found:
        reader.problem(path, "needs at_least, below or both, in minor units")
    if low is not None and high is not None and low >= high:
        reader.problem(f"{path}.below", "must be more than at_least, else nothing is between")
    return low, high


def _window(found: Object, match: Match | None, path: str, reader: Reader) -> int | None:
    if "within" not in found:
        reader.problem(f"{path}.within", "is missing: a duration such as 30d (365d at most)")
        return None
    if found["within"] == "ever":
        return _for_ever(match, f"{path}.within", reader)
    return reader.duration(found["within"], f"{path}.within")


def _for_ever(match: Match | None, path: str, reader: Reader) -> int | None:
    if match is None:
        return None
    if set(match.events) <= set(words.KEPT_FOR_EVER):
        return words.EVER_MS
    reader.problem(path, f"only {', '.join(words.KEPT_FOR_EVER)} are kept for ever; give a window up to 365d")
    return None


def _measure(found: Object, match: Match, within_ms: int, path: str, reader: Reader) -> Node | None:
    measures = [key for key in MEASURE_KEYS if key in found]
    if not measures:
        return Count(match, 1, within_ms)
    inner = f"{path}.{measures[0]}"
    value = found[measures[0]]
    if measures == ["count"]:
        return _count(value, match, within_ms, inner, reader)
    if measures == ["sum"]:
        return _sum(value, match, within_ms, inner, reader)
    if measures == ["top"]:
        return _top(value, match, within_ms, inner, reader)
    later = reader.object(value, inner, '{"event": "purchase"}')
    if later is None:
        return None
    reader.known_keys(later, ("event", "where"), inner)
    other = read_match(later, inner, reader)
    return None if other is None else Unfollowed(match, other, within_ms)


def _count(value: Any, match: Match, within_ms: int, path: str, reader: Reader) -> Node | None:
    found = value if isinstance(value, dict) else {"at_least": value}
    reader.known_keys(found, ("at_least", "at_most"), path)
    least = reader.integer(found.get("at_least", 0), f"{path}.at_least", 0, words.COUNT_MAX)
    most: int | None = words.COUNT_MAX
    if "at_most" in found:
        most = reader.integer(found["at_most"], f"{path}.at_most", 0, words.COUNT_MAX - 1)
    if least is None or most is None:
        return None
    if least == 0 and "at_most" not in found:
        reader.problem(path, "is met by everybody; give at_least from 1, or at_most")
        return None
    if least > most:
        reader.problem(f"{path}.at_most", "must not be less than at_least, else nobody can be in it")
        return None
    parts: list[Node] = [Count(match, least, within_ms)] if least else []
    if "at_most" in found:
        parts.append(Not(Count(match, most + 1, within_ms)))
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _sum(value: Any, match: Match, within_ms: int, path: str, reader: Reader) -> Node | None:
    found = reader.object(value, path, '{"at_least": 10000, "currency": "EUR"}')
    if found is None:
        return None
    reader.known_keys(found, ("at_least", "below", "currency"), path)
    currency = reader.currency(found.get("currency"), f"{path}.currency")
    least, below = _bounds(found, path, 1, words.SUM_MINOR_MAX, reader)
    if currency is None or (least is None and below is None):
        return None
    parts: list[Node] = [] if least is None else [Sum(match, currency, least, within_ms)]
    if below is not None:
        parts.append(Not(Sum(match, currency, below, within_ms)))
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _first(found: Object, match: Match | None, path: str, reader: Reader) -> Node | None:
    for key in ("within", "idle"):
        if key in found:
            reader.problem(f"{path}.{key}", "does not go with first, which looks at all events ever")
    value = reader.object(found["first"], f"{path}.first", '{"within": "30d"}')
    ever_ms = _for_ever(match, f"{path}.first", reader)
    if value is None or ever_ms is None or match is None:
        return None
    reader.known_keys(value, ("within", "older_than"), f"{path}.first")
    if len(value) != 1:
        reader.problem(f"{path}.first", "needs within or older_than, one of them")
        return None
    key = next(iter(value))
    age_ms = reader.duration(value[key], f"{path}.first.{key}")
    if age_ms is None:
        return None
    older = FirstOlder(match, age_ms)
    return older if key == "older_than" else All((Count(match, 1, ever_ms), Not(older)))


def _top(value: Any, match: Match, within_ms: int, path: str, reader: Reader) -> Node | None:
    found = reader.object(value, path, '{"percent": 10, "by": "sum", "currency": "EUR"}')
    if found is None:
        return None
    reader.known_keys(found, ("percent", "by", "currency"), path)
    percent = reader.integer(found.get("percent"), f"{path}.percent", 1, 99)
    by = reader.choice(found.get("by"), f"{path}.by", words.MEASURES)
    currency = None
    if by == "sum":
        currency = reader.currency(found.get("currency"), f"{path}.currency")
        by = by if currency is not None else None
    elif "currency" in found:
        reader.problem(f"{path}.currency", "goes with by: sum only")
    return None if percent is None or by is None else Top(match, by, currency, percent, within_ms)
