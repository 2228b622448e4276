"""The language as JSON Schema (draft 2020-12), for editors and for the API's document.

What it takes and `parse` does not: too many levels or conditions, windows of nothing or above 365d, contradictions.
"""

from typing import Any, Final

from vitrin.retargeting.audiences.language import words

_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": words.VALUE_CHARS_MAX}
_TEXTS: Final = {
    "oneOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": words.VALUES_MAX}]
}
_DURATION: Final = {
    "type": "string",
    "pattern": "^[0-9]{1,9}[smhdw]$",
    "description": "90s, 30m, 12h, 14d or 2w",
}
_CURRENCY: Final = {"type": "string", "pattern": "^[A-Z]{3}$"}
_NAME: Final = {"enum": list(words.EVENTS)}
_EVENT: Final = {"oneOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 1}]}
_CONDITION: Final = {"$ref": "#/$defs/condition"}


def rule_schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Audience rule",
        "description": "Who is in an audience. Money is minor units; deploy/rules.md explains every word.",
        **_object({"version": {"const": 1}, "who": _CONDITION}, ["version", "who"]),
        "$defs": {
            "condition": {
                "oneOf": [
                    _object({"all": _several()}, ["all"]),
                    _object({"any": _several()}, ["any"]),
                    _object({"not": _CONDITION}, ["not"]),
                    _object({"audience": _TEXT}, ["audience"]),
                    _object({"market": _TEXTS}, ["market"]),
                    _object(
                        {"consent": {"enum": list(words.PURPOSES)}, "is": {"enum": list(words.CHOICES)}},
                        ["consent"],
                    ),
                    {"$ref": "#/$defs/event"},
                    {"$ref": "#/$defs/first"},
                ]
            },
            "event": _event(),
            "first": _object(
                {
                    "event": _EVENT,
                    "where": {"$ref": "#/$defs/where"},
                    "first": {
                        **_object({"within": _DURATION, "older_than": _DURATION}, []),
                        "minProperties": 1,
                        "maxProperties": 1,
                    },
                },
                ["event", "first"],
            ),
            "where": _where(),
        },
    }


def _event() -> dict[str, Any]:
    measures = {
        "count": {"oneOf": [_whole(1, words.COUNT_MAX), _count()]},
        "sum": _bounded(1),
        "no_later": _object({"event": _EVENT, "where": {"$ref": "#/$defs/where"}}, ["event"]),
        "top": _object(
            {"percent": _whole(1, 99), "by": {"enum": list(words.MEASURES)}, "currency": _CURRENCY},
            ["percent", "by"],
        ),
    }
    event = _object(
        {
            "event": _EVENT,
            "where": {"$ref": "#/$defs/where"},
            "within": {"oneOf": [_DURATION, {"const": "ever"}]},
            "idle": _DURATION,
            **measures,
        },
        ["event", "within"],
    )
    pairs = [[one, other] for one in measures for other in measures if one < other]
    return event | {"not": {"anyOf": [{"required": pair} for pair in pairs]}}


def _count() -> dict[str, Any]:
    return _object({"at_least": _whole(0, words.COUNT_MAX), "at_most": _whole(0, words.COUNT_MAX - 1)}, [])


def _where() -> dict[str, Any]:
    where = _object({"item": _TEXTS, "category": _TEXTS, "brand": _TEXTS, "price": _bounded(0)}, [])
    return where | {"minProperties": 1}


def _bounded(least: int) -> dict[str, Any]:
    bounds = {
        "currency": _CURRENCY,
        "at_least": _whole(least, words.SUM_MINOR_MAX),
        "below": _whole(least + 1, words.SUM_MINOR_MAX),
    }
    return _object(bounds, ["currency"]) | {"minProperties": 2}


def _several() -> dict[str, Any]:
    return {"type": "array", "items": _CONDITION, "minItems": 1, "maxItems": words.CHILDREN_MAX}


def _whole(least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
