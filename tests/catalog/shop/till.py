"""Orders as shops send them, on the real way: Shopify's and WooCommerce's own specs at the door, the keys of personal
data from accounts' own service on its own database, and a corner shop that answers when the shop itself is asked."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import psycopg

from tests.catalog.shop.corner import CornerShop, corner_spec
from tests.catalog.shop.house import SECRET, TOKEN, House, until
from tests.catalog.support import RING, admin_execute, new_brand, published
from tests.platforms.shop_payloads import shopify_headers, signature, woo_headers
from vitrin.accounts.domain_seal import SealRules
from vitrin.accounts.rpc_seal import SealServicer
from vitrin.accounts.service_seal import SealKeys
from vitrin.catalog.orders.keeping import OrderKeeping
from vitrin.catalog.shop.effects import effects_of
from vitrin.catalog.shop.handlers import Effects
from vitrin.kit.clock import Clock, system_clock
from vitrin.kit.crypto import TokenCipher
from vitrin.kit.db.database import AppDatabase, WorkerDatabase
from vitrin.kit.db.migrate import migrate
from vitrin.kit.db.urls import database_name
from vitrin.kit.embedded.ports import free_port
from vitrin.kit.grpc.client import channel
from vitrin.kit.grpc.server import GrpcServer
from vitrin.kit.ids import BrandId
from vitrin.kit.seal import AccountsKeys, Sealer
from vitrin.kit.settings import DatabaseSettings, GrpcSettings
from vitrin.platforms.registry import SHOPS
from vitrin.platforms.shop import ShopSpec
from vitrin.protos.accounts.v1 import seal_pb2_grpc

ADDRESSES = {"shopify": "acme.myshopify.com", "woocommerce": "https://shop.example"}
BORN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
"""When orders of these tests were placed."""
DELIVERIES = itertools.count(1)


def at(minute: int) -> str:
    return (BORN + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")


def shopify_order(minute: int = 0, financial: str = "pending", **fields: Any) -> dict[str, Any]:
    """In the shape of Shopify's sample order."""
    money = {"shop_money": {"amount": "403.00", "currency_code": "EUR"}}
    return {
        "id": 820982911946154508,
        "name": "#9999",
        "email": "jon@doe.example",
        "currency": "EUR",
        "created_at": at(0),
        "updated_at": at(minute),
        "cancelled_at": None,
        "financial_status": financial,
        "test": False,
        "total_price": "403.00",
        "total_price_set": money,
        "subtotal_price": "393.00",
        "total_discounts": "5.00",
        "total_tax": "0.00",
        "buyer_accepts_marketing": True,
        "discount_codes": [{"code": "SPRING"}],
        "source_name": "web",
        "landing_site": "/?fbclid=x",
        "line_items": [
            {
                "id": 466157049,
                "product_id": 632910392,
                "variant_id": 808950810,
                "title": "Mug",
                "quantity": 1,
                "sku": "MUG",
                "price": "199.00",
                "total_discount": "0.00",
            },
            {
                "id": 141249953214522974,
                "product_id": 1,
                "variant_id": 2,
                "title": "Gift",
                "quantity": 1,
                "price": "199.00",
                "total_discount": "5.00",
            },
        ],
        "shipping_lines": [{"discounted_price": "10.00"}],
        "shipping_address": {"address1": "1 Lane", "city": "Linz", "zip": "4020", "country_code": "AT"},
        "refunds": [],
        "customer": {"id": 115310627314723954, "first_name": "Jon", "last_name": "Doe"},
        **fields,
    }


def shopify_product() -> dict[str, Any]:
    """The first line's."""
    variant = {
        "id": 808950810,
        "price": "199.00",
        "sku": "MUG",
        "title": "Default Title",
        "inventory_item_id": 7,
        "inventory_policy": "deny",
        "inventory_management": "shopify",
        "inventory_quantity": 5,
        "option1": "Default Title",
    }
    return {
        "id": 632910392,
        "title": "Mug",
        "handle": "mug",
        "status": "active",
        "updated_at": at(0),
        "published_at": at(0),
        "variants": [variant],
        "variant_gids": [{"admin_graphql_api_id": "gid://shopify/ProductVariant/808950810"}],
        "options": [{"name": "Title", "values": ["Default Title"]}],
        "images": [],
    }


def shopify_refund(minute: int, amount: str = "100.00") -> dict[str, Any]:
    return {
        "id": 890088186047892319,
        "order_id": 820982911946154508,
        "created_at": at(minute),
        "transactions": [{"kind": "refund", "status": "success", "amount": amount, "currency": "EUR"}],
        "refund_line_items": [],
    }


class MovingClock:
    """The real time plus what a test adds."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return system_clock() + self.ahead


@dataclass
class Till:
    """A house whose shop is of a real kind, and accounts' keys."""

    house: House
    seal_port: int
    accounts_database: AppDatabase
    sealer: Sealer
    clock: MovingClock = field(default_factory=MovingClock)

    @property
    def kind(self) -> str:
        return self.house.accounts.platform

    def order_id(self, number: object) -> str:
        return f"{self.house.connection}:{number}"

    @asynccontextmanager
    async def keys_up(self) -> AsyncIterator[None]:
        rules = SealRules(
            lease=timedelta(minutes=15), day_kept=timedelta(days=45), backup_kept=timedelta(days=30)
        )
        keys = SealKeys(self.accounts_database, system_clock, TokenCipher.parse(RING), rules)
        settings = GrpcSettings(
            service="accounts", host="127.0.0.1", port=self.seal_port, VITRIN_SERVICE_TOKEN=TOKEN
        )
        servicer = SealServicer(keys)
        server = GrpcServer(
            settings, [lambda it: seal_pb2_grpc.add_SealServiceServicer_to_server(servicer, it)], TOKEN
        )
        await server.start()
        try:
            yield
        finally:
            await server.stop()

    async def open_shop(self) -> None:
        """Connected, known, and its first load done."""
        await self.house.connect()
        await until(self.house.shop_state, lambda seen: seen[0] == "ready")
        await until(self.house.loads, lambda seen: seen == [("first", "done")])

    async def send(
        self, client: httpx.AsyncClient, topic: str, body: Any, *, delivery_id: str | None = None
    ) -> str:
        """One webhook; its delivery id."""
        raw = json.dumps(body).encode()
        name = delivery_id or f"d{next(DELIVERIES)}"
        if self.kind == "shopify":
            signed = {"x-shopify-hmac-sha256": signature(raw, SECRET)}
            headers = {**shopify_headers(topic, raw), **signed, "x-shopify-webhook-id": name}
        else:
            signed = {"x-wc-webhook-signature": signature(raw, SECRET)}
            headers = {**woo_headers(topic, raw), **signed, "x-wc-webhook-delivery-id": name}
        answer = await client.post(self.house.path, content=raw, headers=headers)
        assert answer.status_code == 200, answer.text
        return name

    async def told(self, client: httpx.AsyncClient, topic: str, body: Any, **more: str) -> str:
        """One webhook, and what became of it."""
        name = await self.send(client, topic, body, **more)

        async def state() -> str:
            found = await self.house.states()
            return next((one for key, one in found.items() if key.startswith(name)), "")

        return await until(state, lambda seen: seen not in ("", "pending", "failed"))

    def news(self) -> list[tuple[str, ...]]:
        """Of each event of an order."""
        return [tuple(one.news) for one in self.order_events()]

    def order_events(self) -> list[Any]:
        found = published(self.house.database, self.house.brand)
        return [one.message for one in found if one.type == "catalog.order_changed"]

    def notices(self) -> list[Any]:
        found = published(self.house.database, self.house.brand)
        return [one.message for one in found if one.type == "catalog.attention_changed"]

    async def tended(self) -> None:
        """The shop is looked after now, whatever its time."""
        assert self.house.parts is not None
        await asyncio.to_thread(
            admin_execute,
            self.house.database,
            "update shops set delta_at = now() where connection_id = %s",
            self.house.connection,
        )
        await self.woken("tending")
        self.house.parts.tending.wake()

    async def woken(self, work: str) -> None:
        await asyncio.to_thread(
            admin_execute,
            self.house.database,
            "update shop_queues set due_at = now() where connection_id = %s and work = %s",
            self.house.connection,
            work,
        )

    def keeping(self, clock: Clock | None = None) -> OrderKeeping:
        assert self.house.worker is not None
        return OrderKeeping(
            database=self.house.worker,
            sealer=self.sealer,
            clock=clock or self.clock,
            orders_keep=timedelta(days=400),
        )


def spec_of(kind: str, shop: CornerShop) -> ShopSpec:
    """The real one, but the shop behind its API is the corner's."""
    return replace(SHOPS[kind], open_shop=corner_spec(shop).open_shop)


def accounts_of(settings: DatabaseSettings, brand: BrandId) -> None:
    """A brand in accounts' own database."""
    migrate(settings, "accounts")
    url = settings.url.get_secret_value().replace("/postgres?", f"/{database_name('accounts')}?")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "insert into organisations values (%s, 'Acme', now())",
            (brand,),
        )
        connection.execute(
            "insert into brands (brand_id, version, name, slug, storefront_url, default_currency, default_market,"
            " language, time_zone, created_at, updated_at, organisation_id) values (%s, 1, 'Acme', %s,"
            " 'https://acme.example', 'EUR', 'DE', 'de', 'Europe/Berlin', now(), now(), %s)",
            (brand, f"acme-{brand}", brand),
        )


@asynccontextmanager
async def till_of(database: DatabaseSettings, folder: Path, kind: str) -> AsyncIterator[Till]:
    shop, brand, port = CornerShop(), new_brand(), free_port()
    await asyncio.to_thread(accounts_of, database, brand)
    accounts_database = AppDatabase(settings=database, service="accounts", clock=system_clock)
    opened = channel(f"127.0.0.1:{port}", TOKEN)
    sealer = Sealer(AccountsKeys(opened, deadline_s=10))
    clock = MovingClock()

    def effects(worker: WorkerDatabase, _accounts: grpc.aio.Channel) -> Effects:
        return effects_of(sealer=sealer, database=worker, clock=clock)

    house = House(
        database,
        folder,
        shop=shop,
        brand=brand,
        spec=spec_of(kind, shop),
        address=ADDRESSES[kind],
        effects_of=effects,
    )
    house.connect_secrets()
    till = Till(house, port, accounts_database, sealer, clock)
    try:
        async with house.accounts_up():
            yield till
    finally:
        await opened.close()
        await accounts_database.close()
