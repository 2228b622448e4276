"""``/_sandbox/shops``: a shop's life. What is changed here, the shop tells by its webhooks, as a real one does."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from vitrin.sandbox.commands import ControlRefusal, Endpoint, answer, number, read_body
from vitrin.sandbox.shops.book import ShopBook
from vitrin.sandbox.shops.goods import add_products, generated
from vitrin.sandbox.shops.happened import Happened
from vitrin.sandbox.shops.model import Shop
from vitrin.sandbox.shops.outbox import FAULTS, Delivery, FaultName, HookFault
from vitrin.sandbox.shops.seeding import FileInvalid, read_products
from vitrin.sandbox.timing import iso
from vitrin.sandbox.world import World

HOSTS = {
    "shopify": re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com"),
    "woocommerce": re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?"),
}
SHOPS_MAX = 2_000
PRODUCTS_MAX = 500_000
FILE_BYTES_MAX = 64 * 1024 * 1024
HOOKS_PAGE_DEFAULT, HOOKS_PAGE_MAX = 100, 1_000
ROOT = "/_sandbox/shops/{kind}/{host}"


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Amount(_Command):
    """A generated catalog."""

    products: int = Field(ge=0, le=PRODUCTS_MAX)
    variants_each: int = Field(default=1, ge=1, le=2_048)


class NewShop(_Command):
    """Body of ``POST /_sandbox/shops``."""

    kind: Literal["shopify", "woocommerce"]
    host: str = Field(max_length=200)
    name: str = Field(default="", max_length=100)
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    country: str = Field(default="DE", pattern=r"^[A-Z]{2}$")
    time_zone: str = Field(default="Europe/Berlin", max_length=50)
    locations: list[str] = Field(default=["Main"], min_length=1, max_length=100)
    seed: Amount | None = None


class NewShopApp(_Command):
    """Body of ``POST /_sandbox/shops/apps``: an app of Shopify's, and where it wants the privacy topics."""

    app_id: str = Field(min_length=1, max_length=64, pattern=r"^[0-9a-f]+$")
    secret: str = Field(min_length=1, max_length=200)
    privacy_address: str = Field(default="", max_length=1_000)


class Uninstall(_Command):
    """Body of ``.../uninstall``; all apps unless one is named."""

    app_id: str = ""


class State(_Command):
    """Body of ``.../state``: how the shop answers from now on."""

    plan: Literal["ok", "frozen", "locked"] | None = None
    points: float | None = Field(default=None, ge=0, le=100_000)
    next_bulk: Literal["FAILED", "CANCELED", "STUCK"] | None = None


class NewHookFault(_Command):
    """Body of ``.../hook_faults``."""

    kind: FaultName
    topic: str = ""
    count: int | None = Field(default=1, ge=1)
    delay_ms: int = Field(default=1_000, ge=0, le=86_400_000)


class ShopControl:
    """The commands on one world."""

    def __init__(self, world: World) -> None:
        self._street = world.street
        self._book = world.street.book
        self._now_ms = world.now_ms

    def table(self) -> list[tuple[str, str, Endpoint]]:
        """Path, method, endpoint."""
        return [
            ("/_sandbox/shops", "GET", self.all),
            ("/_sandbox/shops", "POST", self.open),
            ("/_sandbox/shops/apps", "POST", self.add_app),
            (ROOT, "GET", self.one),
            (ROOT, "DELETE", self.close),
            (f"{ROOT}/seed", "POST", self.seed),
            (f"{ROOT}/uninstall", "POST", self.uninstall),
            (f"{ROOT}/redact", "POST", self.redact),
            (f"{ROOT}/state", "POST", self.set_state),
            (f"{ROOT}/hooks", "GET", self.hooks),
            (f"{ROOT}/hooks/{{key}}/replay", "POST", self.replay),
            (f"{ROOT}/hook_faults", "GET", self.hook_faults),
            (f"{ROOT}/hook_faults", "POST", self.add_hook_fault),
            (f"{ROOT}/hook_faults", "DELETE", self.clear_hook_faults),
        ]

    async def all(self, request: Request) -> Response:
        """Every shop."""
        base = base_of(request)
        return answer({"shops": [shown(self._book, one, base=base) for one in self._book.shops.values()]})

    async def open(self, request: Request) -> Response:
        """A fresh shop with an access of its own."""
        command = await read_body(request, NewShop)
        host = command.host.lower()
        if HOSTS[command.kind].fullmatch(host) is None:
            form = (
                "<name>.myshopify.com" if command.kind == "shopify" else "a host name without scheme and path"
            )
            raise ControlRefusal(400, "invalid", f"must be {form}", field="host")
        if self._book.find(command.kind, host) is not None:
            raise ControlRefusal(409, "exists", f"there is a shop {host} already", field="host")
        if len(self._book.shops) >= SHOPS_MAX:
            raise ControlRefusal(409, "too_many", f"at most {SHOPS_MAX} shops")
        shop = self._book.open(
            command.kind,
            host,
            currency=command.currency,
            country=command.country,
            time_zone=command.time_zone,
            name=command.name,
            locations=command.locations,
        )
        if command.seed is not None:
            self._generate(shop, command.seed)
        return answer(shown(self._book, shop, base=base_of(request)), 201)

    async def one(self, request: Request) -> Response:
        """One shop with its subscriptions and bulk operations."""
        shop = shop_of(self._book, request)
        more = {
            "subscriptions": [msgspec.to_builtins(one) for one in shop.subscriptions.values()],
            "bulk_operations": [msgspec.to_builtins(one) for one in shop.bulk.values()],
        }
        return answer(shown(self._book, shop, base=base_of(request)) | more)

    async def close(self, request: Request) -> Response:
        """The shop is gone, and its webhooks with it."""
        shop = shop_of(self._book, request)
        del self._book.shops[shop.kind, shop.host]
        self._book.changes.note()
        return answer({"closed": shop.host})

    async def seed(self, request: Request) -> Response:
        """Goods that were there before anybody listened: a generated catalog (JSON) or an export (text/csv)."""
        shop = shop_of(self._book, request)
        if request.headers.get("content-type", "").startswith("text/csv"):
            raw = await request.body()
            if len(raw) > FILE_BYTES_MAX:
                raise ControlRefusal(400, "body_too_large", f"at most {FILE_BYTES_MAX} bytes")
            try:
                count = add_products(shop, read_products(raw.decode()), now_ms=self._now_ms())
            except (FileInvalid, UnicodeDecodeError) as error:
                raise ControlRefusal(400, "invalid", str(error)) from error
        else:
            count = self._generate(shop, await read_body(request, Amount))
        self._book.changes.note()
        return answer({"products": count}, 201)

    def _generate(self, shop: Shop, amount: Amount) -> int:
        many = generated(amount.products, variants_each=amount.variants_each)
        count = add_products(shop, many, now_ms=self._now_ms())
        self._book.changes.note()
        return count

    async def add_app(self, request: Request) -> Response:
        """Register an app, or change its secret and where it wants the privacy topics."""
        command = await read_body(request, NewShopApp)
        self._book.grants.register("shopify", command.app_id, command.secret)
        self._book.privacy[command.app_id] = command.privacy_address
        self._book.changes.note()
        return answer(command.model_dump(exclude={"secret"}), 201)

    async def uninstall(self, request: Request) -> Response:
        """The merchant removes an app."""
        shop, command = shop_of(self._book, request), await read_body(request, Uninstall)
        known = list(dict.fromkeys(one.app_id for one in shop.accesses.values() if not one.removed))
        apps = [command.app_id] if command.app_id else known
        if not apps or any(app_id not in known for app_id in apps):
            raise ControlRefusal(
                404, "unknown_app", f"installed are: {', '.join(known) or 'none'}", field="app_id"
            )
        for app_id in apps:
            self._book.uninstall(shop, app_id, now_ms=self._now_ms())
        return answer({"uninstalled": apps})

    async def redact(self, request: Request) -> Response:
        """What Shopify sends 48 hours after an app was removed: forget the shop."""
        shop = shop_of(self._book, request)
        asked = {"shop_id": shop.number, "shop_domain": shop.host}
        apps = list(dict.fromkeys(one.app_id for one in shop.accesses.values()))
        for app_id in apps:
            event = Happened(what="shop_redact", at_ms=self._now_ms(), asked=asked, app_id=app_id)
            self._book.tell(shop, [event])
        return answer({"asked": apps})

    async def set_state(self, request: Request) -> Response:
        """Freeze or lock the shop, take query points away, or spoil its next bulk operation."""
        shop, command = shop_of(self._book, request), await read_body(request, State)
        if command.plan is not None:
            shop.plan = command.plan
            self._book.changes.note()
        if command.points is not None:
            self._street.shopify.drain(shop.host, command.points)
        if command.next_bulk is not None:
            self._street.bulk.plans.setdefault(shop.host, []).append(command.next_bulk)
        return answer(command.model_dump())

    async def hooks(self, request: Request) -> Response:
        """The webhooks that the shop sent and has still to send, oldest first, with what became of them."""
        shop = shop_of(self._book, request)
        limit = number(request, "limit", default=HOOKS_PAGE_DEFAULT, max_value=HOOKS_PAGE_MAX)
        topic = request.query_params.get("topic")
        found = [
            one
            for one in self._book.outbox.deliveries.values()
            if (one.kind, one.host) == (shop.kind, shop.host) and topic in (None, one.topic)
        ]
        return answer({"total": len(found), "hooks": [hook_json(one) for one in found[-limit:]]})

    async def replay(self, request: Request) -> Response:
        """Send one again, byte for byte: an old message that somebody caught."""
        shop_of(self._book, request)
        one = self._book.outbox.deliveries.get(request.path_params["key"])
        if one is None:
            raise ControlRefusal(
                404, "unknown_hook", "no such webhook; GET .../hooks lists them", field="key"
            )
        again = self._book.outbox.again(one, now_ms=self._now_ms())
        self._book.changes.note()
        return answer(hook_json(again), 201)

    async def hook_faults(self, request: Request) -> Response:
        """Those that wait, and what kinds there are."""
        shop = shop_of(self._book, request)
        active = [
            msgspec.to_builtins(one)
            for one in self._book.outbox.faults.values()
            if (one.kind_of_shop, one.host) == (shop.kind, shop.host)
        ]
        return answer({"faults": active, "kinds": FAULTS})

    async def add_hook_fault(self, request: Request) -> Response:
        """The shop's next webhooks go wrong in this way."""
        shop, command = shop_of(self._book, request), await read_body(request, NewHookFault)
        fault = HookFault(
            "", command.kind, shop.kind, shop.host, command.topic, command.count, command.delay_ms
        )
        self._book.outbox.add_fault(fault)
        return answer(msgspec.to_builtins(fault), 201)

    async def clear_hook_faults(self, request: Request) -> Response:
        """All of the shop's."""
        shop, faults = shop_of(self._book, request), self._book.outbox.faults
        own = [key for key, one in faults.items() if (one.kind_of_shop, one.host) == (shop.kind, shop.host)]
        for key in own:
            del faults[key]
        return answer({"removed": len(own)})


def base_of(request: Request) -> str:
    """The sandbox's own address, as the caller knows it."""
    return f"{request.url.scheme}://{request.url.netloc}"


def shop_of(book: ShopBook, request: Request) -> Shop:
    """The shop that the path names. Raises ControlRefusal."""
    kind, host = request.path_params["kind"], request.path_params["host"]
    shop = book.find(kind, host) if kind in HOSTS else None
    if shop is None:
        raise ControlRefusal(
            404, "unknown_shop", f"there is no {kind} shop {host}; make it by POST /_sandbox/shops"
        )
    return shop


def shown(book: ShopBook, shop: Shop, *, base: str) -> dict[str, Any]:
    """A shop with what connects it."""
    own = next(iter(shop.accesses.values()))
    named = {"shop": shop.host} if shop.kind == "shopify" else {"store": f"https://{shop.host}"}
    return {
        "kind": shop.kind,
        "host": shop.host,
        "name": shop.name,
        "base_url": f"{base}/{shop.kind}/{shop.host}",
        "external_ids": named,
        "access_token": own.token,
        "app_id": own.app_id,
        "webhook_secret": book.grants.app_secret(shop.kind, own.app_id),
        "currency": shop.currency,
        "country": shop.country,
        "plan": shop.plan,
        "locations": [msgspec.to_builtins(one) for one in shop.locations.values()],
        "products": len(shop.products),
        "orders": len(shop.orders),
        "apps": [
            {"app_id": one.app_id, "scopes": one.scopes, "removed": one.removed}
            for one in shop.accesses.values()
        ],
    }


def hook_json(one: Delivery) -> dict[str, Any]:
    """A delivery with its outcome; the body as it was sent."""
    return {
        "key": one.key,
        "topic": one.topic,
        "address": one.address,
        "state": one.state,
        "fault": one.fault,
        "attempts": one.attempts,
        "statuses": one.statuses,
        "error": one.error,
        "created_at": iso(one.created_ms),
        "due_at": iso(one.due_ms),
        "headers": one.headers,
        "body": one.body,
    }
