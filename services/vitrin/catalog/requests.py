"""Request bodies as changes: decoded once by orjson, judged by the domain, never by a model per entry."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from vitrin.catalog.changes import Change, Verb
from vitrin.catalog.domain import ExternalRefs, FieldProblem, check_item_id
from vitrin.catalog.errors import BatchTooLarge, BodyMalformed
from vitrin.kit.errors import FieldError

BATCH_ENTRIES_MAX: Final = 10_000
REF_CHARS_MAX: Final = 255
OPTIONS_MAX: Final = 10
CLOCK_AHEAD_MAX: Final = timedelta(days=1)
"""A shop's clock may be wrong; a change from further ahead would make every lag after it meaningless."""

_REF_FIELDS: Final = ("source", "product_id", "variant_id", "inventory_item_id", "handle")
_OCCURRED_FIX: Final = "Send the shop's time with its zone, such as 2026-11-22T10:00:00Z, or leave it out."

Parsed = Change | tuple[FieldProblem, ...]


def json_object(body: bytes) -> dict[str, Any]:
    """Raises BodyMalformed (json_invalid, not_an_object)."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyMalformed(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
            fix="Send a JSON document in UTF-8.",
            errors=[FieldError("", "json_invalid", error.msg, "Send a JSON document in UTF-8.")],
        ) from None
    if not isinstance(document, dict):
        raise BodyMalformed(
            "The body is not a JSON object.",
            fix='Send an object such as {"id": ...}.',
            errors=[FieldError("", "not_an_object", "the body is not a JSON object")],
        )
    return document


def batch_entries(body: bytes) -> list[object]:
    """The `items` of a batch. Raises BodyMalformed, BatchTooLarge."""
    document = json_object(body)
    unknown = sorted(set(document) - {"items"})
    entries = document.get("items")
    if unknown or not isinstance(entries, list) or not entries:
        field = "items" if "items" not in document or not unknown else unknown[0][:100]
        message = "there is no such field" if field != "items" else "is not a list with at least one entry"
        raise BodyMalformed(
            f"{field}: {message}.",
            field=field,
            fix='Send {"items": [{"id": ...}, ...]}.',
            errors=[FieldError(field, "unknown_field" if field != "items" else "items_missing", message)],
        )
    if len(entries) > BATCH_ENTRIES_MAX:
        raise BatchTooLarge(
            f"The batch has {len(entries)} entries; the limit is {BATCH_ENTRIES_MAX}.",
            field="items",
            fix=f"Send at most {BATCH_ENTRIES_MAX} entries per request.",
            entries_max=BATCH_ENTRIES_MAX,
        )
    return entries


def item_entry(entry: object, *, received_at: datetime) -> Parsed:
    """An entry of items:batch: `op` is "upsert" (default) or "delete"."""
    if not isinstance(entry, dict):
        return (_not_an_object(),)
    op = entry.get("op", "upsert")
    if op == "upsert":
        return change_of(entry, Verb.UPSERT, received_at=received_at, own=("op",))
    if op == "delete":
        problems = tuple(
            FieldProblem(
                str(name)[:100], "unknown_field", "a delete has only id and occurred_at", "Remove it."
            )
            for name in entry
            if name not in {"op", "id", "occurred_at"}
        )
        return problems or change_of(entry, Verb.DELETE, received_at=received_at, own=("op",))
    return (FieldProblem("op", "op_unknown", "there is no such operation", 'Use "upsert" or "delete".'),)


def offer_entry(entry: object, *, received_at: datetime) -> Parsed:
    if not isinstance(entry, dict):
        return (_not_an_object(),)
    if "external" in entry:
        return (FieldProblem("external", "unknown_field", "an offer has no external references"),)
    return change_of(entry, Verb.OFFER, received_at=received_at)


def change_of(
    entry: Mapping[str, Any],
    verb: Verb,
    *,
    received_at: datetime,
    item_id: str | None = None,
    own: Sequence[str] = (),
) -> Parsed:
    """`item_id` from a path wins over the entry's, which may repeat it. `own` names fields already dealt with."""
    problems: list[FieldProblem] = []
    taken = {"occurred_at", "external", *own}
    if verb in {Verb.OFFER, Verb.DELETE}:
        taken.add("id")
    named = entry.get("id") if item_id is None else item_id
    wrong_id = check_item_id(named)
    if wrong_id is not None:
        problems.append(wrong_id)
    occurred_at = _moment(entry.get("occurred_at"), received_at, problems)
    refs = _refs(entry["external"], problems) if "external" in entry else None
    if problems:
        return tuple(problems)
    patch = {name: value for name, value in entry.items() if name not in taken}
    return Change(
        verb=verb,
        item_id=str(named),
        patch=patch,
        occurred_at=received_at if occurred_at is None else occurred_at,
        refs=refs,
    )


def _not_an_object() -> FieldProblem:
    return FieldProblem("", "not_an_object", "the entry is not an object", 'Send an object with an "id".')


def _moment(value: object, received_at: datetime, problems: list[FieldProblem]) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is not None and moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
            if moment <= received_at + CLOCK_AHEAD_MAX:
                return moment
            problems.append(
                FieldProblem(
                    "occurred_at", "occurred_in_future", "the time is more than a day ahead", _OCCURRED_FIX
                )
            )
            return None
    except (ValueError, OverflowError):
        pass
    problems.append(
        FieldProblem("occurred_at", "time_invalid", "is not an ISO 8601 time with a zone", _OCCURRED_FIX)
    )
    return None


def _refs(value: object, problems: list[FieldProblem]) -> ExternalRefs | None:
    """`{source, product_id, variant_id, inventory_item_id, handle, options: [{name, value}]}`; null clears all."""
    if value is None:
        return ExternalRefs()
    if not isinstance(value, dict):
        problems.append(FieldProblem("external", "not_an_object", "is not an object", "Send an object."))
        return None
    before = len(problems)
    texts: dict[str, str] = {}
    for name, text in value.items():
        if name in _REF_FIELDS:
            texts[name] = "" if text is None else _ref_text(f"external.{name}", text, problems)
        elif name not in {"options", "sku", "gtin"}:
            problems.append(FieldProblem(f"external.{name}"[:100], "unknown_field", "there is no such field"))
    options = _options(value.get("options") or [], problems)
    return None if len(problems) > before else ExternalRefs(**texts, options=options)


def _ref_text(field: str, value: object, problems: list[FieldProblem]) -> str:
    if isinstance(value, str) and len(value) <= REF_CHARS_MAX and "\x00" not in value:
        return value
    problems.append(
        FieldProblem(
            field, "reference_invalid", f"is not a text of at most {REF_CHARS_MAX} characters", "Send a text."
        )
    )
    return ""


def _options(value: object, problems: list[FieldProblem]) -> tuple[tuple[str, str], ...]:
    shape_wrong = not isinstance(value, list) or len(value) > OPTIONS_MAX
    if shape_wrong or not all(isinstance(one, dict) and set(one) == {"name", "value"} for one in value):  # type: ignore[attr-defined]
        problems.append(
            FieldProblem(
                "external.options",
                "options_invalid",
                f"is not a list of at most {OPTIONS_MAX} objects with name and value",
                'Send [{"name": "Size", "value": "M"}].',
            )
        )
        return ()
    assert isinstance(value, list)
    return tuple(
        (
            _ref_text("external.options", one["name"], problems),
            _ref_text("external.options", one["value"], problems),
        )
        for one in value
    )
