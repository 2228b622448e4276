"""The whole state of accounts as its changes publish it, page by page, under the worker role."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from tests.accounts.conftest import OPERATOR, Shop
from vitrin.accounts.settings import AccountsSettings
from vitrin.accounts.state import SOURCES
from vitrin.events import topics
from vitrin.kit.access.outgoing import HOUSE
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.ids import BrandId
from vitrin.protos.accounts.v1.events_pb2 import OutgoingChanged


@pytest.fixture
async def worker(accounts_settings: AccountsSettings) -> AsyncIterator[WorkerDatabase]:
    database = WorkerDatabase(settings=accounts_settings.database, service="accounts", clock=system_clock)
    yield database
    await database.close()


async def switches_of(worker: WorkerDatabase, brand: BrandId) -> list[OutgoingChanged]:
    """Read one by one, so that every position is used."""
    (source,) = [source for source in SOURCES if source.topic == topics.OUTGOING]
    found: list[OutgoingChanged] = []
    after: str | None = ""
    while after is not None:
        async with worker.read([brand]) as session:
            page = await source.page(session, brand, after=after, limit=1, lock=False)
        found += [OutgoingChanged.FromString(record.event.payload) for record in page.records]
        after = page.after
    return found


async def test_switches_are_told_with_their_versions(shop: Shop, worker: WorkerDatabase) -> None:
    for action, scope in (("stop", {}), ("stop", {"platform": "meta"}), ("resume", {})):
        answer = await shop.call("POST", f"/v1/outgoing:{action}", {"reason": "a test", **scope})
        assert answer.status_code == 200, answer.text
    house = await shop.http.post(
        "/v1/ops/outgoing:stop", json={"reason": "a test"}, headers={"Authorization": f"Bearer {OPERATOR}"}
    )
    assert house.status_code == 200, house.text
    try:
        brand = BrandId(UUID(shop.id))
        told = [(one.platform, one.version, one.stopped) for one in await switches_of(worker, brand)]
        assert told == [("", 2, False), ("meta", 1, True)]
        (source,) = [source for source in SOURCES if source.topic == topics.OUTGOING]
        async with worker.read([HOUSE]) as session:
            assert await source.next_brand(session, None) == HOUSE
        assert [one.stopped for one in await switches_of(worker, BrandId(HOUSE))] == [True]
    finally:
        await shop.http.post(
            "/v1/ops/outgoing:resume",
            json={"reason": "a test"},
            headers={"Authorization": f"Bearer {OPERATOR}"},
        )
