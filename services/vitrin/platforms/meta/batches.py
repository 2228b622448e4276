"""Answers of items_batch and check_batch_request_status as verdicts per item. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from vitrin.platforms.base import (
    FailureKind,
    Outcome,
    PlatformFailure,
    PollResult,
    Problem,
    SendResult,
    Verdict,
)
from vitrin.platforms.meta.errors import item_problem

FINISHED: Final = frozenset({"finished"})
BROKEN: Final = frozenset({"canceled", "error"})
"""Neither finished nor going on: scheduled, dispatched, started and in_progress (unverified) are going on."""

LOST = Problem(
    "batch_lost",
    "",
    "Meta no longer knows this batch, or ended it without an answer per item.",
    "Vitrin looks at what the catalog shows and sends the item again where it differs.",
)
NOT_TAKEN = Problem(
    "batch_not_taken",
    "",
    "Meta took nothing of this batch, because of other items in it.",
    "Vitrin sends the item again without the refused ones.",
)
REFUSED_WITHOUT_WORDS = Problem(
    "platform_refused",
    "",
    "Meta refused the item and gave no reason.",
    "Look at the item in Meta's Commerce Manager.",
)


def send_result(answer: Mapping[str, Any], sent: Sequence[str]) -> SendResult:
    """An empty `handles` means that nothing was accepted: items with errors of their own are refused, the others are
    unknown (not at fault, not taken). Where no item has an error, the batch is refused as a whole and nobody knows
    whose fault it is: raises PlatformFailure INVALID_REQUEST."""
    errors, warnings = _validation(answer.get("validation_status"))
    refused = [
        Verdict(item_id, Outcome.REFUSED, errors[item_id], warnings.get(item_id, ()))
        for item_id in sent
        if item_id in errors
    ]
    handles = answer.get("handles")
    if isinstance(handles, list) and handles:
        return SendResult(str(handles[0]), tuple(refused))
    if not refused:
        raise PlatformFailure(
            FailureKind.INVALID_REQUEST,
            code="platform_refused",
            message="Meta took nothing of the batch and gave no reason.",
            fix="Look at the item in Meta's Commerce Manager.",
        )
    others = [Verdict(item_id, Outcome.UNKNOWN, (NOT_TAKEN,)) for item_id in sent if item_id not in errors]
    return SendResult(None, (*refused, *others))


def poll_result(answer: Mapping[str, Any], sent: Sequence[str]) -> PollResult:
    """`errors` may be a sample; `ids_of_invalid_requests` names all.

    Where errors name no item at all, every item is unknown."""
    data = answer.get("data")
    batch = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else None
    if batch is None:
        return PollResult(True, tuple(Verdict(item_id, Outcome.UNKNOWN, (LOST,)) for item_id in sent))
    status = str(batch.get("status", "")).lower()
    if status not in FINISHED | BROKEN:
        return PollResult(False)
    errors, nameless = _by_item(batch.get("errors"))
    warnings, _ = _by_item(batch.get("warnings"))
    for item_id in _listed(batch.get("ids_of_invalid_requests")):
        errors.setdefault(str(item_id), (REFUSED_WITHOUT_WORDS,))
    if nameless and len(sent) == 1:
        errors.setdefault(sent[0], nameless)
    uncertain = status in BROKEN or (bool(batch.get("errors_total_count")) and not errors)
    otherwise, reasons = (Outcome.UNKNOWN, nameless or (LOST,)) if uncertain else (Outcome.ACCEPTED, ())
    return PollResult(
        True,
        tuple(
            Verdict(item_id, Outcome.REFUSED, errors[item_id], warnings.get(item_id, ()))
            if item_id in errors
            else Verdict(item_id, otherwise, reasons, warnings.get(item_id, ()))
            for item_id in sent
        ),
    )


Reasons = dict[str, tuple[Problem, ...]]


def _validation(status: object) -> tuple[Reasons, Reasons]:
    errors: Reasons = {}
    warnings: Reasons = {}
    for entry in _dicts(status):
        item_id = str(entry.get("retailer_id", ""))
        for name, into in (("errors", errors), ("warnings", warnings)):
            found = tuple(item_problem(str(part.get("message", ""))) for part in _dicts(entry.get(name)))
            if found:
                into[item_id] = (*into.get(item_id, ()), *found)
    return errors, warnings


def _by_item(entries: object) -> tuple[Reasons, tuple[Problem, ...]]:
    """Errors by item, and those that name none."""
    named: Reasons = {}
    nameless: list[Problem] = []
    for entry in _dicts(entries):
        problem = item_problem(str(entry.get("message", "")), platform_code=str(entry.get("code") or ""))
        item_id = entry.get("id")
        if item_id:
            named[str(item_id)] = (*named.get(str(item_id), ()), problem)
        else:
            nameless.append(problem)
    return named, tuple(nameless)


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else ()


def _dicts(value: object) -> list[dict[str, Any]]:
    return [entry for entry in _listed(value) if isinstance(entry, dict)]
