"""accounts on the real PostgreSQL, behind a real socket, with a clock that tests can move."""

import base64
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from tests.kit.serving import serving
from vitrin.accounts.main import build_app, build_rpc
from vitrin.accounts.settings import AccountsSettings, SecretsSettings
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.migrate import migrate
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.grpc import GrpcServer
from vitrin.kit.settings import (
    DatabaseSettings,
    GrpcSettings,
    HttpSettings,
    KafkaSettings,
    ProcessSettings,
)

OPERATOR = "operator-token-of-the-tests"
SERVICE_TOKEN = "service-token-of-the-tests"
SLUGS = itertools.count(1)


class MovingClock:
    """The real time plus what a test adds."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return system_clock() + self.ahead


@pytest.fixture(scope="session")
def accounts_settings(embedded_postgres: EmbeddedPostgres) -> AccountsSettings:
    settings = AccountsSettings(
        process=ProcessSettings(instance="accounts-0", operator_token=SecretStr(OPERATOR)),
        database=DatabaseSettings(url=SecretStr(embedded_postgres.url)),
        kafka=KafkaSettings(),
        http=HttpSettings(service="accounts"),
        grpc=GrpcSettings(service="accounts", service_token=SecretStr(SERVICE_TOKEN)),
        secrets=SecretsSettings(
            token_keys=SecretStr("k1:" + base64.b64encode(b"k" * 32).decode()),
            sandbox_hosts="sandbox.test",
        ),
    )
    assert migrate(settings.database, "accounts").startswith("accounts_")
    return settings


@pytest.fixture(scope="session")
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture(autouse=True)
def clock_stands_right(clock: MovingClock) -> None:
    clock.ahead = timedelta()


@pytest.fixture(scope="session")
async def database(accounts_settings: AccountsSettings) -> AsyncIterator[AppDatabase]:
    database = AppDatabase(settings=accounts_settings.database, service="accounts", clock=system_clock)
    yield database
    await database.close()


@pytest.fixture(scope="session")
async def http(
    accounts_settings: AccountsSettings, database: AppDatabase, clock: MovingClock
) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(build_app(accounts_settings, database, clock), accounts_settings.http) as client:
        yield client


@pytest.fixture(scope="session")
async def rpc(
    accounts_settings: AccountsSettings, database: AppDatabase, clock: MovingClock
) -> AsyncIterator[GrpcServer]:
    worker = WorkerDatabase(settings=accounts_settings.database, service="accounts", clock=system_clock)
    server = build_rpc(accounts_settings, database, clock, worker=worker)
    await server.start()
    yield server
    await server.stop()
    await worker.close()


CATALOGS = itertools.count(1_000)
"""One catalog belongs to one brand, in the whole database."""


@dataclass
class Shop:
    """One brand with its live and test key."""

    http: httpx.AsyncClient
    brand: dict[str, Any]
    live: str
    test: str

    @property
    def id(self) -> str:
        return str(self.brand["id"])

    async def call(self, method: str, path: str, body: object = None, *, key: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {key or self.live}"}
        return await self.http.request(method, path, json=body, headers=headers)

    async def connect(self, *, key: str | None = None, **fields: object) -> Any:
        body = {
            "platform": "meta",
            "mode": "sandbox",
            "external_ids": {"catalog_id": str(next(CATALOGS))},
            "access_token": "plat-token",
        } | fields
        return await self.call("POST", "/v1/connections", body, key=key)


def brand_body(**fields: object) -> dict[str, object]:
    return {
        "name": "North & Pine",
        "slug": f"north-{next(SLUGS)}",
        "storefront_url": "https://shop.example.com",
        "default_currency": "EUR",
        "default_market": "DE",
        "language": "de",
        "time_zone": "Europe/Berlin",
    } | fields


async def open_shop(http: httpx.AsyncClient, **fields: object) -> Shop:
    answer = await http.post(
        "/v1/brands", json=brand_body(**fields), headers={"Authorization": f"Bearer {OPERATOR}"}
    )
    assert answer.status_code == 201, answer.text
    keys = {key["mode"]: key["key"] for key in answer.json()["keys"]}
    return Shop(http=http, brand=answer.json()["brand"], live=keys["live"], test=keys["test"])


@pytest.fixture
async def shop(http: httpx.AsyncClient) -> Shop:
    return await open_shop(http)


@pytest.fixture
async def other(http: httpx.AsyncClient) -> Shop:
    return await open_shop(http)
