"""Networks of a sandbox for the tests of audiences and conversions, and what they are told."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from tests.support.sandbox import running_sandbox
from vitrin.kit.http_client import PlatformHttp, Rate
from vitrin.kit.money import Money
from vitrin.platforms.audience import AudienceChannel, AudienceEndpoint, Member, RenderedMember
from vitrin.platforms.conversion import (
    Conversion,
    ConversionChannel,
    ConversionEndpoint,
    ConversionItem,
    ConversionName,
)
from vitrin.platforms.personal.model import Person
from vitrin.platforms.registry import AUDIENCES, CONVERSIONS

NAMES = sorted(AUDIENCES)


@dataclass(frozen=True)
class Place:
    """A network's account in the sandbox, and channels on it."""

    platform: str
    audiences: AudienceChannel
    conversions: ConversionChannel
    sandbox: httpx.AsyncClient
    external_ids: dict[str, str]
    access_token: str
    base_url: str

    async def fault(self, **spec: Any) -> None:
        answer = await self.sandbox.post("/_sandbox/faults", json={"platform": self.platform, **spec})
        answer.raise_for_status()

    async def rows(self, audience_id: str) -> list[dict[str, str]]:
        path = f"/_sandbox/audiences/{self.platform}/{audience_id}"
        found = (await self.sandbox.get(path, params={"limit": 10_000})).json()
        return [one["cells"] for one in found["members"]]

    async def heard(self) -> list[dict[str, Any]]:
        found = (await self.sandbox.get(f"/_sandbox/conversions/{self.platform}")).json()
        own = (self.external_ids.get("pixel_id"), self.external_ids.get("tag_id"))
        return [one for one in found["events"] if one["source_id"] in own]

    async def calls(self, endpoint: str) -> int:
        log = (await self.sandbox.get("/_sandbox/log", params={"limit": "1000"})).json()["entries"]
        return sum(1 for entry in log if entry["endpoint"] == endpoint)


@contextmanager
def serving() -> Iterator[str]:
    with running_sandbox(
        quota=False,
        match_share=1.0,
        audience_latency_ms=0,
        conversion_latency_ms=0,
        meta_audience_people_min=3,
    ) as url:
        yield url


@asynccontextmanager
async def place_at(url: str, name: str) -> AsyncIterator[Place]:
    async with (
        PlatformHttp(read_timeout_s=10.0) as http,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as sandbox,
    ):
        (await sandbox.delete("/_sandbox/faults")).raise_for_status()
        account = (await sandbox.post("/_sandbox/accounts", json={"platform": name})).json()
        # The networks' rates would space the calls of a test by seconds.
        audience_rates = {one: Rate(endpoint=one, calls=10_000, per_s=1.0) for one in AudienceEndpoint}
        conversion_rates = {one: Rate(endpoint=one, calls=10_000, per_s=1.0) for one in ConversionEndpoint}
        given: dict[str, Any] = {
            "http": http,
            "access_token": account["access_token"],
            "external_ids": account["external_ids"],
            "base_url": account["base_url"],
        }
        yield Place(
            name,
            AUDIENCES[name].open_channel(**given, rates=audience_rates),
            CONVERSIONS[name].open_channel(**given, rates=conversion_rates),
            sandbox,
            account["external_ids"],
            account["access_token"],
            account["base_url"],
        )


def shopper(number: int, **changes: Any) -> Person:
    fields: dict[str, Any] = {"emails": (f"Shopper{number}@Example.org",), "external_id": f"c-{number}"}
    return Person(**{**fields, **changes})


def members(channel: AudienceChannel, *numbers: int) -> list[RenderedMember]:
    rendered = channel.render([Member(f"m-{number}", shopper(number)) for number in numbers])
    assert all(not one.problems for one in rendered)
    return rendered


def purchase(event_id: str, at: datetime, **changes: Any) -> Conversion:
    fields: dict[str, Any] = {
        "event_id": event_id,
        "name": ConversionName.PURCHASE,
        "occurred_at": at,
        "person": shopper(1, phones=("+49 89 123456",), country="DE"),
        "client_ip": "192.0.2.1",
        "user_agent": "Agent",
        "url": "https://shop.example/thanks",
        "value": Money(2450, "EUR"),
        "items": (
            ConversionItem(item_id="sku-1", quantity=2, price=Money(1000, "EUR"), title="Mug"),
            ConversionItem(item_id="sku-2", price=Money(450, "EUR")),
        ),
        "order_id": f"o-{event_id}",
    }
    return Conversion(**{**fields, **changes})
