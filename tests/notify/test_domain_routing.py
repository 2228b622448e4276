"""To whom and when: rules, digests, quiet hours, over the changes of the clocks; what answers mean."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from vitrin.notify.domain.posting import RATE_WINDOW, free_at, slack_said
from vitrin.notify.domain.register import REGISTER, SEVERITIES, Severity
from vitrin.notify.domain.routing import Routing, Rule, after_quiet, due_at, next_at, wants

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Routing(quiet=(time(22), time(7)), zone=BERLIN)
DAILY = Routing(digest="daily", daily_at=time(8), zone=BERLIN)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_a_rule_takes_its_kinds_from_its_severity_on() -> None:
    rules = (Rule(("removal.held",)), Rule((), "critical"))
    taken = [(kind, severity) for kind in ("removal.held", "import.failed") for severity in SEVERITIES]
    assert [one for one in taken if wants(rules, *one)] == [
        ("removal.held", "info"),
        ("removal.held", "warning"),
        ("removal.held", "critical"),
        ("import.failed", "critical"),
    ]
    assert not wants((), "removal.held", "critical")


@pytest.mark.parametrize(
    ("severity", "now", "expected"),
    [
        ("warning", "2030-06-10T21:59:59+02:00", "2030-06-10T21:59:59+02:00"),
        ("warning", "2030-06-10T22:00:00+02:00", "2030-06-11T07:00:00+02:00"),
        ("info", "2030-06-11T00:30:00+02:00", "2030-06-11T07:00:00+02:00"),
        ("warning", "2030-06-11T06:59:59+02:00", "2030-06-11T07:00:00+02:00"),
        ("warning", "2030-06-11T07:00:00+02:00", "2030-06-11T07:00:00+02:00"),
        ("critical", "2030-06-11T00:30:00+02:00", "2030-06-11T00:30:00+02:00"),
        # Spring: on 31 March 2030 the clocks of Berlin go from 02:00 to 03:00. The night is an hour shorter.
        ("warning", "2030-03-30T22:00:00+01:00", "2030-03-31T07:00:00+02:00"),
        ("warning", "2030-03-31T03:00:00+02:00", "2030-03-31T07:00:00+02:00"),
        # Autumn: on 27 October 2030 they go from 03:00 back to 02:00.
        ("warning", "2030-10-27T02:30:00+02:00", "2030-10-27T07:00:00+01:00"),
        ("warning", "2030-10-27T02:30:00+01:00", "2030-10-27T07:00:00+01:00"),
    ],
)
def test_quiet_hours_hold_what_is_not_critical(severity: Severity, now: str, expected: str) -> None:
    assert due_at(NIGHT, severity=severity, now=at(now)) == at(expected)
    assert after_quiet(NIGHT, severity=severity, moment=at(now)) == at(expected)


def test_quiet_hours_within_a_day() -> None:
    lunch = Routing(quiet=(time(12), time(13)), zone=BERLIN)
    assert due_at(lunch, severity="info", now=at("2030-06-10T12:30:00+02:00")) == at(
        "2030-06-10T13:00:00+02:00"
    )
    assert due_at(lunch, severity="info", now=at("2030-06-10T13:30:00+02:00")) == at(
        "2030-06-10T13:30:00+02:00"
    )


def test_quiet_hours_that_begin_in_the_hour_that_spring_skips() -> None:
    """02:30 is not there on 31 March 2030; it comes as 03:30."""
    early = Routing(quiet=(time(2, 30), time(6)), zone=BERLIN)
    assert due_at(early, severity="info", now=at("2030-03-31T03:10:00+02:00")) == at(
        "2030-03-31T03:10:00+02:00"
    )
    assert due_at(early, severity="info", now=at("2030-03-31T03:40:00+02:00")) == at(
        "2030-03-31T06:00:00+02:00"
    )


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2030-06-10T07:59:00+02:00", "2030-06-10T08:00:00+02:00"),
        ("2030-06-10T08:00:00+02:00", "2030-06-11T08:00:00+02:00"),
        ("2030-03-30T09:00:00+01:00", "2030-03-31T08:00:00+02:00"),
        ("2030-10-26T09:00:00+02:00", "2030-10-27T08:00:00+01:00"),
    ],
)
def test_a_daily_digest_at_its_local_time(now: str, expected: str) -> None:
    assert due_at(DAILY, severity="warning", now=at(now)) == at(expected)
    assert due_at(DAILY, severity="critical", now=at(now)) == at(now)


def test_a_daily_digest_comes_once_a_day_also_when_its_hour_comes_twice_or_never() -> None:
    for first, days in (("2030-03-29T00:00:00+01:00", 4), ("2030-10-25T00:00:00+02:00", 4)):
        moment, slots = at(first), []
        for _ in range(days):
            moment = next_at(moment, time(2, 30), BERLIN)
            slots.append(moment)
        assert len({slot.astimezone(BERLIN).date() for slot in slots}) == days
        assert all(timedelta(hours=23) <= b - a <= timedelta(hours=25) for a, b in pairwise(slots))


def test_an_hourly_digest_and_quiet_hours_together() -> None:
    hourly = Routing(digest="hourly", quiet=(time(22), time(7)), zone=BERLIN)
    assert due_at(hourly, severity="info", now=at("2030-06-10T20:10:00+02:00")) == at(
        "2030-06-10T21:00:00+02:00"
    )
    assert due_at(hourly, severity="info", now=at("2030-06-10T21:10:00+02:00")) == at(
        "2030-06-11T07:00:00+02:00"
    )


def test_a_rate_frees_a_place_when_the_oldest_in_the_way_is_an_hour_old() -> None:
    now = datetime(2030, 1, 1, 12, tzinfo=UTC)
    sent = [now - timedelta(minutes=minutes) for minutes in (70, 50, 40, 30)]
    assert free_at(sent, limit=4, now=now) is None
    assert free_at(sent, limit=3, now=now) == sent[1] + RATE_WINDOW
    assert free_at(sent, limit=2, now=now) == sent[2] + RATE_WINDOW
    assert free_at([], limit=1, now=now) is None


@pytest.mark.parametrize(
    ("status", "body", "for_good"),
    [
        (404, "no_service", True),
        (404, "channel_not_found", True),
        (410, "channel_is_archived", True),
        (403, "invalid_token", True),
        (403, "action_prohibited", False),
        (400, "invalid_payload", False),
        (429, "rate_limited", False),
        (500, "", False),
    ],
)
def test_what_slack_says(status: int, body: str, for_good: bool) -> None:
    detail, fix, gone = slack_said(status, body)
    assert gone == for_good
    assert str(status) in detail
    assert fix


def test_the_register_has_words() -> None:
    assert all(one.says.endswith(".") and one.severity in SEVERITIES for one in REGISTER.values())
