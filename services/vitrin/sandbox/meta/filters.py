"""The ``filter`` of ``GET /{catalog}/products``: a JSON rule over the fields of the ProductItem node."""

from collections.abc import Callable, Mapping
from typing import Any

from vitrin.sandbox.meta.errors import invalid_parameter
from vitrin.sandbox.meta.reading import FIELD_NAMES, READERS
from vitrin.sandbox.state import StoredItem

Matches = Callable[[StoredItem, Mapping[str, Any]], bool]

RULE_DEPTH_MAX = 5


def _text(value: Any) -> str:
    return "" if value is None else str(value)


OPERATORS: dict[str, Callable[[str, Any], bool]] = {
    "eq": lambda value, wanted: value == _text(wanted),
    "neq": lambda value, wanted: value != _text(wanted),
    "is_any": lambda value, wanted: value in {_text(one) for one in wanted},
    "is_not_any": lambda value, wanted: value not in {_text(one) for one in wanted},
    "contains": lambda value, wanted: _text(wanted) in value,
    "not_contains": lambda value, wanted: _text(wanted) not in value,
    "i_contains": lambda value, wanted: _text(wanted).lower() in value.lower(),
    "i_not_contains": lambda value, wanted: _text(wanted).lower() not in value.lower(),
    "starts_with": lambda value, wanted: value.startswith(_text(wanted)),
}
LISTS = frozenset({"is_any", "is_not_any"})


def compile_filter(rule: Any, *, depth: int = 0) -> Matches:
    """The rule as a predicate. Raises code 100 for what the platform would not understand."""
    if not isinstance(rule, dict) or not rule or depth > RULE_DEPTH_MAX:
        raise invalid_parameter("Param filter must be a non-empty JSON object", "filter")
    parts = [_compile_one(name, condition, depth=depth) for name, condition in rule.items()]
    return lambda item, fields: all(part(item, fields) for part in parts)


def wanted_ids(rule: Any) -> list[str] | None:
    """The retailer ids of a rule that asks for nothing but them; such a rule needs no scan."""
    if isinstance(rule, dict) and set(rule) == {"retailer_id"} and isinstance(rule["retailer_id"], dict):
        condition = rule["retailer_id"]
        if set(condition) == {"eq"}:
            return [_text(condition["eq"])]
        if set(condition) == {"is_any"} and isinstance(condition["is_any"], list):
            return [_text(one) for one in dict.fromkeys(map(_text, condition["is_any"]))]
    return None


def _compile_one(name: str, condition: Any, *, depth: int) -> Matches:
    if name in ("and", "or"):
        if not isinstance(condition, list) or not condition:
            raise invalid_parameter(f"Operator {name} of param filter must be a non-empty list", "filter")
        parts = [compile_filter(part, depth=depth + 1) for part in condition]
        combine = all if name == "and" else any
        return lambda item, fields: combine(part(item, fields) for part in parts)
    if name not in FIELD_NAMES or not isinstance(condition, dict) or len(condition) != 1:
        raise invalid_parameter(f"Param filter has an invalid rule for field {name}", "filter")
    ((operator, wanted),) = condition.items()
    if operator not in OPERATORS or (operator in LISTS) != isinstance(wanted, list):
        raise invalid_parameter(f"Param filter has an invalid operator {operator} for field {name}", "filter")
    compare = OPERATORS[operator]
    if name == "retailer_id":
        return lambda item, fields: compare(item.key, wanted)
    if name == "id":
        raise invalid_parameter("Param filter cannot filter by id", "filter")
    read = READERS[name]
    return lambda item, fields: compare(_text(read(fields)), wanted)
