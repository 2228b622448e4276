"""Audiences and events of a network in one process: what is shown late, what is merged, who is matched."""

from typing import Any

import pytest

from vitrin.sandbox.ads.audiences import Audience
from vitrin.sandbox.ads.conversions import per_day
from vitrin.sandbox.ads.desk import AdsDesk, build_desk
from vitrin.sandbox.changes import Changes
from vitrin.sandbox.settings import SandboxSettings

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
START_MS = 1_700_000_000_000


class Now:
    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def desk(now: Now) -> AdsDesk:
    settings = SandboxSettings(
        match_share=1.0, audience_latency_ms=1_000, conversion_latency_ms=1_000, conversions_kept_max=5
    )
    return build_desk(settings, changes=Changes(), now_ms=now, dedupe_ms=48 * HOUR_MS)


def audience(desk: AdsDesk, now: Now) -> Audience:
    return desk.audiences.create(Audience("1", "act", "Buyers", "", now.ms, now.ms))


def rows(*numbers: int) -> list[dict[str, str]]:
    return [{"EXTERN_ID": f"c-{number}", "EMAIL": f"hash-{number}"} for number in numbers]


def test_a_size_is_shown_late_and_never_half(desk: AdsDesk, now: Now) -> None:
    one = audience(desk, now)
    desk.audiences.add(one, rows(1, 2, 3))
    now.ms += 999
    assert (desk.audiences.shown(one), desk.audiences.is_settled(one)) == (0, False)
    desk.audiences.add(one, rows(4))
    now.ms += 1
    assert (desk.audiences.shown(one), desk.audiences.people(one)) == (3, 4)
    now.ms += 999
    assert (desk.audiences.shown(one), desk.audiences.is_settled(one)) == (4, True)
    desk.audiences.remove(one, [{"EMAIL": "hash-1"}])
    assert (desk.audiences.shown(one), desk.audiences.people(one)) == (4, 3)


def test_people_are_counted_once_however_many_rows(desk: AdsDesk, now: Now) -> None:
    one = audience(desk, now)
    twice = [{"EXTERN_ID": "c-1", "EMAIL": "a"}, {"EXTERN_ID": "c-1", "EMAIL": "b"}]
    desk.audiences.add(one, [*twice, *rows(2)])
    assert (len(one.rows), desk.audiences.people(one)) == (3, 2)
    assert desk.audiences.people_after_removal(one, [{"EMAIL": "a"}]) == 2
    assert desk.audiences.people_after_removal(one, [{"EXTERN_ID": "c-1"}]) == 1
    desk.audiences.remove(one, [{"EMAIL": "a"}])
    assert desk.audiences.people(one) == 2
    desk.audiences.remove(one, [{"EXTERN_ID": "c-1"}])
    assert (desk.audiences.people(one), list(one.rows)) == (1, ["EXTERN_ID=c-2|EMAIL=hash-2"])
    desk.audiences.replace(one, rows(7))
    assert (desk.audiences.people(one), one.uploaded, one.removed) == (1, 4, 2)


def event(event_id: str, **changes: Any) -> dict[str, Any]:
    fields = {
        "source_id": "p",
        "way": "server",
        "name": "Purchase",
        "event_id": event_id,
        "event_ms": START_MS,
    }
    return {**fields, "keys": ["k"], "has_email": True, **changes}


def test_a_repeat_is_one_for_two_days_and_per_name_and_pixel(desk: AdsDesk, now: Now) -> None:
    book = desk.conversions
    book.take([event("a"), event("a"), event("a", name="Lead"), event("a", source_id="q"), event("")])
    assert [one.merged_into for one in book.events.values()] == [None, 1, None, None, None]
    now.ms += 48 * HOUR_MS
    assert book.take([event("a")])[0].merged_into == 1
    now.ms += 1
    assert book.take([event("a")])[0].merged_into is None
    # Only the last five are remembered.
    assert [one.number for one in book.list(since=0, limit=10)] == [3, 4, 5, 6, 7]


def test_counts_come_late_and_per_day(desk: AdsDesk, now: Now) -> None:
    book = desk.conversions
    book.take(
        [event("a", way="browser"), event("a"), event("b", event_ms=START_MS - DAY_MS), event("t", test="X")]
    )
    assert book.counts("p", late=True) == {}
    now.ms += 1_000
    counted = per_day(book.counts("p", late=True))
    days = sorted(
        (day, one.received, one.browser, one.merged, one.matched) for (day, _), one in counted.items()
    )
    today = START_MS // DAY_MS * DAY_MS
    assert days == [(today - DAY_MS, 1, 0, 0, 1), (today, 2, 1, 1, 2)]
    assert book.counts("q", late=False) == {}
    assert len(book.counts("p", late=False, since_ms=START_MS)) == 1


def test_named_people_are_the_only_ones_known(desk: AdsDesk, now: Now) -> None:
    assert desk.matching.knows(["anything"])
    desk.matching.name(emails=["Jane@Example.org"], phones=["+49 (89) 1"])
    assert not desk.matching.knows(["anything"])
    assert len(desk.matching.people) == 2
    nobody = desk.conversions.take([event("z")], no_match=True)[0]
    assert nobody.matched is False
