"""Carts on the real application: platforms' carts go on to the shop's own, each line right or with its reason."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import UUID, uuid4

import httpx
import pytest

from tests.shop_sync.conftest import Connected, Shop, until
from vitrin.kit.access.principal import Principal
from vitrin.kit.clock import system_clock
from vitrin.kit.ids import BrandId, KeyId, new_uuid
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged, ConnectionMode
from vitrin.shop_sync.domain.checkout import Coupon
from vitrin.shop_sync.errors import ChannelNotFound, CheckoutNotFound, ShopUnknown, StorefrontInvalid
from vitrin.shop_sync.main import build_app
from vitrin.shop_sync.service.checkouts import CARTS_MAX, Checkouts

SOURCES = {"shopify": "shopify:holm.myshopify.com", "woocommerce": "woocommerce:https://holm.example"}
NAMED = {"shopify": {"shop": "holm.myshopify.com"}, "woocommerce": {"store": "https://holm.example"}}
FRONT = "https://www.holm.example"


@dataclass
class Desk:
    """A channel of a brand with a shop, and the door that carts come to."""

    shop: Shop
    connected: Connected
    use: Checkouts
    http: httpx.AsyncClient

    @property
    def owner(self) -> Principal:
        return owner_of(self.shop.brand)

    async def setup(self, **changes: Any) -> UUID:
        values: dict[str, Any] = {"connection_id": None, "storefront_url": FRONT, "coupons": None, **changes}
        return (await self.use.put(self.owner, self.connected.channel_id, **values)).checkout_id

    async def ask(self, checkout: UUID, accept: str = "text/html", **query: str) -> httpx.Response:
        return await self.http.get(f"/v1/checkout/{checkout}", params=query, headers={"accept": accept})

    async def json(self, checkout: UUID, products: str, coupon: str = "") -> dict[str, Any]:
        answer = await self.ask(checkout, "application/json", products=products, coupon=coupon)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def owner_of(brand: BrandId, mode: str = "live") -> Principal:
    return Principal(
        brand_id=brand,
        key_id=KeyId("key"),
        kind="secret",
        mode=mode,
        role="owner",
        scopes=frozenset({"sync:read", "sync:write"}),
    )


async def connect_shop(shop: Shop, kind: str, **changes: Any) -> ConnectionChanged:
    fields: dict[str, Any] = {
        "connection_id": str(new_uuid()),
        "brand_id": str(shop.brand),
        "version": 1,
        "platform": kind,
        "mode": ConnectionMode.CONNECTION_MODE_SANDBOX,
        "base_url": f"http://127.0.0.1:1/{kind}",
        "external_ids": NAMED[kind],
        "state": "active",
        "market": "US",
        "currency": "USD",
    }
    message = ConnectionChanged(**(fields | changes))
    await shop.hear_connection(message)
    return message


@pytest.fixture
async def desk(shop: Shop) -> AsyncIterator[Desk]:
    use = Checkouts(database=shop.app, clock=system_clock)
    app = build_app(shop.settings, {}, {"checkouts": use, "public_url": "https://sync.example"})
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://sync") as http:
        yield Desk(shop, await shop.connect(), use, http)


async def live(desk: Desk, *messages: Any) -> None:
    """The channel knows the items by its own ids."""
    await desk.shop.hear(*messages)
    wanted = {key.split("/")[1] for key in (one.key for one in messages)}
    async with desk.shop.dispatching():
        await until(lambda: _unnamed(desk, wanted), set())


async def _unnamed(desk: Desk, wanted: set[str]) -> set[str]:
    return wanted - await desk.connected.named()


def goods(shop: Shop, item_id: str, number: int, source: str, **offer: Any) -> list[Any]:
    names = {"shop_source": source, "shop_product_id": str(number), "shop_variant_id": str(number + 1000)}
    return [shop.content(item_id, title=f"Cup {number}", **names), shop.offer(item_id, **offer)]


async def test_a_shop_opens_no_channel(shop: Shop) -> None:
    for kind in SOURCES:
        await connect_shop(shop, kind)
    assert await shop.reading.channels(shop.brand, sandbox_only=True) == []
    assert len(await shop.rows("select 1 from replica_connections where brand_id = :brand")) == 2


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("shopify", f"{FRONT}/cart/1001:2,1002:1?discount=SUN%2CNY&utm_source=fb&fbclid=x%2Cy"),
        (
            "woocommerce",
            f"{FRONT}/checkout-link/?products=1001:2,1002:1&coupon=SUN%2CNY&utm_source=fb&fbclid=x%2Cy",
        ),
    ],
)
async def test_a_whole_cart_goes_straight_to_the_shop(desk: Desk, kind: str, address: str) -> None:
    await connect_shop(desk.shop, kind)
    await live(desk, *goods(desk.shop, "a", 1, SOURCES[kind]), *goods(desk.shop, "b", 2, SOURCES[kind]))
    query = {
        "products": "a:2,b:1",
        "coupon": "SUN,NY",
        "utm_source": "fb",
        "fbclid": "x,y",
        "next": "https://evil",
    }
    answer = await desk.ask(await desk.setup(), **query)
    assert (answer.status_code, answer.headers["location"]) == (302, address)
    assert answer.headers["cache-control"] == "no-store"


async def test_what_cannot_go_on_is_said_before_the_shop(desk: Desk) -> None:
    await connect_shop(desk.shop, "shopify")
    source = SOURCES["shopify"]
    bad = "<script>alert(1)</script>"
    await live(desk, *goods(desk.shop, "a", 1, source, quantity=3), *goods(desk.shop, "b", 2, source))
    checkout = await desk.setup(coupons=[Coupon("SUN")])
    answer = await desk.ask(checkout, products=f"a:5,{bad}:1", coupon=f'"><img src=x onerror={bad}')
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "Cup 1: only 3 left." in answer.text
    assert f'href="{FRONT}/cart/1001:3"' in answer.text
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    nothing = await desk.ask(checkout, products="nobody:1", coupon="SUN")
    assert f'href="{FRONT}"' in nothing.text
    page = await desk.use.handoffs(
        desk.owner, desk.connected.channel_id, outcome="partial", before=None, limit=9
    )
    assert [[one["code"] for one in row.troubles] for row in page] == [
        ["only_some_left", "item_unknown", "coupon_unknown"]
    ]


async def test_two_hundred_carts_each_right_or_with_its_reason(desk: Desk) -> None:
    """Against an oracle that knows the goods, not the code."""
    rng = random.Random(20)
    await connect_shop(desk.shop, "shopify")
    truth: dict[str, tuple[str, int | None, str]] = {}
    messages: list[Any] = []
    for number in range(40):
        item_id = rng.choice(["cup", "c,up", "c:up", "ÿ", "a+b&c", "x,1:y"]) + f"-{number}e"
        fate = rng.choice(["sold", "sold", "sold", "out", "gone", "elsewhere", "file"])
        quantity = rng.randint(1, 9)
        source = {"elsewhere": "shopify:other.myshopify.com", "file": "shopify"}.get(fate, SOURCES["shopify"])
        availability = "out_of_stock" if fate == "out" else "in_stock"
        messages += goods(desk.shop, item_id, number, source, quantity=quantity, availability=availability)
        truth[item_id] = (fate, quantity, str(number + 1000))
    await live(desk, *messages)
    await desk.shop.hear(*[desk.shop.deleted(name) for name, (fate, *_) in truth.items() if fate == "gone"])
    ids = await desk.shop.rows(
        "select item_id, platform_item_id from channel_ids where brand_id = :brand and channel_id = :channel",
        channel=desk.connected.channel_id,
    )
    platform_ids = {row.item_id: row.platform_item_id for row in ids}
    checkout = await desk.setup(coupons=[Coupon("ÄPFEL & Birnen")])
    outcomes = set()
    for _ in range(200):
        chosen = {name: rng.randint(1, 12) for name in rng.sample(sorted(truth), rng.randint(0, 6))}
        coupon = rng.choice(["", "", "äpfel & birnen", "NOPE"])
        parts = [f"{platform_ids[name]}:{count}" for name, count in chosen.items()]
        found = await desk.json(checkout, ",".join([*parts, *rng.choice([[], ["ghost:1"]])]), coupon)
        right, reasons = expected(truth, chosen)
        cart = unquote(urlsplit(found["cart_url"]).path).removeprefix("/cart/") if right else ""
        assert {part.split(":")[0]: int(part.split(":")[1]) for part in cart.split(",") if part} == right
        told = {(one["subject"], one["code"], one["left"]) for one in found["troubles"]}
        ghost = {one for one in told if one[0] == "ghost"}
        wrong_coupon = {("NOPE", "coupon_unknown", None)} if coupon == "NOPE" else set()
        assert told - ghost == reasons | wrong_coupon
        assert all(one["message"] for one in found["troubles"])
        if right and coupon == "äpfel & birnen":
            assert dict(parse_qsl(urlsplit(found["cart_url"]).query)) == {"discount": coupon}
        outcomes.add(found["outcome"])
    assert outcomes == {"whole", "partial", "nothing"}


def expected(
    truth: dict[str, tuple[str, int | None, str]], chosen: dict[str, int]
) -> tuple[dict[str, int], set[tuple[str, str, int | None]]]:
    right: dict[str, int] = {}
    reasons: set[tuple[str, str, int | None]] = set()
    why = {
        "out": "sold_out",
        "gone": "item_gone",
        "elsewhere": "item_not_in_shop",
        "file": "item_not_in_shop",
    }
    for name, count in chosen.items():
        fate, quantity, variant = truth[name]
        if fate != "sold":
            reasons.add((name, why[fate], None))
            continue
        assert quantity is not None
        right[variant] = min(count, quantity)
        if count > quantity:
            reasons.add((name, "only_some_left", quantity))
    return right, reasons


async def test_a_door_that_is_closed_or_never_was(desk: Desk) -> None:
    assert (await desk.ask(uuid4(), products="a:1")).status_code == 404
    with pytest.raises(ShopUnknown):
        await desk.setup()
    shop = await connect_shop(desk.shop, "shopify")
    first = await desk.setup()
    assert await desk.setup(storefront_url=None) == first, "the address that the platform knows stays"
    setup = await desk.use.get(desk.owner, desk.connected.channel_id)
    assert setup.storefront_url == "https://holm.myshopify.com"
    await connect_shop(desk.shop, "woocommerce")
    with pytest.raises(ShopUnknown):
        await desk.setup()
    await desk.setup(connection_id=UUID(shop.connection_id))
    shop.version, shop.deleted = 2, True
    await desk.shop.hear_connection(shop)
    assert (await desk.ask(first, products="a:1")).status_code == 404
    await desk.use.delete(desk.owner, desk.connected.channel_id)
    with pytest.raises(CheckoutNotFound):
        await desk.use.get(desk.owner, desk.connected.channel_id)


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "https://user@shop.example",
        "https://shop.example/?x=1",
        "ftp://shop.example",
        "shop",
        "https://a b",
    ],
)
async def test_carts_go_to_addresses_of_shops_only(desk: Desk, address: str) -> None:
    await connect_shop(desk.shop, "shopify")
    with pytest.raises(StorefrontInvalid):
        await desk.setup(storefront_url=address)


async def test_a_checkout_is_its_brands(desk: Desk) -> None:
    await connect_shop(desk.shop, "shopify")
    await desk.setup()
    stranger = owner_of(BrandId(new_uuid()))
    for call in (desk.use.get, desk.use.delete):
        with pytest.raises(ChannelNotFound):
            await call(stranger, desk.connected.channel_id)
    with pytest.raises(ChannelNotFound):
        await desk.use.handoffs(stranger, desk.connected.channel_id, outcome=None, before=None, limit=1)
    assert (await desk.http.get(f"/v1/channels/{desk.connected.channel_id}/checkout")).status_code in (
        401,
        503,
    )


async def test_too_many_carts_at_once_are_asked_to_wait(desk: Desk) -> None:
    use = Checkouts(database=desk.shop.app, clock=system_clock, monotonic_s=lambda: 0.0)
    checkout = uuid4()
    for _ in range(CARTS_MAX):
        with pytest.raises(CheckoutNotFound):
            await use.hand_over(checkout, products="", coupon="", query=[])
    app = build_app(desk.shop.settings, {}, {"checkouts": use, "public_url": ""})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://sync") as http:
        answer = await http.get(f"/v1/checkout/{checkout}")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
