"""The judgement of the demo, on exact words."""

import json
from typing import Any

import pytest

from vitrin.cli.demo.story import demo_file, refused_by_row
from vitrin.cli.demo.verdicts import (
    Board,
    Verdict,
    judge_expected,
    judge_given,
    settled,
    summary_rows,
)

EXPECTED: dict[str, Any] = {
    "rows": [
        {"row": 2, "item_id": "shirt", "outcome": "accepted", "meta": "live", "pinterest": "live"},
        {"row": 3, "item_id": None, "outcome": "image"},
        {
            "row": 4,
            "item_id": "frame",
            "outcome": "accepted",
            "meta": "invalid:missing_image_link",
            "pinterest": "live",
        },
        {"row": 5, "item_id": "draft", "outcome": "excluded", "reason": "status draft"},
        {"row": 6, "item_id": "bad", "outcome": "refused", "code": "price_comma"},
    ]
}
ITEMS = ["shirt", "frame", "draft"]
REFUSED = {6: ["price_comma"]}


def board(**changes: Verdict) -> Board:
    meta = {
        "shirt": Verdict("live"),
        "frame": Verdict("invalid", ("missing_image_link",)),
        "draft": Verdict("excluded", ("status_draft",)),
    }
    pinterest = meta | {"frame": Verdict("live")}
    return {"meta": meta | changes, "pinterest": pinterest}


def test_all_as_expected_passes() -> None:
    assert judge_expected(EXPECTED, refused=REFUSED, board=board(), item_ids=ITEMS).problems == ()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"shirt": Verdict("accepted")}, "shirt on meta: must be live, but is accepted"),
        (
            {"shirt": Verdict("rejected", ("bad_link",))},
            "shirt on meta: must be live, but is rejected (bad_link)",
        ),
        ({"frame": Verdict("live")}, "frame on meta: must be invalid:missing_image_link, but is live"),
        ({"draft": Verdict("live")}, "draft on meta: must be excluded, but is live"),
    ],
)
def test_each_difference_is_said(changes: dict[str, Verdict], problem: str) -> None:
    judgement = judge_expected(EXPECTED, refused=REFUSED, board=board(**changes), item_ids=ITEMS)
    assert judgement.problems == (problem,)
    assert not judgement.passed


def test_rows_and_items_that_went_elsewhere_are_said() -> None:
    judgement = judge_expected(
        EXPECTED, refused={2: ["title_missing"]}, board=board(), item_ids=["frame", "draft", "ghost"]
    )
    assert judgement.problems == (
        "row 2: must be accepted, but refused as title_missing",
        "row 6: must be refused as price_comma, but not refused",
        "ghost: in the catalog, but not expected",
        "shirt: not in the catalog",
    )


def test_a_given_catalog_needs_an_outcome_for_every_row_and_a_reason_for_every_absence() -> None:
    report = {"state": "done", "rows": {"total": 4, "done": 4}}
    fine = judge_given(report, refused={5: ["price_missing"]}, board=board(), item_ids=ITEMS)
    assert fine.passed
    silent = board(shirt=Verdict("rejected"), frame=Verdict("pending", ("waiting",)))
    wrong = judge_given(
        report | {"rows": {"total": 4, "done": 3}}, refused={}, board=silent, item_ids=[*ITEMS, "new"]
    )
    assert wrong.problems == (
        "1 of 4 rows have no outcome",
        "shirt on meta: rejected without a reason",
        "frame on meta: pending without a reason",
        "new on meta: no verdict",
        "new on pinterest: no verdict",
    )
    assert judge_given(report, refused={}, board=board(), item_ids=[]).problems == (
        "not one item was accepted",
    )


def test_counting() -> None:
    moving = board(shirt=Verdict("sent"))
    versions = dict.fromkeys(ITEMS, (0, 0))
    assert settled(moving, versions) == 5
    assert settled(moving, versions | {"new": (1, 1)}) == 5
    assert settled(moving, versions | {"shirt": (0, 1)}) == 4
    assert summary_rows({"meta": board()["meta"]}) == [
        {"platform": "meta", "state": "live", "why": "", "items": 1},
        {"platform": "meta", "state": "invalid", "why": "missing_image_link", "items": 1},
        {"platform": "meta", "state": "excluded", "why": "status_draft", "items": 1},
    ]
    assert refused_by_row(
        [{"row": 6, "problems": [{"code": "a"}, {"code": "b"}]}, {"row": 7, "problems": [{"code": "c"}]}]
    ) == {
        6: ["a", "b"],
        7: ["c"],
    }


def test_the_committed_list_is_complete() -> None:
    expected = json.loads(demo_file("expected.json").read_text(encoding="utf-8"))
    assert len(expected["rows"]) == expected["counts"]["rows"]
    assert {row["outcome"] for row in expected["rows"]} == {"accepted", "excluded", "refused", "image"}


@pytest.mark.parametrize(
    ("state", "version", "final"),
    [
        ("removed", 2, True),
        ("removed", 1, False),
        ("live", 1, False),
        ("excluded", 1, True),
        ("pending", 2, False),
    ],
)
def test_a_removal_counts_once_it_is_of_the_catalogs_version(state: str, version: int, final: bool) -> None:
    verdict = Verdict(state, ("item_archived",), content_version=version, offer_version=1)
    assert settled({"meta": {"shirt": verdict}}, {"shirt": (2, 1)}) == int(final)


def test_an_archived_item_is_no_failure_of_a_given_catalog() -> None:
    report = {"state": "done", "rows": {"total": 3, "done": 3}}
    archived = board(shirt=Verdict("removed", ("item_archived",)))
    assert judge_given(report, refused={}, board=archived, item_ids=ITEMS).passed
