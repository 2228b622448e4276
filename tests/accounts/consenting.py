"""accounts beside a real sandbox, and a person who consents on its screens without a browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.accounts.conftest import MovingClock, Shop, open_shop
from tests.accounts.saved import forget_tokens
from tests.kit.serving import serving
from vitrin.accounts.connecting import READ_TIMEOUT_S, Connecting, connecting
from vitrin.accounts.main import build_app, build_rpc
from vitrin.accounts.settings import AccountsSettings
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.grpc import GrpcServer
from vitrin.kit.http_client import PlatformHttp
from vitrin.kit.ids import BrandId, ConnectionId

PLATFORMS = ("meta", "pinterest")
JSON = {"accept": "application/json"}


@dataclass
class House:
    """accounts with its doors, and the sandbox that plays the platforms."""

    http: httpx.AsyncClient
    sandbox: httpx.AsyncClient
    rpc: GrpcServer
    parts: Connecting
    settings: AccountsSettings

    async def shop(self, platform: str) -> "Person":
        """A brand, and an account of its own on the platform."""
        account = (await self.command("POST", "/_sandbox/accounts", {"platform": platform})).json()
        return Person(self, await open_shop(self.http), platform, account)

    async def command(self, method: str, path: str, body: object = None) -> httpx.Response:
        answer = await self.sandbox.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer


@dataclass
class Person:
    """Somebody of a brand, with an account on one platform."""

    house: House
    shop: Shop
    platform: str
    account: dict[str, Any]

    @property
    def catalog_id(self) -> str:
        return str(self.account["external_ids"]["catalog_id"])

    async def start(self, **more: object) -> dict[str, Any]:
        body = {"platform": self.platform, "mode": "sandbox", **more}
        answer = await self.shop.call("POST", "/v1/connections:authorize", body)
        assert answer.status_code == 201, answer.text
        started: dict[str, Any] = answer.json()
        return {**started, "authorize_url": await self.begin(started["authorize_url"])}

    async def begin(self, url: str) -> str:
        """The platform's screen, as the browser comes there; the house's client is the browser and keeps its cookie."""
        answer = await self.house.http.get(url)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def decide(self, url: str, *, decision: str = "approve", scopes: tuple[str, ...] = ()) -> str:
        """The address that the platform sends the browser back to."""
        if "/v1/oauth/begin?" in url:
            url = await self.begin(url)
        form: dict[str, Any] = {"decision": decision, "account": self.catalog_id}
        if scopes:
            form["scope"] = list(scopes)
        answer = await self.house.sandbox.post(url, data=form)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def back(self, location: str, **headers: str) -> httpx.Response:
        """The browser follows; programs ask for JSON."""
        return await self.house.http.get(location, headers=headers or JSON)

    async def consent(self, **more: object) -> dict[str, Any]:
        """The whole consent; the attempt as it ended."""
        started = await self.start(**more)
        answer = await self.back(await self.decide(started["authorize_url"]))
        assert answer.status_code == 200, answer.text
        return await self.attempt(started)

    async def attempt(self, started: dict[str, Any]) -> dict[str, Any]:
        answer = await self.shop.call("GET", f"/v1/oauth/attempts/{started['attempt_id']}")
        found: dict[str, Any] = answer.json()
        return found

    async def leased(self, connection_id: str) -> str:
        """The token that another service is lent."""
        lease = await self.house.parts.leases.lease(
            BrandId(UUID(self.shop.id)), ConnectionId(UUID(connection_id)), min_valid_s=0, actor="test"
        )
        return lease.access_token

    async def connect(self) -> dict[str, Any]:
        """Consent and choice; the connection."""
        attempt = await self.consent()
        path = f"/v1/connections/{attempt['connection_id']}:choose"
        answer = await self.shop.call("POST", path, {"external_ids": {"catalog_id": self.catalog_id}})
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def read(self, connection_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.shop.call("GET", f"/v1/connections/{connection_id}")).json()
        return found


@asynccontextmanager
async def a_house(
    settings: AccountsSettings, database: AppDatabase, clock: MovingClock, sandbox_url: str
) -> AsyncIterator[House]:
    secrets = settings.secrets.model_copy(update={"sandbox_url": sandbox_url})
    settings = replace(settings, secrets=secrets)
    async with PlatformHttp(rate_factor=1_000.0, read_timeout_s=READ_TIMEOUT_S) as http:
        parts = connecting(settings, database, clock, http)
        worker = WorkerDatabase(settings=settings.database, service="accounts", clock=clock)
        rpc = build_rpc(settings, database, clock, parts=parts, worker=worker)
        await rpc.start()
        async with (
            serving(build_app(settings, database, clock, parts=parts), settings.http) as client,
            httpx.AsyncClient(base_url=sandbox_url, trust_env=False, timeout=30) as sandbox,
        ):
            yield House(client, sandbox, rpc, parts, settings)
        await rpc.stop()
        await worker.close()
        forget_tokens(settings)


def logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> str:
    """What the services wrote; not the lines of the test's own HTTP client, which services silence (`kit.logs`)."""
    lines = [one.getMessage() for one in caplog.records if not one.name.startswith(("httpx", "httpcore"))]
    return "\n".join(lines) + capsys.readouterr().out
