"""Tokens by consent are renewed ahead of their end, or their end is reported; nothing is lost in between."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from tests.accounts.conftest import MovingClock
from tests.accounts.consenting import House, Person, a_house
from tests.accounts.saved import audit_of, events_of, rows_of, set_of, whole_text
from tests.support.sandbox import running_sandbox
from vitrin.accounts.errors import TokenExpired
from vitrin.accounts.errors_oauth import AssetsNotChosen, RenewalUnderWay
from vitrin.accounts.models_oauth import oauth_apps, oauth_attempts, oauth_tokens
from vitrin.accounts.service_refresh import Renewal, RenewalLoop
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.ids import BrandId, ConnectionId
from vitrin.kit.metrics import exposition
from vitrin.platforms.oauth import Tokens
from vitrin.protos.accounts.v1 import events_pb2
from vitrin.protos.kit.v1.attention_pb2 import Attention, AttentionState


@pytest.fixture(scope="module")
async def house(
    accounts_settings: AccountsSettings, database: AppDatabase, clock: MovingClock
) -> AsyncIterator[House]:
    with running_sandbox(quota=False) as url:
        async with a_house(accounts_settings, database, clock, url) as house:
            yield house


@pytest.fixture(scope="module")
async def loop(house: House, clock: MovingClock) -> AsyncIterator[RenewalLoop]:
    worker = WorkerDatabase(settings=house.settings.database, service="accounts", clock=system_clock)
    yield house.parts.loop(worker, house.settings, clock)
    await worker.close()


@pytest.fixture
async def meta(house: House) -> Person:
    return await house.shop("meta")


@pytest.fixture
async def pinterest(house: House) -> Person:
    return await house.shop("pinterest")


async def everything_due(loop: RenewalLoop) -> None:
    while await loop.round():
        pass


def states(person: Person) -> list[str]:
    found = events_of(person.house.settings, person.shop.id)
    return [event.state for event in found if isinstance(event, events_pb2.ConnectionChanged)]


def ids(person: Person, connection: dict[str, Any]) -> tuple[BrandId, ConnectionId]:
    return BrandId(UUID(person.shop.id)), ConnectionId(UUID(connection["id"]))


async def tokens_of(person: Person) -> list[str]:
    """Every token that the platform gave to the person's account."""
    told = (await person.house.command("GET", "/_sandbox/oauth")).json()
    mine = (person.platform, f"Sandbox shop {int(person.catalog_id) % 1_000_000}")
    return [one["access_token"] for one in told["tokens"] if (one["platform"], one["account"]) == mine]


async def at_the_platform(person: Person, state: str) -> None:
    """What the platform thinks of every token of the person from now on."""
    for token in await tokens_of(person):
        body = {"platform": person.platform, "access_token": token, "state": state}
        await person.house.command("POST", "/_sandbox/tokens", body)


@pytest.mark.parametrize("platform", ["meta", "pinterest"])
async def test_a_token_is_renewed_in_the_last_quarter_of_its_life(
    house: House, loop: RenewalLoop, clock: MovingClock, platform: str
) -> None:
    person = await house.shop(platform)
    made = await person.connect()
    before = await person.leased(made["id"])
    ends, due = (datetime.fromisoformat(text) for text in (made["expires_at"], made["token"]["renews_at"]))
    assert timedelta(days=7) < ends - due < timedelta(days=16)
    clock.ahead = due - datetime.fromisoformat(made["created_at"]) + timedelta(minutes=1)
    await everything_due(loop)
    after = await person.read(made["id"])
    assert datetime.fromisoformat(after["expires_at"]) > ends
    assert (after["state"], after["token"]["renewal"]) == ("active", "automatic")
    token = await person.leased(made["id"])
    assert token != before
    assert states(person) == ["active", "active"]
    assert audit_of(house.settings, person.shop.id)[-1][:2] == ("service:token-renewal", "connection.renew")
    assert token not in whole_text(house.settings)


async def test_a_lease_of_a_token_that_ended_renews_it(pinterest: Person, clock: MovingClock) -> None:
    """In the middle of a sync: whoever works on gets a token that works, without a person and without a pause."""
    made = await pinterest.connect()
    clock.ahead = timedelta(days=31)
    token = await pinterest.leased(made["id"])
    answer = await pinterest.house.sandbox.get(
        f"{made['base_url']}/catalogs", headers={"authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 200
    assert states(pinterest) == ["active", "active"]


async def test_a_token_that_ended_and_cannot_be_renewed_is_reported(meta: Person, clock: MovingClock) -> None:
    made = await meta.connect()
    clock.ahead = timedelta(days=61)
    with pytest.raises(TokenExpired):
        await meta.leased(made["id"])
    after = await meta.read(made["id"])
    assert after["state"] == "token_expired"
    assert f"vitrin connect meta --connection {made['id']}" in after["last_error"]
    assert after["token"]["renewal"] == "by_consent"
    assert states(meta) == ["active", "token_expired"]


async def test_an_end_is_reported_even_if_nobody_asks(
    meta: Person, loop: RenewalLoop, clock: MovingClock
) -> None:
    made = await meta.shop.connect(expires_at=(clock() + timedelta(hours=1)).isoformat())
    clock.ahead = timedelta(hours=2)
    await everything_due(loop)
    assert states(meta) == ["active", "token_expired"]
    assert (await meta.read(made.json()["id"]))["state"] == "token_expired"


async def test_a_token_that_nobody_renews_is_said_once_a_day_until_its_end(
    meta: Person, loop: RenewalLoop, clock: MovingClock
) -> None:
    made = await meta.shop.connect(expires_at=(clock() + timedelta(days=4)).isoformat())
    path = f"/v1/connections/{made.json()['id']}"

    def said() -> list[tuple[str, str, int]]:
        found = events_of(meta.house.settings, meta.shop.id)
        return [(one.kind, one.look_at, one.state) for one in found if isinstance(one, Attention)]

    await everything_due(loop)
    assert said() == []
    opened = ("connection.token_ending", path, AttentionState.ATTENTION_STATE_OPEN)
    clock.ahead = timedelta(days=1, hours=1)
    for _ in range(2):
        await everything_due(loop)
        assert said() == [opened]
    clock.ahead = timedelta(days=2, hours=2)
    await everything_due(loop)
    assert said() == [opened, opened]
    clock.ahead = timedelta(days=5)
    await everything_due(loop)
    assert [state for *_, state in said()] == [1, 1, AttentionState.ATTENTION_STATE_RESOLVED]
    assert (await meta.read(made.json()["id"]))["state"] == "token_expired", "connection.failed says that"


async def test_a_token_that_the_platform_refuses_is_renewed(
    pinterest: Person, loop: RenewalLoop, clock: MovingClock
) -> None:
    made = await pinterest.connect()
    brand, connection = ids(pinterest, made)

    async def refused() -> None:
        await pinterest.house.parts.leases.report(
            brand, connection, state="token_expired", error="token_invalid: no", actor="shop_sync"
        )

    await refused()
    assert (await pinterest.read(made["id"]))["state"] == "token_expired"
    await everything_due(loop)
    assert (await pinterest.read(made["id"]))["state"] == "active"
    assert states(pinterest) == ["active", "token_expired", "active"]
    await refused()
    await everything_due(loop)
    assert (await pinterest.read(made["id"]))["state"] == "token_expired", "a second time it waits a minute"
    clock.ahead = timedelta(minutes=2)
    await everything_due(loop)
    assert (await pinterest.read(made["id"]))["state"] == "active"


async def test_a_token_that_meta_takes_back_is_reported_with_what_to_do(
    meta: Person, loop: RenewalLoop
) -> None:
    made = await meta.connect()
    await meta.house.parts.leases.report(
        *ids(meta, made),
        state="token_expired",
        error="token_revoked: The app was removed.",
        actor="shop_sync",
    )
    await everything_due(loop)
    after = await meta.read(made["id"])
    assert after["state"] == "token_expired"
    assert after["last_error"].startswith("token_revoked")
    assert f"--connection {made['id']}" in after["last_error"]
    assert after["token"]["renewal"] == "by_consent"


async def test_a_platform_that_is_away_is_asked_again(
    pinterest: Person, loop: RenewalLoop, clock: MovingClock
) -> None:
    made = await pinterest.connect()
    clock.ahead = timedelta(days=31)
    fault = {"kind": "outage", "platform": "pinterest", "drop": True}
    await pinterest.house.command("POST", "/_sandbox/faults", fault)
    try:
        with pytest.raises(RenewalUnderWay):
            await pinterest.leased(made["id"])
        shown = await pinterest.read(made["id"])
        assert shown["token"]["last_error"]
        assert shown["token"]["renewal"] == "automatic"
    finally:
        await pinterest.house.command("DELETE", "/_sandbox/faults")
    clock.ahead += timedelta(minutes=2)
    await everything_due(loop)
    assert (await pinterest.read(made["id"]))["state"] == "active"
    assert await pinterest.leased(made["id"])


async def test_a_refusal_is_tried_again_until_the_end(
    meta: Person, loop: RenewalLoop, clock: MovingClock
) -> None:
    made = await meta.connect()
    await at_the_platform(meta, "removed")
    for days in (50, 51, 52, 58):
        clock.ahead = timedelta(days=days)
        await everything_due(loop)
    shown = await meta.read(made["id"])
    assert shown["state"] == "active"
    assert "token_revoked" in shown["token"]["last_error"]
    shown_failing = re.search(
        r'tokens_ending{platform="meta",renewal="failing"} ([\d.]+)', exposition().decode()
    )
    assert shown_failing is not None
    assert float(shown_failing[1]) >= 1
    clock.ahead = timedelta(days=61)
    await everything_due(loop)
    await everything_due(loop)
    after = await meta.read(made["id"])
    assert after["state"] == "token_expired"
    assert states(meta)[-1] == "token_expired"


async def test_meta_that_extends_nothing_needs_a_person(meta: Person) -> None:
    await meta.house.command(
        "POST", "/_sandbox/oauth/lifetimes", {"platform": "meta", "access_s": 86_400, "extends": False}
    )
    try:
        made = await meta.connect()
        refused = await meta.shop.call("POST", f"/v1/connections/{made['id']}:renew")
    finally:
        await meta.house.command("POST", "/_sandbox/oauth/lifetimes", {"platform": "meta"})
    assert (refused.status_code, refused.json()["code"]) == (409, "renewal_refused")
    after = await meta.read(made["id"])
    assert (after["state"], after["token"]["renewal"]) == ("active", "by_consent")
    assert after["expires_at"] == made["expires_at"]


async def test_connecting_again_needs_an_account_with_the_same_catalog(
    house: House, pinterest: Person, clock: MovingClock
) -> None:
    made = await pinterest.connect()
    await house.parts.leases.report(
        *ids(pinterest, made), state="refused", error="permission_missing: no", actor="shop_sync"
    )
    started = await pinterest.start(connection_id=made["id"])
    stranger = await house.shop("pinterest")
    location = await stranger.decide(started["authorize_url"])
    refused = await pinterest.back(location)
    assert (refused.status_code, refused.json()["code"]) == (409, "other_account")
    assert (await pinterest.read(made["id"]))["state"] == "refused"
    attempt = await pinterest.consent(connection_id=made["id"])
    assert attempt["connection_id"] == made["id"]
    after = await pinterest.read(made["id"])
    assert (after["state"], after["last_error"], after["external_ids"]) == (
        "active",
        "",
        made["external_ids"],
    )
    assert states(pinterest) == ["active", "refused", "active"]


async def test_two_at_once_renew_once(pinterest: Person) -> None:
    made = await pinterest.connect()
    renew = pinterest.house.parts.refresher.renew
    outcomes = await asyncio.gather(*(renew(*ids(pinterest, made)) for _ in range(4)))
    assert sorted(one.outcome for one in outcomes) == ["claimed", "claimed", "claimed", "renewed"]


async def test_a_refresh_token_goes_with_its_connection(pinterest: Person) -> None:
    made = await pinterest.connect()
    assert len(rows_of(pinterest.house.settings, "oauth_tokens", made["id"])) == 1
    path = f"/v1/connections/{made['id']}"
    changed = await pinterest.shop.call("PATCH", path, {"access_token": "my-own"})
    assert changed.json()["token"]["origin"] == "given"
    assert rows_of(pinterest.house.settings, "oauth_tokens", made["id"]) == []
    await pinterest.consent(connection_id=made["id"])
    assert (await pinterest.read(made["id"]))["token"]["origin"] == "consent"
    assert (await pinterest.shop.call("DELETE", path)).status_code == 204
    assert rows_of(pinterest.house.settings, "oauth_tokens", made["id"]) == []


async def test_a_consent_without_a_choice_is_dropped_and_lent_to_nobody(
    meta: Person, loop: RenewalLoop, clock: MovingClock
) -> None:
    attempt = await meta.consent()
    with pytest.raises(AssetsNotChosen):
        await meta.leased(attempt["connection_id"])
    clock.ahead = timedelta(days=8)
    await everything_due(loop)
    gone = await meta.shop.call("GET", f"/v1/connections/{attempt['connection_id']}")
    assert gone.status_code == 404
    assert rows_of(meta.house.settings, "oauth_tokens", attempt["connection_id"]) == []
    assert states(meta) == []


async def test_neither_the_worker_nor_another_brand_reads_a_secret(
    house: House, pinterest: Person, database: AppDatabase, clock: MovingClock
) -> None:
    await pinterest.connect()
    stranger = await house.shop("pinterest")
    async with database.read(BrandId(UUID(stranger.shop.id))) as session:
        for table in (oauth_apps, oauth_attempts, oauth_tokens):
            assert await session.all(select(table)) == []
    async with database.lookup() as session:
        for table in (oauth_apps, oauth_attempts, oauth_tokens):
            assert await session.all(select(table)) == []
    worker = WorkerDatabase(settings=house.settings.database, service="accounts", clock=clock)
    try:
        for table in (oauth_apps, oauth_attempts, oauth_tokens):
            with pytest.raises(DBAPIError, match="permission denied"):
                async with worker.read([BrandId(UUID(pinterest.shop.id))]) as session:
                    await session.all(select(table))
    finally:
        await worker.close()


async def test_while_everything_is_stopped_no_platform_hears_of_us(
    pinterest: Person, loop: RenewalLoop, clock: MovingClock
) -> None:
    made = await pinterest.connect()
    assert (await pinterest.shop.call("POST", "/v1/outgoing:stop", {"reason": "test"})).is_success
    refused = await pinterest.shop.call("POST", f"/v1/connections/{made['id']}:renew")
    assert (refused.status_code, refused.json()["code"]) == (503, "renewal_under_way")
    assert len(await tokens_of(pinterest)) == 1
    assert (await pinterest.shop.call("POST", "/v1/outgoing:resume", {})).is_success
    clock.ahead = timedelta(minutes=2)
    await everything_due(loop)
    assert len(await tokens_of(pinterest)) == 2


async def test_a_token_that_a_platform_repeats_is_masked(meta: Person) -> None:
    made = await meta.connect()
    token = await meta.leased(made["id"])
    await meta.house.parts.leases.report(
        *ids(meta, made), state="refused", error=f"190: Malformed access token {token}", actor="shop_sync"
    )
    assert (await meta.read(made["id"]))["last_error"] == "190: Malformed access token ***"
    assert token not in whole_text(meta.house.settings)


async def test_a_late_answer_does_not_touch_a_newer_consent(house: House, meta: Person) -> None:
    made = await meta.connect()
    brand_id, connection_id = ids(meta, made)
    held = await house.parts.refresher._claim(brand_id, connection_id)
    assert not isinstance(held, Renewal)
    await meta.consent(connection_id=made["id"])
    [before] = rows_of(house.settings, "oauth_tokens", made["id"])
    await house.parts.refresher._failed(held, Renewal("refused", "No."))
    same = Tokens(access_token=house.parts.refresher._grants.token_of(held.connection), expires_in_s=60)
    assert (await house.parts.refresher._take(held, same)).outcome == "gone"
    assert rows_of(house.settings, "oauth_tokens", made["id"]) == [before]


async def test_one_token_that_breaks_the_renewal_keeps_no_other_from_it(
    house: House, loop: RenewalLoop, meta: Person, pinterest: Person
) -> None:
    broken, whole = await meta.connect(), await pinterest.connect()
    pairs = [ids(meta, broken), ids(pinterest, whole)]
    before = await pinterest.leased(whole["id"])

    set_of(house.settings, "connections", broken["id"], platform="nowhere")
    await loop._renew_all([SimpleNamespace(brand_id=b, connection_id=c) for b, c in pairs])
    assert await pinterest.leased(whole["id"]) != before
    [put_off] = rows_of(house.settings, "oauth_tokens", broken["id"])
    assert "log of accounts" in str(put_off)
    set_of(house.settings, "connections", broken["id"], platform="meta")
