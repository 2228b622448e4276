"""The whole process: events through the broker, HTTP answers, two brands, test keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from tests.shop_sync.conftest import SERVICE_TOKEN, Shop, until
from vitrin.events.envelope import Event, Message
from vitrin.kit.access.tokens import Token, new_token
from vitrin.kit.db.migrate import create_hint_database
from vitrin.kit.embedded.broker import EmbeddedBroker
from vitrin.kit.embedded.ports import free_port
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.kit.kafka.admin import ensure_topics
from vitrin.kit.settings import DatabaseSettings, GrpcSettings, HttpSettings, KafkaSettings
from vitrin.protos.accounts.v1.events_pb2 import (
    ApiKeyChanged,
    BrandChanged,
    ConnectionChanged,
    ConnectionMode,
    KeyKind,
    KeyMode,
)
from vitrin.shop_sync.main import run
from vitrin.shop_sync.settings import SERVICE, ShopSyncSettings

SCOPES = ["sync:read", "sync:write"]


@pytest.fixture
async def process_settings(
    shop: Shop, shop_database: DatabaseSettings, embedded_broker: EmbeddedBroker
) -> ShopSyncSettings:
    kafka = KafkaSettings(
        bootstrap=embedded_broker.bootstrap,
        membership="lock",
        session_timeout_ms=1000,
        topic_prefix="shopsync.",
    )
    await asyncio.to_thread(ensure_topics, kafka)
    hint_url = shop_database.url.get_secret_value().replace("/postgres?", "/vitrin_hint?")
    database = shop_database.model_copy(update={"hint_url": SecretStr(hint_url)})
    create_hint_database(database)
    return shop.settings.model_copy(
        update={
            "database": database,
            "kafka": kafka,
            "http": HttpSettings(service=SERVICE, host="127.0.0.1", port=free_port()),
            "grpc": GrpcSettings(
                service=SERVICE,
                host="127.0.0.1",
                port=0,
                service_token=SecretStr(SERVICE_TOKEN),
                accounts_address=shop.accounts_address,
                catalog_address=shop.accounts_address,
            ),
        }
    )


@asynccontextmanager
async def running(settings: ShopSyncSettings) -> AsyncIterator[httpx.AsyncClient]:
    stop = asyncio.Event()
    task = asyncio.create_task(run(settings, role="all", stop=stop))
    base = f"http://127.0.0.1:{settings.http.port}"
    try:
        async with httpx.AsyncClient(base_url=base, timeout=10) as client:

            async def ready() -> int:
                try:
                    return (await client.get("/readyz")).status_code
                except httpx.TransportError:
                    return 0

            await until(ready, 200)
            yield client
    finally:
        stop.set()
        await task


async def publish(shop: Shop, *messages: Message) -> None:
    """Through the outbox and the broker, as the owning services do."""
    async with shop.database.write([shop.brand]) as tx:
        for message in messages:
            tx.publish(
                Event(
                    topic=message.topic,
                    key=message.key,
                    type=message.type,
                    brand_id=message.brand_id,
                    payload=message.payload,
                    occurred_at=message.occurred_at,
                    received_at=message.received_at,
                    event_id=message.event_id.bytes,
                )
            )


def key_of(shop: Shop, mode: str) -> tuple[Token, list[Message]]:
    token = new_token("secret", "test" if mode == "test" else "live")
    brand = BrandChanged(brand_id=str(shop.brand), version=1, name="Holm", slug=f"s{shop.brand}")
    key = ApiKeyChanged(
        key_id=token.key_id,
        brand_id=str(shop.brand),
        version=1,
        kind=KeyKind.KEY_KIND_SECRET,
        mode=KeyMode.KEY_MODE_TEST if mode == "test" else KeyMode.KEY_MODE_LIVE,
        secret_hash=token.secret_hash(),
        scopes=SCOPES,
        role="owner",
    )
    return token, [
        shop.message("accounts.brand.v1", str(shop.brand), brand),
        shop.message("accounts.api_key.v1", token.key_id, key),
    ]


async def connection(shop: Shop, **changes: Any) -> tuple[ConnectionChanged, Message]:
    made = (await shop.sandbox.post("/_sandbox/accounts", json={"platform": "meta"})).json()
    name = str(new_uuid())
    shop.accounts.tokens[name] = made["access_token"]
    fields: dict[str, Any] = {
        "connection_id": name,
        "brand_id": str(shop.brand),
        "version": 1,
        "platform": "meta",
        "mode": ConnectionMode.CONNECTION_MODE_SANDBOX,
        "base_url": made["base_url"],
        "external_ids": made["external_ids"],
        "state": "active",
        "market": "US",
        "language": "en",
        "currency": "USD",
        **changes,
    }
    message = ConnectionChanged(**fields)
    return message, shop.message("accounts.connection.v1", name, message)


async def test_events_in_answers_out(shop: Shop, process_settings: ShopSyncSettings) -> None:
    token, access = key_of(shop, "live")
    joined, connected = await connection(shop)
    live_only = {"mode": ConnectionMode.CONNECTION_MODE_LIVE, "state": "token_expired"}
    _, second = await connection(shop, **live_only)
    test_token, test_access = key_of(shop, "test")
    async with running(process_settings) as client:
        await publish(shop, *access, *test_access, connected, second)
        await publish(shop, shop.content("1", sku="A/1"), shop.offer("1"), shop.content("2", title="x" * 400))
        await publish(shop, shop.offer("2"))
        mine = {"Authorization": f"Bearer {token.text()}"}
        test = {"Authorization": f"Bearer {test_token.text()}"}

        async def counts() -> Any:
            answer = await client.get("/v1/channels", headers=test)
            return [one["counts"] for one in answer.json().get("data", [])]

        await until(counts, [{"live": 1, "invalid": 1}])
        channels = (await client.get("/v1/channels", headers=mine)).json()["data"]
        assert sorted((one["mode"], one["state"]) for one in channels) == [
            ("live", "needs_attention"),
            ("sandbox", "active"),
        ]
        hidden = next(one for one in channels if one["mode"] == "live")
        shown = next(one for one in channels if one["mode"] == "sandbox")
        assert (await client.get(f"/v1/channels/{hidden['id']}", headers=test)).status_code == 404
        assert (await client.get(f"/v1/channels/{hidden['id']}", headers=mine)).status_code == 200
        page = (await client.get(f"/v1/channels/{shown['id']}/items?state=invalid", headers=test)).json()
        assert [(row["item_id"], row["reasons"][0]["code"]) for row in page["data"]] == [
            ("2", "title_too_long")
        ]
        first = (await client.get(f"/v1/channels/{shown['id']}/items?limit=1", headers=test)).json()
        cursor = first["next_cursor"]
        rest = (
            await client.get(f"/v1/channels/{shown['id']}/items?limit=1&cursor={cursor}", headers=test)
        ).json()
        assert (first["data"][0]["item_id"], rest["data"][0]["item_id"], rest["next_cursor"]) == (
            "1",
            "2",
            None,
        )
        await _check_timeline(client, test)
        frozen = await client.patch(
            f"/v1/channels/{shown['id']}", headers=test, json={"id_template": "{sku}"}
        )
        assert (frozen.status_code, frozen.json()["code"]) == (409, "id_template_frozen")
        await _check_stranger(client, shop, shown["id"])
        await until_lag(client, test)
        await _check_end_of_connection(client, shop, joined, headers=test)


async def _check_end_of_connection(
    client: httpx.AsyncClient, shop: Shop, joined: ConnectionChanged, *, headers: dict[str, str]
) -> None:
    """What was live is told as the last that is known, with the reason that nobody looks any more."""
    ended = ConnectionChanged()
    ended.CopyFrom(joined)
    ended.version, ended.state, ended.deleted = 2, "deleted", True
    await publish(shop, shop.message("accounts.connection.v1", joined.connection_id, ended))

    async def told() -> Any:
        (one,) = (await client.get("/v1/items/1/timeline", headers=headers)).json()["channels"]
        return one["channel_state"], one["state"], [reason["code"] for reason in one["reasons"]]

    await until(told, ("closed", "live", ["channel_closed"]))


async def _check_timeline(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    by_sku = (await client.get("/v1/items/A%2F1/timeline", headers=headers)).json()
    assert by_sku["item_id"] == "1"
    timeline = (await client.get("/v1/items/1/timeline", headers=headers)).json()
    assert timeline == by_sku
    assert [(one["platform"], one["state"], one["up_to_date"]) for one in timeline["channels"]] == [
        ("meta", "live", True)
    ]
    assert [step["step"] for step in timeline["data"]][:4] == ["live", "accepted", "sent", "pending"]
    newest = (await client.get("/v1/items/1/timeline?limit=1", headers=headers)).json()
    cursor = newest["next_cursor"]
    older = (await client.get(f"/v1/items/1/timeline?limit=1&cursor={cursor}", headers=headers)).json()
    assert newest["data"] + older["data"] == timeline["data"][:2]
    bad = await client.get("/v1/items/1/timeline?cursor=nonsense", headers=headers)
    assert (bad.status_code, bad.json()["code"]) == (400, "cursor_invalid")
    missing = await client.get("/v1/items/9/timeline", headers=headers)
    assert (missing.status_code, missing.json()["code"]) == (404, "item_not_found")


async def _check_stranger(client: httpx.AsyncClient, shop: Shop, channel_id: str) -> None:
    mine, shop.brand = shop.brand, BrandId(new_uuid())
    token, access = key_of(shop, "live")
    await publish(shop, *access)
    shop.brand = mine
    stranger = {"Authorization": f"Bearer {token.text()}"}

    async def known() -> int:
        return (await client.get("/v1/channels", headers=stranger)).status_code

    await until(known, 200)
    assert (await client.get("/v1/channels", headers=stranger)).json()["data"] == []
    for path in (f"/v1/channels/{channel_id}", f"/v1/channels/{channel_id}/items", "/v1/items/1/timeline"):
        assert (await client.get(path, headers=stranger)).status_code == 404, path
    changed = await client.patch(
        f"/v1/channels/{channel_id}", headers=stranger, json={"id_template": "{sku}"}
    )
    assert changed.status_code == 404
    assert (await client.get("/v1/lag", headers=stranger)).json() == {"window_s": 3600, "data": []}
    assert (await client.get("/v1/channels")).status_code == 401


async def until_lag(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    async def kinds() -> Any:
        answer = (await client.get("/v1/lag", headers=headers)).json()
        return [(one["kind"], one["count"]) for one in answer["data"]]

    await until(kinds, [("accepted", 1), ("seen", 1)])
