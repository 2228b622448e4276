"""The pure rules: the retry schedule, rests, ends, signatures, what is news, and payloads that keep to their schema."""

import base64
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from vitrin.kit import webhook_signing as signing
from vitrin.kit.retry_after import parse_retry_after
from vitrin.notify.domain import outcome
from vitrin.notify.domain.kinds import CONNECTION_TYPES, ITEM_TYPES, KINDS
from vitrin.notify.domain.news import Sight, Told, look, wants
from vitrin.notify.domain.schedule import PAUSES_S, TRY_FOR, Schedule, is_dead
from vitrin.notify.schemas_payloads import DATA, payload_model
from vitrin.notify.service.storing import News, payload_of

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUSE = Schedule()


def tries_of(chances: list[float]) -> list[timedelta]:
    """When each try happens, since the first, if every one fails at once."""
    found, now = [timedelta()], START
    for tries, chance in enumerate(chances, start=1):
        at = HOUSE.next_try(tries=tries, first_at=START, now=now, chance=chance)
        if at is None:
            break
        found.append(at - START)
        now = at
    return found


def test_twelve_tries_in_less_than_a_day() -> None:
    found = tries_of([0.5] * 20)
    assert [round(one.total_seconds()) for one in found] == [sum(PAUSES_S[:number]) for number in range(12)]
    assert timedelta(hours=21) < found[-1] < TRY_FOR


@given(st.lists(st.floats(0, 1), min_size=20, max_size=20))
def test_whatever_chance_says_it_is_a_day_at_most_and_never_back_in_time(chances: list[float]) -> None:
    found = tries_of(chances)
    assert 11 <= len(found) <= 12
    assert found == sorted(found)
    assert timedelta(hours=17) < found[-1] <= TRY_FOR
    for before, after, pause in zip(found, found[1:], PAUSES_S, strict=False):
        assert after - before <= timedelta(seconds=1.2 * pause)
        assert after - before >= timedelta(seconds=0.8 * pause) or after == TRY_FOR


def test_what_a_receiver_asks_for_is_believed_up_to_an_hour() -> None:
    def after(asked: timedelta | None) -> timedelta:
        at = HOUSE.next_try(tries=1, first_at=START, now=START, chance=0.5, asked=asked)
        assert at is not None
        return at - START

    assert after(timedelta(minutes=3)) == timedelta(minutes=3)
    assert after(timedelta(seconds=1)) == timedelta(seconds=5)
    assert after(timedelta(days=30)) == timedelta(hours=1)
    assert parse_retry_after("120") == timedelta(minutes=2)
    for bad in (None, "", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 10, "１２"):
        assert parse_retry_after(bad) is None


def test_an_endpoint_rests_longer_and_longer_and_dies_of_failures_only() -> None:
    assert [HOUSE.rest(failures).total_seconds() for failures in (0, 4, 5, 6, 7, 12, 13, 10_000)] == [
        *(0, 0, 2, 4, 8, 256, 300, 300)
    ]
    days = timedelta(days=5)

    def dead(failures: int, since: datetime | None, on_days: int = 3) -> bool:
        return is_dead(
            failures=failures, failing_days=on_days, failing_since=since, now=START, disable_after=days
        )

    assert dead(10, START - days)
    assert not dead(9, START - days)
    assert not dead(1_000, START - days + timedelta(seconds=1))
    assert not dead(10, None)
    assert not dead(1_000, START - 9 * days, on_days=2), "one bad day, and another one weeks later"


@given(st.binary(max_size=300), st.integers(24, 64))
def test_the_official_library_makes_the_same_signature(body: bytes, size: int) -> None:
    secret = signing.secret_text(bytes(range(size)))
    text = base64.b64encode(body).decode()
    made = signing.headers([secret], "id-1", int(START.timestamp()), text.encode())
    assert made["webhook-signature"] == Webhook(secret).sign("id-1", START, text)


def test_a_secret_without_its_prefix_signs_nothing() -> None:
    with pytest.raises(ValueError, match="whsec_"):
        signing.signature("secret", "id-1", 1, b"")


def test_what_an_answer_means() -> None:
    def code(status: int) -> str:
        return outcome.answered(status, location=None, retry_after=None, body=b"").code

    assert [code(status) for status in (200, 204, 299, 301, 304, 308, 400, 410, 429, 500)] == [
        *("delivered", "delivered", "delivered", "redirected", "redirected", "redirected"),
        *("refused", "gone", "refused", "refused"),
    ]
    asked = outcome.answered(503, location=None, retry_after="7", body=b"x" * 9_000)
    assert (asked.retry_after, len(asked.excerpt)) == (timedelta(seconds=7), outcome.EXCERPT_CHARS)
    assert outcome.answered(500, location=None, retry_after="7", body=b"").retry_after is None
    assert outcome.excerpt_of("ü".encode() * 3_000 + b"\xff") == "ü" * outcome.EXCERPT_CHARS
    assert "40" not in outcome.timed_out(15).detail
    assert "within 15 s" in outcome.timed_out(15).detail


def sight(version: int, type_: str | None, told: str) -> Sight:
    return Sight(
        brand_id=UUID(int=1),
        source_id=UUID(int=2),
        object_type="item",
        object_id="mug",
        object_key="item/c/mug",
        version=version,
        type=type_,
        told=told,
        occurred_at=START,
    )


@given(st.lists(st.tuples(st.integers(1, 12), st.sampled_from(["live", "removed", ""])), max_size=30))
def test_news_follows_the_newest_version_whatever_comes_when(seen: list[tuple[int, str]]) -> None:
    by_version = dict(seen)  # one state per version
    known, told = Told(), []
    for version, _ in seen:
        state = by_version[version]
        known, news = look(known, sight(version, f"item.{state}" if state else None, state))
        if news:
            told.append(state)
    assert known.version == max([version for version, _ in seen], default=-1)
    assert all(before != after for before, after in pairwise(told))
    assert told[-1:] == ([known.told] if known.told else [])


def test_a_filter_and_none() -> None:
    assert wants([], "item.live")
    assert wants(["item.live"], "item.live")
    assert not wants(["item.live"], "item.held")


def test_every_type_has_a_schema_that_its_example_keeps() -> None:
    assert set(DATA) == set(KINDS)
    assert {*ITEM_TYPES.values(), *CONNECTION_TYPES.values()} <= set(KINDS)
    for name, kind in KINDS.items():
        news = News(
            brand_id=uuid4(), type=name, object_id="x", object_key="x", occurred_at=START, data=kind.example
        )
        shown = payload_model(name).model_validate_json(payload_of(uuid4(), news))
        assert (shown.type, shown.version, shown.timestamp) == (name, kind.version, START)
