"""Carts on the real application: platforms' carts go on to the shop's own, each line right or with its reason."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import ValidationError

from tests.shop_sync.conftest import Connected, Shop, until
from vitrin.kit.access.principal import Principal
from vitrin.kit.clock import system_clock
from vitrin.kit.ids import BrandId, KeyId, new_uuid
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged, ConnectionMode
from vitrin.protos.catalog.v1.events_pb2 import OfferChanged
from vitrin.shop_sync.domain.checkout import Coupon
from vitrin.shop_sync.errors import ChannelNotFound, CheckoutNotFound, ShopUnknown, StorefrontInvalid
from vitrin.shop_sync.main import build_app
from vitrin.shop_sync.schemas_checkouts import CheckoutPut
from vitrin.shop_sync.service.checkouts import Checkouts

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


def goods(
    shop: Shop, item_id: str, number: int, source: str, *, oversold: bool = False, **offer: Any
) -> list[Any]:
    names = {"shop_source": source, "shop_product_id": str(number), "shop_variant_id": str(number + 1000)}
    told = shop.offer(item_id, **offer)
    if oversold:
        payload = OfferChanged.FromString(told.payload)
        payload.inventory_policy = "continue"
        told = replace(told, payload=payload.SerializeToString())
    return [shop.content(item_id, title=f"Cup {number}", **names), told]


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


COUPONS = {"ÄPFEL & Birnen": "äpfel & birnen", "50%+1": "50%+1", "a=b&c#d,e": "a=b&c#d,e", "日本": " 日本 "}
"""Stated codes, and how shoppers write them."""
COUPON_TROUBLES = {
    "NOPE": "coupon_unknown",
    "<b>\"'": "coupon_unknown",
    "x\0y": "coupon_malformed",
    "x" * 3_000: "coupon_malformed",
}
TOGETHER = 8
"""Carts at once, fewer than the connections of the pool."""
PIECES = [*["1", "2"] * 8, "3", "7", "12", "007", "0", "-3", "1.5", "5000", "99999999999"]


@dataclass(frozen=True)
class Good:
    """What the test knows of an item. `pieces` None: sold beyond what is there."""

    fate: str
    kind: str
    pieces: int | None
    variant: str


async def a_full_shop(desk: Desk, rng: random.Random) -> tuple[dict[str, Good], dict[str, str]]:
    """Goods of two shops and others by item id, and how the channel calls them."""
    truth: dict[str, Good] = {}
    messages: list[Any] = []
    for number in range(60):
        item_id = rng.choice(["cup", "c,up", "c:up", "ÿ", "a+b&c", "x,1:y", "7%2C", "<i>"]) + f"-{number}e"
        fate = rng.choice(["sold", "sold", "sold", "more", "out", "gone", "elsewhere", "file"])
        kind = rng.choice(["shopify", "shopify", "woocommerce"])
        pieces = rng.randint(1, 9)
        source = {"elsewhere": f"{kind}:other.example", "file": kind}.get(fate, SOURCES[kind])
        content, offer = goods(
            desk.shop,
            item_id,
            number,
            source,
            quantity=pieces,
            availability="out_of_stock" if fate == "out" else "in_stock",
            oversold=fate == "more",
        )
        messages += [content, offer]
        truth[item_id] = Good(fate, kind, None if fate == "more" else pieces, str(number + 1000))
    await live(desk, *messages)
    await desk.shop.hear(*[desk.shop.deleted(name) for name, good in truth.items() if good.fate == "gone"])
    ids = await desk.shop.rows(
        "select item_id, platform_item_id from channel_ids where brand_id = :brand and channel_id = :channel",
        channel=desk.connected.channel_id,
    )
    return truth, {row.item_id: row.platform_item_id for row in ids}


async def test_two_hundred_carts_each_right_or_with_its_reason(desk: Desk) -> None:
    """Against an oracle that knows the goods, not the code: what was asked for is all in the shop's cart or told."""
    rng = random.Random(20)
    shops = {kind: await connect_shop(desk.shop, kind) for kind in SOURCES}
    truth, platform_ids = await a_full_shop(desk, rng)
    outcomes: Counter[str] = Counter()
    for kind, carts in (("shopify", 120), ("woocommerce", 80)):
        stated = [Coupon(code) for code in COUPONS]
        checkout = await desk.setup(connection_id=UUID(shops[kind].connection_id), coupons=stated)
        asked = [a_cart(rng, truth, kind) for _ in range(carts)]
        texts = [written(rng, wanted, platform_ids) for wanted, _ in asked]
        answers = [
            answer
            for at in range(0, carts, TOGETHER)
            for answer in await asyncio.gather(
                *(
                    desk.json(checkout, text, coupon)
                    for text, (_, coupon) in zip(
                        texts[at : at + TOGETHER], asked[at : at + TOGETHER], strict=True
                    )
                )
            )
        ]
        for text, (wanted, coupon), found in zip(texts, asked, answers, strict=True):
            right, reasons = expected(truth, wanted, kind)
            if coupon in COUPON_TROUBLES:
                reasons[COUPON_TROUBLES[coupon], None] += 1
            assert Counter((one["code"], one["left"]) for one in found["troubles"]) == reasons, (text, found)
            assert all(one["message"] for one in found["troubles"])
            taken = coupon.strip() if coupon and coupon not in COUPON_TROUBLES else None
            assert shop_reads(kind, found["cart_url"]) == (right, taken if right else None), (text, found)
            assert found["outcome"] == ("nothing" if not right else "partial" if reasons else "whole")
            outcomes[found["outcome"]] += 1
    assert min(outcomes[one] for one in ("whole", "partial", "nothing")) >= 5, outcomes
    noted = await desk.use.handoffs(
        desk.owner, desk.connected.channel_id, outcome=None, before=None, limit=300
    )
    assert Counter(row.outcome for row in noted) == outcomes


def a_cart(rng: random.Random, truth: dict[str, Good], kind: str) -> tuple[list[tuple[str, str]], str]:
    """Items and pieces as they are written, some twice; and a code."""
    own = sorted(name for name, good in truth.items() if good.kind == kind and good.fate in ("sold", "more"))
    chosen = rng.choices(rng.choice([own, own, sorted(truth)]), k=rng.randint(0, 5))
    wanted = [(name, rng.choice(PIECES)) for name in chosen] + rng.choice([[], [], [("ghost", "1")]])
    return wanted, rng.choice(["", "", *COUPONS.values(), *COUPONS.values(), *COUPON_TROUBLES])


def written(rng: random.Random, wanted: list[tuple[str, str]], platform_ids: dict[str, str]) -> str:
    names = [platform_ids.get(name, name) for name, _ in wanted]
    if rng.random() < 0.5:  # each id encoded once more, before the whole is
        names = [quote(name, safe="") for name in names]
    return ",".join(f"{name}:{pieces}" for name, (_, pieces) in zip(names, wanted, strict=True))


def shop_reads(kind: str, address: str) -> tuple[dict[str, int], str | None]:
    """The cart as the shop's own link grammar says it: pieces by variant, and the code."""
    parts = urlsplit(address)
    assert (parts.scheme, parts.netloc) == ("https", "www.holm.example")
    query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    if kind == "shopify":
        lines, code = parts.path.removeprefix("/cart/"), query.pop("discount", None)
    else:
        assert parts.path in ("/checkout-link/", "")
        lines, code = query.pop("products", ""), query.pop("coupon", None)
    assert query == {}
    pairs = [line.split(":") for line in lines.split(",") if line]
    assert len({variant for variant, _ in pairs}) == len(pairs)
    return {variant: int(pieces) for variant, pieces in pairs}, code


def expected(
    truth: dict[str, Good], wanted: list[tuple[str, str]], kind: str
) -> tuple[dict[str, int], Counter[tuple[str, int | None]]]:
    """One reason per item that cannot go as it was asked for, one per line that counts nothing."""
    right: dict[str, int] = {}
    reasons: Counter[tuple[str, int | None]] = Counter()
    asked: dict[str, int] = {}
    for name, pieces in wanted:
        if pieces in ("0", "-3", "1.5"):
            reasons["not_a_line", None] += 1
        else:
            asked[name] = asked.get(name, 0) + int(pieces)
    for name, count in asked.items():
        good = truth.get(name)
        if good is None:
            reasons["item_unknown", None] += 1
        elif good.fate == "gone":
            reasons["item_gone", None] += 1
        elif good.kind != kind or good.fate in ("elsewhere", "file"):
            reasons["item_not_in_shop", None] += 1
        elif good.fate == "out":
            reasons["sold_out", None] += 1
        else:
            most = 999 if good.pieces is None else good.pieces
            right[good.variant] = min(count, most)
            if count > most:
                reasons["quantity_limited" if good.pieces is None else "only_some_left", most] += 1
    return right, reasons


async def test_an_item_of_another_brand_or_channel_is_unknown(desk: Desk) -> None:
    await connect_shop(desk.shop, "shopify")
    await live(desk, *goods(desk.shop, "a", 1, SOURCES["shopify"]))
    theirs = replace(desk.shop, brand=BrandId(new_uuid()), versions={})
    try:
        await connect_shop(theirs, "shopify")
        other = Desk(theirs, await theirs.connect(), desk.use, desk.http)
        await live(other, *goods(theirs, "b", 2, SOURCES["shopify"]))
        found = await desk.json(await desk.setup(), "a:1,b:1")
        their = await desk.json(await other.setup(), "a:1,b:1")
    finally:
        await theirs.close()
    assert [(one["variant_id"]) for one in found["lines"]] == ["1001"]
    assert [(one["variant_id"]) for one in their["lines"]] == ["1002"]
    assert [(one["code"], one["subject"]) for one in found["troubles"]] == [("item_unknown", "b")]


async def test_events_of_before_the_source_are_of_the_only_shop(desk: Desk) -> None:
    await connect_shop(desk.shop, "shopify")
    await live(desk, *goods(desk.shop, "a", 1, ""))
    checkout = await desk.setup()
    assert [one["variant_id"] for one in (await desk.json(checkout, "a:1"))["lines"]] == ["1001"]
    second = await connect_shop(desk.shop, "woocommerce")
    second.version, second.deleted = 2, True
    await desk.shop.hear_connection(second)
    found = await desk.json(checkout, "a:1")
    assert [one["code"] for one in found["troubles"]] == ["item_not_in_shop"], "it may be of the other one"


async def test_nothing_of_the_query_leads_elsewhere(desk: Desk) -> None:
    await connect_shop(desk.shop, "shopify")
    await live(desk, *goods(desk.shop, "a", 1, SOURCES["shopify"]))
    checkout = await desk.setup()
    evil = "//evil.example/\r\nLocation: https://evil.example#@evil.example"
    for query in [
        {"products": "a:1", "coupon": "//evil.example#@x?y=/../"},
        {"products": "a:1", "utm_source": evil, "fbclid": evil, "next": evil, "ref": "https://evil.example"},
        {"products": f"a:1,{evil}:1", "coupon": evil, "storefront_url": evil, "cart_url": evil},
        {"products": "", "utm_source": evil},
    ]:
        answer = await desk.ask(checkout, **query)
        address = answer.headers.get("location") or unescape(answer.text.split('href="')[1].split('"')[0])
        parts = urlsplit(address)
        assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "www.holm.example", "")
        assert parts.path in ("/cart/1001:1", "")
        assert answer.text.count("href=") == (0 if "location" in answer.headers else 1)


async def test_carts_and_shops_are_of_one_mode(desk: Desk) -> None:
    """A test key that knows the id of a live shop gets nothing of it, and no live shopper lands in a sandbox."""
    alive = await connect_shop(desk.shop, "shopify", mode=ConnectionMode.CONNECTION_MODE_LIVE, base_url="")
    for wanted in (None, UUID(alive.connection_id)):
        with pytest.raises(ShopUnknown, match="No sandbox shop"):
            await desk.setup(connection_id=wanted)
    await connect_shop(desk.shop, "woocommerce")
    assert await desk.setup()


async def test_the_doors_of_the_setup(desk: Desk) -> None:
    """A code that could never be matched or kept is refused where it is stated."""
    for code in ("", "  ", "a\0", "a\nb", "x" * 256):
        with pytest.raises(ValidationError):
            CheckoutPut.model_validate({"coupons": [{"code": code}]})
    (coupon,) = CheckoutPut.model_validate({"coupons": [{"code": " SUN "}]}).coupons or []
    assert coupon.code == "SUN"


async def test_a_shopper_at_a_closed_door_reads_a_page(desk: Desk) -> None:
    answer = await desk.http.get(
        f"/v1/checkout/{uuid4()}", headers={"accept": "text/html,*/*;q=0.8", "accept-language": "de-AT,en"}
    )
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")
    assert '<html lang="de">' in answer.text
    assert "Dieser Warenkorb lässt sich gerade nicht" in answer.text
    problem = await desk.ask(uuid4(), "application/json")
    assert (problem.status_code, problem.json()["code"]) == (404, "checkout_not_found")


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
        "https://evil.example\\.shop.example",
        "https://shop.example/<x>",
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
    use = Checkouts(database=desk.shop.app, clock=system_clock, monotonic_s=lambda: 0.0, carts_max=3)
    checkout = uuid4()
    for _ in range(3):
        with pytest.raises(CheckoutNotFound):
            await use.hand_over(checkout, products="", coupon="", query=[])
    app = build_app(desk.shop.settings, {}, {"checkouts": use, "public_url": ""})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://sync") as http:
        answer = await http.get(f"/v1/checkout/{checkout}")
        page = await http.get(f"/v1/checkout/{checkout}", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert (page.status_code, page.headers["retry-after"]) == (429, "1")
    assert "Please try again." in page.text
