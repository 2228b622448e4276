"""The pure halves: answers as verdicts and sizes, refusals as failures, bodies by Pinterest's OpenAPI description."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from tests.platforms.networks import purchase, shopper
from tests.platforms.test_classify import meta_error
from tests.platforms.test_render import _pinterest_document, _validator
from vitrin.platforms.audience import AudienceSpec, AudienceState, Member, RenderedMember
from vitrin.platforms.base import FailureKind, Outcome
from vitrin.platforms.conversion import ConversionName, Where
from vitrin.platforms.meta import audience_rows as meta_rows
from vitrin.platforms.meta import conversion_events as meta_events
from vitrin.platforms.meta.audience_errors import classify_account, classify_audience, classify_events
from vitrin.platforms.pinterest import ads_errors
from vitrin.platforms.pinterest import audience_rows as pinterest_rows
from vitrin.platforms.pinterest import conversion_events as pinterest_events


def meta_members(count: int) -> list[RenderedMember]:
    return [meta_rows.render(Member(f"m-{number}", shopper(number))) for number in range(count)]


@pytest.mark.parametrize(
    ("code", "subcode", "kind", "stable"),
    [
        (200, 1870047, FailureKind.INVALID_REQUEST, "audience_too_small"),
        (100, 1713230, FailureKind.PERMISSION, "audience_flagged"),
        (2650, None, FailureKind.TRANSIENT, "audience_busy"),
        (2655, None, FailureKind.PERMISSION, "terms_missing"),
        (1487366, None, FailureKind.INVALID_REQUEST, "audience_gone"),
        (100, 1487301, FailureKind.INVALID_REQUEST, "audience_gone"),
        (100, 33, FailureKind.INVALID_REQUEST, "audience_gone"),
        (294, None, FailureKind.PERMISSION, "permission_missing"),
        (80003, None, FailureKind.THROTTLED, "throttled"),
        (190, 463, FailureKind.AUTH, "token_expired"),
        (100, None, FailureKind.INVALID_REQUEST, "invalid_parameter"),
    ],
)
def test_what_meta_says_of_an_audience(
    code: int, subcode: int | None, kind: FailureKind, stable: str
) -> None:
    failure = classify_audience(400, {}, meta_error(code, subcode))
    assert failure is not None
    assert (failure.kind, failure.code) == (kind, stable)
    assert failure.fix
    assert "catalog" not in failure.fix


def test_what_is_missing_depends_on_what_was_asked() -> None:
    body = meta_error(100, 33)
    found = [one(400, {}, body) for one in (classify_account, classify_events)]
    assert [one and one.code for one in found] == ["ad_account_not_found", "pixel_not_found"]
    missing = {"code": 50, "message": "gone"}
    pins = [one(404, {}, missing) for one in (ads_errors.classify_audience, ads_errors.classify_events)]
    assert [one and one.code for one in pins] == ["audience_gone", "ad_account_not_found"]
    assert ads_errors.classify_report(200, {}, []) is None
    assert ads_errors.classify_events(422, {}, {"code": 1, "message": "no", "details": {"x": 1}}) is not None
    named = {"code": 1, "message": "no", "details": {"events": [{"status": "failed"}]}}
    assert ads_errors.classify_events(422, {}, named) is None
    assert pinterest_events.result(named, ["a"]).verdicts[0].outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("answer", "outcomes"),
    [
        ({"num_received": 3, "num_invalid_entries": 0, "invalid_entry_samples": {}}, "aaa"),
        ({"num_received": 3, "num_invalid_entries": 1, "invalid_entry_samples": {"0": "c-1"}}, "ara"),
        ({"num_received": 3, "num_invalid_entries": 2, "invalid_entry_samples": {"c-1": "bad"}}, "uru"),
        ({"num_received": 3, "num_invalid_entries": 1, "invalid_entry_samples": []}, "uuu"),
        ({"num_received": 2, "num_invalid_entries": 0}, "uuu"),
        ({}, "uuu"),
    ],
)
def test_metas_counts_as_verdicts(answer: dict[str, Any], outcomes: str) -> None:
    result = meta_rows.members_result(answer, meta_members(3))
    assert "".join(one.outcome[0] for one in result.verdicts) == outcomes
    assert [one.record_id for one in result.verdicts] == ["m-0", "m-1", "m-2"]


def test_only_columns_that_somebody_fills_are_sent() -> None:
    rich = meta_rows.render(Member("r", shopper(1, country="DE", birth_date="1990-12-31")))
    body = meta_rows.payload([*meta_members(1), rich])
    assert body["schema"] == ["EXTERN_ID", "EMAIL", "DOBY", "DOBM", "DOBD", "COUNTRY"]
    rows = body["data"]
    assert isinstance(rows, list)
    assert rows[0][2:] == ["", "", "", ""]
    assert all(len(cell) == 64 for cell in rows[1][1:])


@pytest.mark.parametrize(
    ("answer", "state", "people"),
    [
        ({}, AudienceState.READY, (None, None)),
        (
            {"operation_status": {"code": 441}, "approximate_count_lower_bound": -1},
            "processing",
            (None, None),
        ),
        ({"operation_status": {"code": 471}}, "flagged", (None, None)),
        (
            {
                "operation_status": {"code": 200},
                "delivery_status": {"code": 300},
                "approximate_count_lower_bound": 1000,
                "approximate_count_upper_bound": 1000,
            },
            "too_small",
            (1000, 1000),
        ),
    ],
)
def test_sizes_at_meta(answer: dict[str, Any], state: str, people: tuple[int | None, int | None]) -> None:
    size = meta_rows.size({**answer, "time_content_updated": 1_772_366_400})
    assert (size.state, (size.people_min, size.people_max)) == (state, people)
    assert size.as_of == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_sizes_at_pinterest() -> None:
    audience = {"size": 120, "status": "READY", "updated_timestamp": 1_772_366_400}
    behind = {"status": "PROCESSING", "updated_time": 1_772_366_500, "num_uploaded_user_records": 400}
    size = pinterest_rows.size(audience, behind)
    assert (size.state, size.people_min, size.rows_received, size.rows_removed) == (
        "processing",
        120,
        400,
        None,
    )
    assert size.as_of == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert pinterest_rows.size({**audience, "status": "TOO_SMALL"}, {}).state is AudienceState.TOO_SMALL
    assert pinterest_rows.size({}, {}).state is AudienceState.PROCESSING
    odd = pinterest_rows.members_result({"exceptions": {"code": 1}}, meta_members(1))
    assert odd.verdicts[0].outcome is Outcome.UNKNOWN


def test_metas_hours_become_days() -> None:
    def hour(stamp: str, **counts: int) -> dict[str, Any]:
        rows = [{"value": name, "count": count} for name, count in counts.items()]
        return {"start_time": stamp, "aggregation": "event", "data": rows}

    page = {
        "data": [
            hour("2026-03-01T23:00:00+0000", Purchase=2),
            hour("2026-03-01T23:30:00-0200", Purchase=5),
            hour("2026-03-01T01:00:00+0000", Purchase=1, PageView=7),
            hour("never", Purchase=9),
        ]
    }
    found = meta_events.reported([page])
    assert [(one.event_name, one.since, one.received) for one in found] == [
        ("PageView", date(2026, 3, 1), 7),
        ("Purchase", date(2026, 3, 1), 3),
        ("Purchase", date(2026, 3, 2), 5),
    ]
    assert all(one.matched is None and one.merged is None for one in found)


def test_pinterests_bodies_are_valid_by_its_openapi_description() -> None:
    document = _pinterest_document()
    spec = AudienceSpec("Buyers", "bought once")
    rendered = [pinterest_rows.render(Member(f"m-{number}", shopper(number))) for number in range(3)]
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    whole = shopper(
        1,
        phones=("+49 89 1",),
        first_name="Jane",
        last_name="Doe",
        gender="f",
        birth_date="1990-12-31",
        city="München",
        state="BY",
        postal_code="80331",
        country="DE",
        mobile_ad_ids=("AB",),
    )
    bodies = [
        pinterest_events.render(
            replace(
                purchase("e", now, person=whole, search_term="x"), name=name, where=where, custom_name="n"
            ),
            now=now,
        ).body
        for name in ConversionName
        for where in Where
    ]
    for name, body in (
        ("CustomerListRequest", pinterest_rows.list_body(spec, rendered)),
        ("CustomerListUpdateRequest", pinterest_rows.update_body("ADD", rendered)),
        ("CustomerListUpdateRequest", pinterest_rows.update_body("REMOVE", rendered)),
        (
            "AudienceCreateRequest",
            pinterest_rows.audience_body(spec, ad_account_id="1", customer_list_id="2"),
        ),
        ("AudienceUpdateRequest", pinterest_rows.REMOVE_BODY),
        ("ConversionEvents", {"data": bodies}),
    ):
        validator = _validator(document, name)
        assert [error.message for error in validator.iter_errors(body)] == [], name
    assert list(_validator(document, "ConversionEvents").iter_errors({"data": [{}]})) != []
