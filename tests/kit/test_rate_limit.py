"""The quota of a key: a bucket on a clock that the test holds."""

import random

from vitrin.kit.http.rate_limit import Quota


def test_a_burst_is_the_whole_quota_and_refills_evenly() -> None:
    quota = Quota(requests_max=60, window_s=60)
    taken = [quota.take("a", 100.0) for _ in range(61)]
    assert [one.allowed for one in taken] == [True] * 60 + [False]
    assert [one.remaining for one in taken[:3]] == [59, 58, 57]
    assert (taken[-1].remaining, taken[-1].full_in_s, taken[-1].next_in_s) == (0, 60, 1)
    assert not quota.take("a", 100.9).allowed
    assert quota.take("a", 101.0).allowed
    assert not quota.take("a", 101.0).allowed
    assert quota.take("a", 10_000.0).remaining == 59


def test_whoever_waits_as_told_gets_through() -> None:
    for requests_max, window_s in ((1, 60), (7, 3), (12_000, 60), (5, 86_400)):
        quota = Quota(requests_max=requests_max, window_s=window_s)
        taken = [quota.take("a", 0.0) for _ in range(requests_max + 1)][-1]
        assert not taken.allowed
        assert quota.take("a", float(taken.next_in_s)).allowed


def test_no_window_sees_more_than_two_quotas() -> None:
    """The promise that a server can be sized by: a full bucket and what flows in meanwhile."""
    chance = random.Random(4)
    quota = Quota(requests_max=50, window_s=10)
    now, passed = 0.0, []
    for _ in range(5_000):
        now += chance.choice((0.0, 0.0, 0.01, 0.2, 3.0))
        if quota.take("a", now).allowed:
            passed.append(now)
    for start in passed[::50]:
        assert sum(start <= moment < start + 10 for moment in passed) <= 100


def test_keys_do_not_share_and_the_silent_one_is_forgotten() -> None:
    quota = Quota(requests_max=2, window_s=60, keys_max=2)
    for _ in range(2):
        quota.take("a", 0.0)
    assert quota.take("b", 0.0).remaining == 1
    assert not quota.take("a", 0.0).allowed
    quota.take("c", 0.0)
    assert quota.take("b", 0.0).remaining == 1
