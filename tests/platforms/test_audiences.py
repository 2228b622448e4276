"""Both networks' customer lists against the sandbox over a real socket: the whole life of an audience."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from tests.platforms.networks import NAMES, Place, members, place_at, serving, shopper
from vitrin.kit.http_client import PlatformHttp
from vitrin.platforms.audience import (
    AUDIENCE_FLAGGED,
    AUDIENCE_GONE,
    AUDIENCE_TOO_SMALL,
    AudienceSpec,
    AudienceState,
    Member,
    MembersResult,
    RemoteAudience,
    RenderedMember,
    ReplaceStep,
)
from vitrin.platforms.base import ChannelMisconfigured, FailureKind, Outcome, PlatformFailure
from vitrin.platforms.personal.model import Person
from vitrin.platforms.registry import AUDIENCES, CONVERSIONS

SPEC = AudienceSpec("vitrin/a-1 All buyers", "bought once")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture(params=NAMES)
async def place(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Place]:
    async with place_at(url, request.param) as found:
        yield found


async def made(place: Place, *numbers: int) -> RemoteAudience:
    channel = place.audiences
    first = members(channel, *numbers)
    if channel.capabilities.created_with_members:
        created = await channel.create(SPEC, first)
        assert [one.outcome for one in created.verdicts] == [Outcome.ACCEPTED] * len(first)
        return created.audience
    created = await channel.create(SPEC)
    assert accepted(await channel.add(created.audience, first)) == [f"m-{number}" for number in numbers]
    return created.audience


def accepted(result: MembersResult) -> list[str]:
    return [one.record_id for one in result.verdicts if one.outcome is Outcome.ACCEPTED]


def holder(audience: RemoteAudience) -> str:
    return audience.ids.get("customer_list_id") or audience.ids["audience_id"]


def hashes(*numbers: int) -> set[str]:
    return {sha256(f"shopper{number}@example.org".encode()).hexdigest() for number in numbers}


async def inside(place: Place, audience: RemoteAudience) -> set[str]:
    return {row["EMAIL"] for row in await place.rows(holder(audience))}


async def test_an_audience_is_made_found_filled_emptied_and_ended(place: Place) -> None:
    channel = place.audiences
    assert await channel.find(SPEC.name) is None
    audience = await made(place, 1, 2, 3, 4, 5)
    assert set(audience.ids) == set(channel.capabilities.ids)
    assert await channel.find(SPEC.name) == audience
    assert await inside(place, audience) == hashes(1, 2, 3, 4, 5)
    again = await channel.add(audience, members(channel, 5, 6))
    assert accepted(again) == ["m-5", "m-6"]
    removed = await channel.remove(audience, members(channel, 1, 99))
    assert accepted(removed) == ["m-1", "m-99"]
    assert await inside(place, audience) == hashes(2, 3, 4, 5, 6)
    await channel.delete(audience)
    await channel.delete(audience)
    if place.platform == "meta":
        assert await channel.find(SPEC.name) is None
        with pytest.raises(PlatformFailure) as raised:
            await channel.add(audience, members(channel, 1))
        assert (raised.value.kind, raised.value.code) == (FailureKind.INVALID_REQUEST, AUDIENCE_GONE)


async def test_the_size_comes_with_its_age(place: Place) -> None:
    audience = await made(place, *range(150))
    size = await place.audiences.size(audience)
    assert size.state is AudienceState.READY
    assert size.as_of is not None
    assert abs(size.as_of - datetime.now(UTC)) < timedelta(minutes=10)
    if place.platform == "meta":
        assert (size.people_min, size.people_max) == (1_000, 1_000)
    else:
        assert (size.people_min, size.people_max) == (150, 150)
        assert (size.rows_received, size.rows_removed) == (150, 0)
    await place.fault(kind="no_match")
    nobody = await place.audiences.size(audience)
    assert nobody.state is AudienceState.TOO_SMALL
    assert nobody.people_min in (0, 1_000)


async def test_a_forgotten_audience_is_gone_for_every_call(place: Place) -> None:
    audience = await made(place, 1, 2, 3, 4)
    await place.fault(kind="forget_audience")
    for attempt in (
        place.audiences.add(audience, members(place.audiences, 9)),
        place.audiences.remove(audience, members(place.audiences, 1)),
        place.audiences.size(audience),
    ):
        with pytest.raises(PlatformFailure) as raised:
            await attempt
        assert (raised.value.kind, raised.value.code) == (FailureKind.INVALID_REQUEST, AUDIENCE_GONE)
        await place.fault(kind="forget_audience")


async def test_a_creation_that_was_broken_off_is_finished(place: Place) -> None:
    channel = place.audiences
    if len(channel.capabilities.ids) == 1:
        audience = await made(place, 1)
        assert (await channel.create(SPEC, begun=audience)).audience == audience
        return
    await place.fault(kind="refuse", error="transient", method="POST", path="/audiences$")
    with pytest.raises(PlatformFailure) as raised:
        await channel.create(SPEC, members(channel, 1, 2))
    assert raised.value.kind is FailureKind.TRANSIENT
    begun = await channel.find(SPEC.name)
    assert begun is not None
    assert set(begun.ids) == {"customer_list_id"}
    finished = await channel.create(SPEC, begun=begun)
    assert finished.audience.ids["customer_list_id"] == begun.ids["customer_list_id"]
    assert await channel.find(SPEC.name) == finished.audience
    assert await inside(place, finished.audience) == hashes(1, 2)


async def test_refusals_and_lost_answers(place: Place) -> None:
    channel = place.audiences
    audience = await made(place, 1, 2, 3, 4)
    for error, kind in (
        ("auth", FailureKind.AUTH),
        ("transient", FailureKind.TRANSIENT),
        ("permission", FailureKind.PERMISSION),
    ):
        await place.fault(kind="refuse", error=error)
        with pytest.raises(PlatformFailure) as raised:
            await channel.add(audience, members(channel, 7))
        assert raised.value.kind is kind
        assert raised.value.fix
        assert "catalog" not in raised.value.fix
    assert await inside(place, audience) == hashes(1, 2, 3, 4)
    await place.fault(kind="timeout_after", hold_ms=0)
    with pytest.raises(PlatformFailure) as raised:
        await channel.remove(audience, members(channel, 4))
    assert raised.value.kind is FailureKind.UNKNOWN_OUTCOME
    # Repeated, not looked up: both are idempotent.
    assert accepted(await channel.remove(audience, members(channel, 4))) == ["m-4"]
    assert await inside(place, audience) == hashes(1, 2, 3)
    # Last, since the account then rests for as long as the network says.
    await place.fault(kind="throttle", endpoint="audience", regain_s=60)
    with pytest.raises(PlatformFailure) as raised:
        await channel.remove(audience, members(channel, 4))
    assert (raised.value.kind, raised.value.retry_after_s) == (FailureKind.THROTTLED, 60.0)


async def test_batches_that_must_not_be_sent_are_not(place: Place) -> None:
    channel = place.audiences
    audience = await made(place, 1, 2, 3, 4)
    before = await place.calls("audience")
    row = members(channel, 5)[0]
    limit = channel.capabilities.limits.records_max
    many = [replace(row, member_id=f"x-{number}") for number in range(limit + 1)]
    cases: list[tuple[list[RenderedMember], FailureKind]] = [
        ([], FailureKind.INVALID_REQUEST),
        ([row, row], FailureKind.INVALID_REQUEST),
        (many, FailureKind.TOO_LARGE),
        ([replace(row, size_bytes=channel.capabilities.limits.bytes_max + 1)], FailureKind.TOO_LARGE),
    ]
    for batch, kind in cases:
        with pytest.raises(PlatformFailure) as raised:
            await channel.add(audience, batch)
        assert raised.value.kind is kind
    assert await place.calls("audience") == before
    result = await channel.add(audience, many[:limit])
    assert len(accepted(result)) == limit
    assert await place.calls("audience") == before + 1


async def test_what_comes_back_from_half_a_batch_is_not_taken_for_all(place: Place) -> None:
    audience = await made(place, 1, 2, 3, 4)
    await place.fault(kind="half_batch", endpoint="audience", item_share=0.5)
    result = await place.audiences.add(audience, members(place.audiences, *range(10, 30)))
    if place.platform == "meta":
        assert {one.outcome for one in result.verdicts} == {Outcome.UNKNOWN}
        assert {one.reasons[0].code for one in result.verdicts} == {"partly_received"}
    else:
        # Pinterest's answer names nobody and counts over the life of the list.
        assert {one.outcome for one in result.verdicts} == {Outcome.ACCEPTED}


async def test_meta_names_the_rows_that_it_cannot_read(url: str) -> None:
    async with place_at(url, "meta") as place:
        channel, audience = place.audiences, await made(place, 1, 2, 3, 4)
        await place.fault(kind="refuse_items", endpoint="audience", item_ids=["c-11"])
        result = await channel.add(audience, members(channel, 10, 11, 12))
        assert [(one.record_id, one.outcome) for one in result.verdicts] == [
            ("m-10", Outcome.ACCEPTED),
            ("m-11", Outcome.REFUSED),
            ("m-12", Outcome.ACCEPTED),
        ]
        assert (result.rows_received, result.rows_invalid) == (3, 1)


async def test_meta_refuses_to_make_an_audience_too_small_and_blocks_one(url: str) -> None:
    async with place_at(url, "meta") as place:
        channel, audience = place.audiences, await made(place, 1, 2, 3)
        with pytest.raises(PlatformFailure) as raised:
            await channel.remove(audience, members(channel, 1))
        assert (raised.value.kind, raised.value.code) == (FailureKind.INVALID_REQUEST, AUDIENCE_TOO_SMALL)
        assert "low audience size" in raised.value.message
        assert await inside(place, audience) == hashes(1, 2, 3)
        await channel.add(audience, members(channel, 4))
        assert accepted(await channel.remove(audience, members(channel, 1))) == ["m-1"]
        path = f"/_sandbox/audiences/meta/{audience.ids['audience_id']}"
        (await place.sandbox.patch(path, json={"flagged": True})).raise_for_status()
        with pytest.raises(PlatformFailure) as raised:
            await channel.add(audience, members(channel, 9))
        assert (raised.value.kind, raised.value.code) == (FailureKind.PERMISSION, AUDIENCE_FLAGGED)
        assert (await channel.size(audience)).state is AudienceState.FLAGGED


async def test_a_replace_takes_the_place_of_everybody(place: Place) -> None:
    channel, audience = place.audiences, await made(place, 1, 2, 3, 4)
    last = ReplaceStep(session_id=77, batch_seq=2, is_last=True, rows_total=4)
    if not channel.capabilities.replaces:
        with pytest.raises(PlatformFailure) as raised:
            await channel.replace(audience, members(channel, 8), step=last)
        assert raised.value.code == "cannot_replace"
        return
    first = replace(last, batch_seq=1, is_last=False)
    await channel.replace(audience, members(channel, 7, 8), step=first)
    assert await inside(place, audience) == hashes(1, 2, 3, 4)
    await channel.replace(audience, members(channel, 9), step=last)
    assert await inside(place, audience) == hashes(7, 8, 9)


def test_a_person_is_one_member_however_many_addresses() -> None:
    http = PlatformHttp()
    person = shopper(1, emails=("a@x.org", "B@x.org"), phones=("+49 89 123456",), first_name="Jané")
    for name, rows in (("meta", 2), ("pinterest", 2)):
        ids = {"ad_account_id": "1"}
        channel = AUDIENCES[name].open_channel(http=http, access_token="t", external_ids=ids)
        (rendered,) = channel.render([Member("m-1", person)])
        assert len(rendered.rows) == rows
        assert rendered.size_bytes > 100
        assert "x.org" not in repr(rendered)
        (empty,) = channel.render([Member("m-2", Person(first_name="Jane", emails=("bad", "")))])
        assert ([one.code for one in empty.problems], empty.rows) == (["no_identifier"], ())
        assert {one.code for one in empty.left_out} == {"email_invalid", "blank"}


def test_wrong_ids_make_no_channel() -> None:
    http = PlatformHttp()
    for network in (*AUDIENCES.values(), *CONVERSIONS.values()):
        with pytest.raises(ChannelMisconfigured) as raised:
            network.open_channel(
                http=http, access_token="t", external_ids={"ad_account_id": "x", "pixel_id": ""}
            )
        assert raised.value.field.startswith("external_ids.")
        assert set(network.capabilities.rates)
    assert AUDIENCES["meta"].open_channel(
        http=http, access_token="t", external_ids={"ad_account_id": "act_12"}
    )
