"""Answers of the platforms, classified by their bodies; verdicts per item; what is shown against what was sent."""

import json
from typing import Any

import pytest

from vitrin.platforms.base import (
    Difference,
    FailureKind,
    Outcome,
    PlatformFailure,
    PollResult,
    SendResult,
    Verdict,
)
from vitrin.platforms.comparing import amount_minor, same_price
from vitrin.platforms.meta import batches as meta_batches
from vitrin.platforms.meta import errors as meta_errors
from vitrin.platforms.meta.read import seen as seen_on_meta
from vitrin.platforms.meta.rules import catalog_batch_calls_per_minute
from vitrin.platforms.pinterest import batches as pinterest_batches
from vitrin.platforms.pinterest import errors as pinterest_errors
from vitrin.platforms.pinterest.read import items_of
from vitrin.platforms.pinterest.read import seen as seen_on_pinterest


def meta_error(code: int, subcode: int | None = None, **more: Any) -> dict[str, Any]:
    return {
        "error": {
            "message": "words",
            "type": "OAuthException",
            "code": code,
            "error_subcode": subcode,
            **more,
        }
    }


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (meta_error(1), FailureKind.TRANSIENT, "platform_unwell"),
        (meta_error(2), FailureKind.TRANSIENT, "platform_unwell"),
        (meta_error(9_999, is_transient=True), FailureKind.TRANSIENT, "platform_unwell"),
        (
            meta_error(1, message="Please reduce the amount of data you're asking for"),
            FailureKind.TOO_LARGE,
            "batch_too_large",
        ),
        (meta_error(4), FailureKind.THROTTLED, "throttled"),
        (meta_error(17, 2446079), FailureKind.THROTTLED, "throttled"),
        (meta_error(32), FailureKind.THROTTLED, "throttled"),
        (meta_error(613, 1487742), FailureKind.THROTTLED, "throttled"),
        (meta_error(80009), FailureKind.THROTTLED, "throttled"),
        (meta_error(80014), FailureKind.THROTTLED, "throttled"),
        (meta_error(190, 463), FailureKind.AUTH, "token_expired"),
        (meta_error(190, 458), FailureKind.AUTH, "token_revoked"),
        (meta_error(190), FailureKind.AUTH, "token_invalid"),
        (meta_error(10), FailureKind.PERMISSION, "permission_missing"),
        (meta_error(200), FailureKind.PERMISSION, "permission_missing"),
        (meta_error(368), FailureKind.PERMISSION, "blocked_for_policy"),
        (meta_error(100, 33), FailureKind.PERMISSION, "catalog_not_found"),
        (meta_error(100), FailureKind.INVALID_REQUEST, "invalid_parameter"),
        (meta_error(104), FailureKind.INVALID_REQUEST, "platform_refused"),
        (meta_error(21009), FailureKind.TRANSIENT, "platform_unwell"),
    ],
)
def test_meta_speaks_by_the_body_whatever_the_status(
    status: int, body: dict[str, Any], kind: FailureKind, code: str
) -> None:
    failure = meta_errors.classify(status, {}, body)
    assert failure is not None
    assert (failure.kind, failure.code) == (kind, code)


def test_meta_names_the_fields_to_blame_and_its_own_words() -> None:
    body = meta_error(
        100, 1, error_user_msg="No name.", error_data={"blame_field_specs": [["name"], ["a", "b"]]}
    )
    failure = meta_errors.classify(400, {}, body)
    assert failure is not None
    assert (failure.fields, failure.message, failure.platform_code) == (
        ("name", "a.b"),
        "words - No name.",
        "100/1",
    )


def usage(*entries: tuple[str, int]) -> dict[str, str]:
    listed = [{"type": name, "estimated_time_to_regain_access": minutes} for name, minutes in entries]
    return {"x-business-use-case-usage": json.dumps({"123": listed})}


@pytest.mark.parametrize(
    ("code", "headers", "wait_s"),
    [
        (80014, usage(("catalog_batch", 3), ("ads_management", 60)), 180.0),
        (80014, usage(("ads_management", 60)), 3_600.0),
        (80014, usage(("catalog_batch", 0)), None),
        (80014, {}, None),
        (80014, {"x-business-use-case-usage": "no json"}, None),
        (80014, {"x-business-use-case-usage": "[1]"}, None),
        (17, {"x-ad-account-usage": '{"acc_id_util_pct": 100, "reset_time_duration": 90}'}, 90.0),
        (341, {}, 3_600.0),
    ],
)
def test_meta_says_in_minutes_how_long_to_wait(
    code: int, headers: dict[str, str], wait_s: float | None
) -> None:
    failure = meta_errors.classify(400, headers, meta_error(code))
    assert failure is not None
    assert failure.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (502, None, FailureKind.UNKNOWN_OUTCOME),
        (500, {"detail": "proxy"}, FailureKind.UNKNOWN_OUTCOME),
        (200, None, FailureKind.UNKNOWN_OUTCOME),
        (413, None, FailureKind.TOO_LARGE),
        (429, None, FailureKind.THROTTLED),
        (404, None, FailureKind.TRANSIENT),
        (302, None, FailureKind.TRANSIENT),
        (422, None, FailureKind.INVALID_REQUEST),
    ],
)
def test_without_an_error_body_only_the_status_speaks(status: int, body: object, kind: FailureKind) -> None:
    for classify in (meta_errors.classify, pinterest_errors.classify):
        failure = classify(status, {}, body)
        assert failure is not None
        assert failure.kind is kind


def test_a_wait_is_heard_without_an_error_body_too() -> None:
    for classify in (meta_errors.classify, pinterest_errors.classify):
        for text, wait_s in (("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("", None)):
            failure = classify(429, {"retry-after": text}, None)
            assert failure is not None
            assert failure.retry_after_s == wait_s


def test_success_is_no_failure() -> None:
    assert meta_errors.classify(200, {}, {"handles": ["h"]}) is None
    assert pinterest_errors.classify(200, {}, {"batch_id": "b"}) is None


@pytest.mark.parametrize(
    ("status", "code", "kind", "stable"),
    [
        (429, 8, FailureKind.THROTTLED, "throttled"),
        (401, 2, FailureKind.AUTH, "token_invalid"),
        (403, 29, FailureKind.PERMISSION, "permission_missing"),
        (503, 4197, FailureKind.TRANSIENT, "platform_unwell"),
        (400, 1, FailureKind.INVALID_REQUEST, "invalid_parameter"),
        (404, 4331, FailureKind.INVALID_REQUEST, "batch_lost"),
    ],
)
def test_pinterest_codes(status: int, code: int, kind: FailureKind, stable: str) -> None:
    failure = pinterest_errors.classify(status, {}, {"code": code, "message": "words"})
    assert failure is not None
    assert (failure.kind, failure.code, failure.message) == (kind, stable, "words")


def test_pinterest_details_and_wait() -> None:
    detailed = pinterest_errors.classify(
        422, {}, {"code": 3, "message": "bad", "details": {"country": "unknown"}}
    )
    assert detailed is not None
    assert (detailed.kind, detailed.fields) == (FailureKind.INVALID_REQUEST, ("country",))
    assert "unknown" in detailed.message
    limited = pinterest_errors.classify(
        429, {"x-userendpoint-ratelimit-reset": "12"}, {"code": 8, "message": "slow"}
    )
    assert limited is not None
    assert limited.retry_after_s == 12.0


def test_meta_batch_with_a_handle_knows_refused_items_at_once() -> None:
    answer = {
        "handles": ["h-1"],
        "validation_status": [
            {
                "retailer_id": "b",
                "errors": [{"message": "Missing required field image_link"}],
                "warnings": [],
            },
            {"retailer_id": "a", "errors": [], "warnings": [{"message": "Unknown field: x"}]},
        ],
    }
    result = meta_batches.send_result(answer, ["a", "b"])
    assert result.handle == "h-1"
    assert [(v.platform_item_id, v.outcome, v.reasons[0].code) for v in result.verdicts] == [
        ("b", Outcome.REFUSED, "missing_image_link")
    ]


def test_meta_batch_without_a_handle_took_nothing() -> None:
    refused = {"handles": [], "validation_status": [{"retailer_id": "b", "errors": [{"message": "bad"}]}]}
    assert outcomes(meta_batches.send_result(refused, ["a", "b"])) == {
        "b": Outcome.REFUSED,
        "a": Outcome.UNKNOWN,
    }
    with pytest.raises(PlatformFailure) as raised:
        meta_batches.send_result({"handles": []}, ["a", "b"])
    assert (raised.value.kind, raised.value.code) == (FailureKind.INVALID_REQUEST, "platform_refused")


def outcomes(result: SendResult | PollResult) -> dict[str, Outcome]:
    return {verdict.platform_item_id: verdict.outcome for verdict in result.verdicts}


def meta_poll(sent: list[str], **batch: Any) -> PollResult:
    return meta_batches.poll_result({"data": [{"handle": "h", **batch}]}, sent)


@pytest.mark.parametrize("status", ["scheduled", "dispatched", "started", "in_progress"])
def test_meta_batches_go_on_even_with_errors(status: str) -> None:
    going = meta_poll(
        ["a"], status=status, errors_total_count=1, errors=[{"line": 0, "id": "a", "message": "x"}]
    )
    assert going == PollResult(False)


def test_meta_batches_finish_with_one_verdict_per_item() -> None:
    assert meta_poll(["a", "b"], status="finished", errors_total_count=0, errors=[]) == PollResult(
        True, (Verdict("a", Outcome.ACCEPTED), Verdict("b", Outcome.ACCEPTED))
    )
    mixed = meta_poll(
        ["a", "b", "c"],
        status="finished",
        errors_total_count=2,
        errors=[{"line": 1, "id": "b", "message": "Invalid value for field price"}],
        ids_of_invalid_requests=["b", "c"],
        warnings=[{"line": 0, "id": "a", "message": "Unknown field: x"}],
    )
    assert outcomes(mixed) == {"a": Outcome.ACCEPTED, "b": Outcome.REFUSED, "c": Outcome.REFUSED}
    assert mixed.verdicts[1].reasons[0].code == "price_invalid"
    assert len(mixed.verdicts[0].warnings) == 1


@pytest.mark.parametrize(
    "batch",
    [
        {"status": "error"},
        {"status": "canceled"},
        {"status": "finished", "errors_total_count": 3, "errors": [{"message": "something"}]},
    ],
)
def test_meta_batches_without_answers_per_item_are_unknown(batch: dict[str, Any]) -> None:
    assert outcomes(meta_poll(["a", "b"], **batch)) == {"a": Outcome.UNKNOWN, "b": Outcome.UNKNOWN}


def test_a_forgotten_handle_is_unknown() -> None:
    assert outcomes(meta_batches.poll_result({"data": []}, ["a"])) == {"a": Outcome.UNKNOWN}


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        (
            "You cannot create a EntProductItem without required field ImageLink",
            "missing_image_link",
            "image_link",
        ),
        ("Invalid value for field title: 201 characters, at most 200 are allowed", "title_too_long", "title"),
        (
            "Invalid value for field price: must be a number with at most two decimals",
            "price_invalid",
            "price",
        ),
        ("(id=price-tag) The item to update does not exist", "not_on_platform", "id"),
        ("Computer says no", "platform_refused", ""),
    ],
)
def test_meta_item_messages_in_our_words(message: str, code: str, field: str) -> None:
    problem = meta_errors.item_problem(message)
    assert (problem.code, problem.field, problem.message) == (code, field, message)
    assert problem.fix


def pinterest_batch(**changes: Any) -> dict[str, Any]:
    return {
        "batch_id": "7",
        "catalog_type": "RETAIL",
        "created_time": "2026-11-24T00:00:00",
        "completed_time": None,
        "status": "PROCESSING",
        "items": [],
        **changes,
    }


def test_pinterest_batches() -> None:
    assert pinterest_batches.send_result(pinterest_batch(), ["a"]) == SendResult("7")
    assert pinterest_batches.poll_result(pinterest_batch(), ["a"]) == PollResult(False)
    done = pinterest_batch(
        status="COMPLETED",
        items=[
            {"item_id": "a", "status": "SUCCESS", "errors": [], "warnings": []},
            {
                "item_id": "b",
                "status": "FAILURE",
                "errors": [{"attribute": "title", "code": 106, "message": "no"}],
            },
            {"item_id": "c", "status": "FAILURE"},
            {
                "item_id": "d",
                "status": "FAILURE",
                "errors": [{"attribute": "item_id", "code": 1, "message": "not found"}],
            },
        ],
    )
    polled = pinterest_batches.poll_result(done, ["a", "b", "c", "d", "e"])
    assert polled.done
    assert [(v.outcome.value, v.reasons[0].code if v.reasons else "") for v in polled.verdicts] == [
        ("accepted", ""),
        ("refused", "missing_title"),
        ("refused", ""),
        ("refused", "not_on_platform"),
        ("unknown", "batch_lost"),
    ]


def test_a_skipped_duplicate_on_pinterest_is_no_acceptance() -> None:
    skipped = pinterest_batches.send_result(
        pinterest_batch(created_time=None, status="COMPLETED"), ["a", "b"]
    )
    assert skipped.handle is None
    assert [(v.outcome, v.reasons[0].code) for v in skipped.verdicts] == [
        (Outcome.UNKNOWN, "batch_skipped_as_duplicate"),
        (Outcome.UNKNOWN, "batch_skipped_as_duplicate"),
    ]


@pytest.mark.parametrize(
    ("text", "decimals", "minor"),
    [
        ("$12.34", 2, 1234),
        ("$1,234.50", 2, 123450),
        ("12,34 €", 2, 1234),
        ("1.250,00 €", 2, 125000),
        ("1\u202f250,00 €", 2, 125000),
        ("$1,234", 2, 123400),
        ("$5", 2, 500),
        ("$5.5", 2, 550),
        ("¥1,200", 0, 1200),
        ("¥1200.00", 0, 1200),
        ("OMR 1.250", 3, 1250),
        ("OMR 1.25", 3, 1250),
        ("free", 2, None),
    ],
)
def test_formatted_amounts(text: str, decimals: int, minor: int | None) -> None:
    assert amount_minor(text, decimals=decimals) == minor


def test_prices_of_two_currencies_are_never_the_same() -> None:
    assert same_price("12.34 USD", "$12.34")
    assert same_price("12.34 USD", "$12.34", seen_currency="USD")
    assert not same_price("12.34 USD", "$12.34", seen_currency="CAD")
    assert not same_price("12.34 USD", "12.34 EUR")
    assert not same_price("12.34 USD", "$12.35")


def test_meta_read_back_names_what_differs() -> None:
    sent = {
        "title": "Blue mug",
        "price": "12.34 USD",
        "sale_price": "",
        "availability": "in stock",
        "gtin": "0123",
    }
    product = {
        "name": "Blue  mug",
        "price": "$12.34",
        "currency": "USD",
        "availability": "in stock",
        "gtin": "123",
    }
    assert seen_on_meta("a", sent, product).matches
    drifted = seen_on_meta("a", sent, {**product, "price": "$8.99", "availability": "out of stock"})
    assert drifted.differences == (
        Difference("price", "12.34 USD", "$8.99"),
        Difference("availability", "in stock", "out of stock"),
    )
    assert not seen_on_meta("a", sent, None).present
    still_on_sale = seen_on_meta("a", sent, {**product, "sale_price": "$9.99"})
    assert [part.name for part in still_on_sale.differences] == ["sale_price"]


def test_meta_read_back_knows_a_refused_review() -> None:
    product = {"name": "Mug", "review_status": "rejected", "review_rejection_reasons": ["weapons"]}
    shown = seen_on_meta("a", {"title": "Mug"}, product)
    assert shown.matches
    assert [problem.code for problem in shown.problems] == ["review_rejected"]
    assert "weapons" in shown.problems[0].message


def test_meta_sale_windows_are_moments_not_text() -> None:
    sent = {"sale_price_effective_date": "2026-11-24T05:00+00:00/2026-12-01T00:00+00:00"}
    dates = {
        "sale_price_start_date": "2026-11-24T00:00:00-0500",
        "sale_price_end_date": "2026-12-01T00:00:00+0000",
    }
    assert seen_on_meta("a", sent, dates).matches
    assert not seen_on_meta("a", sent, {**dates, "sale_price_end_date": "2026-12-02T00:00:00+0000"}).matches


def test_pinterest_read_back() -> None:
    answer = {
        "items": [
            {
                "catalog_type": "RETAIL",
                "item_id": "a",
                "attributes": {"price": "12.34USD", "availability": "IN_STOCK"},
            },
            {"catalog_type": "RETAIL", "item_id": "b", "errors": [{"code": 1, "message": "not found"}]},
        ]
    }
    found = items_of(answer)
    assert list(found) == ["a"]
    sent = {"price": "12.34 USD", "availability": "in stock", "sale_price": None}
    assert seen_on_pinterest("a", sent, found["a"]).matches
    assert seen_on_pinterest("a", {**sent, "sale_price": "9.99 USD"}, found["a"]).differences == (
        Difference("sale_price", "9.99 USD", ""),
    )


def test_the_quota_of_a_quiet_and_of_a_busy_catalog() -> None:
    assert catalog_batch_calls_per_minute(0) == 8.0
    assert catalog_batch_calls_per_minute(1_024) == 88.0
