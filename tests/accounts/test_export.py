"""The export of a brand by accounts, through its door: whole, the brand's own, and without secrets."""

import json
from typing import Any
from uuid import UUID

import pytest

from tests.accounts.conftest import SERVICE_TOKEN, Shop
from vitrin.accounts import repository_oauth
from vitrin.accounts.tables import TABLES
from vitrin.kit.brand_data import BrandExport, State, Table
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.grpc import GrpcServer, channel
from vitrin.kit.ids import BrandId
from vitrin.kit.seal import AccountsKeys, Person, Sealer, pack
from vitrin.protos.kit.v1.seal_pb2 import Sealed


async def lines(shop: Shop) -> list[dict[str, Any]]:
    answer = await shop.call("GET", "/v1/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def rows_of(found: list[dict[str, Any]], table: str) -> list[dict[str, Any]]:
    return [line["row"] for line in found if line.get("table") == table and "row" in line]


async def test_an_export_has_all_of_the_brand_and_nothing_of_another(shop: Shop, other: Shop) -> None:
    made = (await shop.connect(access_token="plat-token-1")).json()
    await other.connect()
    found = await lines(shop)
    assert found[0]["tables"] == [one.name for one in TABLES if one.brand and not one.left_out]
    assert found[-1] == {"end": True, "rows": sum("row" in line for line in found)}
    assert [row["brand_id"] for line in found if (row := line.get("row"))] == [shop.id] * found[-1]["rows"]
    (connection,) = rows_of(found, "connections")
    assert connection["connection_id"] == made["id"]
    assert {row["mode"] for row in rows_of(found, "api_keys")} == {"live", "test"}
    whole = json.dumps(found)
    for secret in ("secret_hash", "token_ciphertext", "plat-token-1", other.id):
        assert secret not in whole
    counts = {line["table"]: line["rows"] for line in found if "table" in line and "rows" in line}
    assert counts == {name: len(rows_of(found, name)) for name in found[0]["tables"]}


async def test_pages_go_on_where_the_last_one_ended(shop: Shop, database: AppDatabase) -> None:
    for number in range(5):
        body = {"name": f"Key {number}", "kind": "secret", "mode": "live", "role": "viewer"}
        assert (await shop.call("POST", "/v1/api-keys", body)).status_code == 201
    whole = await collected(BrandExport("accounts", database, TABLES), shop)
    for page_rows in (1, 2, 7):
        paged = await collected(BrandExport("accounts", database, TABLES, page_rows=page_rows), shop)
        assert paged == whole
    assert len(rows_of(whole, "api_keys")) == 7


async def test_sealed_columns_are_opened_and_the_erased_are_null(
    shop: Shop, database: AppDatabase, rpc: GrpcServer
) -> None:
    """On a table of accounts that has a column of bytes: what matters is what the declaration says of it."""
    brand = BrandId(UUID(shop.id))
    table = Table("oauth_apps", State("here"), sealed={"secret_ciphertext": "orders"})
    async with channel(f"127.0.0.1:{rpc.port}", SERVICE_TOKEN) as opened:
        sealer = Sealer(AccountsKeys(opened))
        people = [Person("guest:1"), Person("guest:2")]
        for number, person in enumerate(people):
            sealed = await sealer.seal(brand, person, {"email": f"{number}@a.example"}, context="orders")
            assert isinstance(sealed, Sealed)
            row = {
                "brand_id": brand,
                "platform": f"p{number}",
                "mode": "live",
                "app_id": "a",
                "secret_key_id": "k",
            }
            row |= {"secret_nonce": b"", "changed_at": system_clock(), "changed_by": "t"}
            async with database.write(brand) as tx:
                await repository_oauth.save_app(tx, {**row, "secret_ciphertext": pack(sealed)})
        await sealer.destroy(brand, people[:1], actor="service")
        export = BrandExport("accounts", database, [table], sealer=sealer)
        rows = rows_of(await collected(export, shop), "oauth_apps")
    assert [row["secret_ciphertext"] for row in rows] == [None, {"email": "1@a.example"}]
    with pytest.raises(ValueError, match="nothing to open them with"):
        BrandExport("accounts", database, [table])


async def collected(export: BrandExport, shop: Shop) -> list[dict[str, Any]]:
    body = b"".join([line async for line in export.lines(BrandId(UUID(shop.id)))])
    return [json.loads(line) for line in body.splitlines()]


async def test_only_an_owner_with_a_live_key_gets_one(shop: Shop) -> None:
    refused = await shop.call("GET", "/v1/export", key=shop.test)
    assert (refused.status_code, refused.json()["code"]) == (403, "live_key_needed")
    body = {"name": "Editor", "kind": "secret", "mode": "live", "role": "editor"}
    editor = (await shop.call("POST", "/v1/api-keys", body)).json()["key"]
    refused = await shop.call("GET", "/v1/export", key=editor)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
