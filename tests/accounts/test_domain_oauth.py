"""When tokens are renewed: pure rules."""

from datetime import UTC, datetime, timedelta

import pytest

from vitrin.accounts import domain_oauth as rules
from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.oauth import LIFETIME_S_MAX, lifetime_of, secrets_of, token_of, without

NOW = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("life", "lead"),
    [
        (timedelta(days=60), timedelta(days=15)),
        (timedelta(days=30), timedelta(days=7, hours=12)),
        (timedelta(hours=1), timedelta(minutes=20)),
        (timedelta(minutes=20), timedelta(minutes=10)),
        (timedelta(seconds=10), timedelta(seconds=5)),
    ],
)
def test_the_lead_is_a_quarter_of_the_life_and_at_least_two_leases(life: timedelta, lead: timedelta) -> None:
    ends = NOW + life
    due = rules.due_at(NOW, ends)
    assert due is not None
    assert ends - due == lead


def test_what_has_no_end_is_never_due() -> None:
    assert rules.due_at(NOW, None) is None
    assert rules.after_no_extension(NOW, None) is None
    assert rules.after_no_extension(NOW, NOW) is None
    assert rules.after_no_extension(NOW, NOW + timedelta(days=4)) == NOW + timedelta(days=1)


def test_failures_and_recoveries_wait_longer_and_longer_up_to_a_limit() -> None:
    waits = [rules.retry_at(NOW, failures) - NOW for failures in range(1, 12)]
    assert waits[:3] == [timedelta(seconds=30), timedelta(minutes=1), timedelta(minutes=2)]
    assert waits[-1] == rules.RETRY_MAX
    assert rules.retry_at(NOW, 10_000) - NOW == rules.RETRY_MAX
    recoveries = [rules.recovery_at(NOW, count) - NOW for count in (0, 1, 2, 10_000)]
    assert recoveries == [timedelta(), timedelta(minutes=1), timedelta(minutes=2), rules.RECOVERY_MAX]


@pytest.mark.parametrize(
    ("ends", "by_consent", "renews", "due", "renewal"),
    [
        (None, True, True, None, "not_needed"),
        (NOW, False, False, None, "by_hand"),
        (NOW, True, True, NOW, "automatic"),
        (NOW, True, True, None, "by_consent"),
        (NOW, True, False, NOW, "by_consent"),
    ],
)
def test_the_forecast(
    ends: datetime | None, by_consent: bool, renews: bool, due: datetime | None, renewal: str
) -> None:
    found = rules.forecast(expires_at=ends, by_consent=by_consent, renews=renews, renews_at=due)
    assert found.renewal == renewal


@pytest.mark.parametrize(
    ("before", "after", "same", "longer"),
    [
        (NOW, NOW + timedelta(seconds=2), True, False),
        (NOW, NOW + timedelta(minutes=11), True, True),
        (NOW, NOW, False, True),
        (NOW, NOW - timedelta(hours=1), False, False),
        (NOW, None, True, True),
        (None, NOW, True, False),
        (None, NOW, False, True),
    ],
)
def test_what_a_renewal_brings(
    before: datetime | None, after: datetime | None, same: bool, longer: bool
) -> None:
    assert rules.lives_longer(before=before, after=after, same_token=same) is longer


def test_an_odd_answer_of_a_token_endpoint_is_a_failure_or_a_date() -> None:
    assert lifetime_of({"expires_in": 10**12}, "expires_in") == LIFETIME_S_MAX
    assert lifetime_of({"expires_in": True}, "expires_in") is None
    assert token_of({}, "access_token") == ""
    for odd in ("t\u00f6ken", "to ken", "token\n"):
        with pytest.raises(PlatformFailure):
            token_of({"access_token": odd}, "access_token")


def test_a_platform_that_repeats_a_secret_is_not_quoted_with_it() -> None:
    form = {"client_id": "app", "client_secret": "s3cr/et", "code": "c0de", "refresh_token": ""}
    said = PlatformFailure(FailureKind.AUTH, code="x", message="app: s3cr/et s3cr%2Fet c0de")
    told = without(said, secrets_of(form))
    assert told.message.startswith("app: ")
    assert not [one for one in ("s3cr", "c0de") if one in told.message]
