"""Answers of /catalogs/items/batch as verdicts per item. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vitrin.platforms.base import Outcome, PollResult, Problem, SendResult, Verdict
from vitrin.platforms.pinterest.errors import item_problem

DONE: Final = frozenset({"COMPLETED", "FAILED"})

DUPLICATE = Problem(
    "batch_skipped_as_duplicate",
    "",
    "Pinterest skipped this batch because it had just received an identical one.",
    "Vitrin looks at what the catalog shows and sends the item again where it differs.",
)
LOST = Problem(
    "batch_lost",
    "",
    "Pinterest no longer knows this batch, or ended it without an answer for the item.",
    "Vitrin looks at what the catalog shows and sends the item again where it differs.",
)


def send_result(answer: Mapping[str, Any], sent: Sequence[str]) -> SendResult:
    """`created_time: null` means that the batch was skipped as a recent duplicate.

    That is no acceptance: another batch may have changed the items since the identical one (price 10, 9, 10 again).
    So the items are unknown, and the caller reads back; where they differ, its next batch is grouped otherwise or
    comes later, and is then no duplicate.
    """
    if "created_time" in answer and answer["created_time"] is None:
        return SendResult(None, _all_unknown(sent, DUPLICATE))
    if answer.get("status") in DONE:
        return SendResult(None, poll_result(answer, sent).verdicts)
    batch_id = answer.get("batch_id")
    if not batch_id:
        return SendResult(None, _all_unknown(sent, LOST))
    return SendResult(str(batch_id))


def poll_result(answer: Mapping[str, Any], sent: Sequence[str]) -> PollResult:
    if answer.get("status") not in DONE:
        return PollResult(False)
    items = answer.get("items")
    records = {
        str(record.get("item_id")): record
        for record in (items if isinstance(items, list) else [])
        if isinstance(record, dict)
    }
    return PollResult(True, tuple(_verdict(item_id, records.get(item_id)) for item_id in sent))


def lost(sent: Sequence[str]) -> PollResult:
    return PollResult(True, _all_unknown(sent, LOST))


def _verdict(item_id: str, record: Mapping[str, Any] | None) -> Verdict:
    if record is None:
        return Verdict(item_id, Outcome.UNKNOWN, (LOST,))
    errors, warnings = _events(record.get("errors")), _events(record.get("warnings"))
    status = record.get("status")
    if errors or status == "FAILURE":
        # A batch that failed as a whole says FAILURE of everybody in it, without a word.
        return Verdict(item_id, Outcome.REFUSED, errors, warnings)
    if status == "SUCCESS":
        return Verdict(item_id, Outcome.ACCEPTED, (), warnings)
    return Verdict(item_id, Outcome.UNKNOWN, (LOST,), warnings)


def _events(events: object) -> tuple[Problem, ...]:
    return tuple(
        item_problem(event)
        for event in (events if isinstance(events, list) else [])
        if isinstance(event, dict)
    )


def _all_unknown(sent: Sequence[str], reason: Problem) -> tuple[Verdict, ...]:
    return tuple(Verdict(item_id, Outcome.UNKNOWN, (reason,)) for item_id in sent)
