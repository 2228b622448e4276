"""``/_sandbox/shops/{kind}/{host}/...``: goods, stock, orders and persons of one shop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from vitrin.sandbox.commands import ControlRefusal, Endpoint, answer, number, read_body
from vitrin.sandbox.control_shops import ROOT, shop_of
from vitrin.sandbox.shops import goods, sales
from vitrin.sandbox.shops.happened import Happened
from vitrin.sandbox.shops.model import Person, Shop
from vitrin.sandbox.world import World

PAGE_DEFAULT, PAGE_MAX = 100, 1_000
PRICE = r"^\d{1,9}(\.\d{1,2})?$"


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid")


class VariantCommand(_Command):
    """A new variant."""

    price: str = Field(pattern=PRICE)
    options: list[str] = Field(default=["Default Title"], min_length=1, max_length=3)
    sku: str = ""
    barcode: str = ""
    compare_at: str | None = Field(default=None, pattern=PRICE)
    stock: int = 0

    def new(self) -> goods.NewVariant:
        """As the shop takes it."""
        return goods.NewVariant(**{**self.model_dump(), "options": tuple(self.options)})


class ProductCommand(_Command):
    """Body of ``.../products``."""

    title: str = Field(min_length=1, max_length=255)
    handle: str = ""
    option_names: list[str] = Field(default=["Title"], min_length=1, max_length=3)
    body_html: str = ""
    vendor: str = ""
    product_type: str = ""
    tags: list[str] = []
    status: Literal["active", "draft", "archived"] = "active"
    images: list[str] = []
    variants: list[VariantCommand] = Field(min_length=1, max_length=2_048)


class ProductChange(_Command):
    """Body of ``PATCH .../products/{id}``; what is absent stays."""

    title: str | None = Field(default=None, min_length=1)
    body_html: str | None = None
    vendor: str | None = None
    status: Literal["active", "draft", "archived"] | None = None
    tags: list[str] | None = None


class VariantChange(_Command):
    """Body of ``PATCH .../variants/{id}``; what is absent stays."""

    price: str | None = Field(default=None, pattern=PRICE)
    compare_at: str | None = Field(default=None, pattern=PRICE)
    sku: str | None = None
    barcode: str | None = None
    policy: Literal["deny", "continue"] | None = None


class StockCommand(_Command):
    """Body of ``.../stock``. A location that the shop does not have is made, hidden from every listing."""

    variant_id: int
    available: int
    location_id: int | None = None


class PersonCommand(_Command):
    """Who buys; with `customer_id` 0 a customer is made, null is a guest."""

    first_name: str = "Ada"
    last_name: str = "Lovelace"
    email: str = "ada@example.com"
    phone: str = ""
    address1: str = "1 Example Street"
    city: str = "Berlin"
    zip: str = "10115"
    country: str = "DE"
    customer_id: int | None = None
    accepts_marketing: bool = False


class LineCommand(_Command):
    """One line of an order."""

    variant_id: int
    quantity: int = Field(default=1, ge=1, le=10_000)


class OrderCommand(_Command):
    """Body of ``.../orders``."""

    lines: list[LineCommand] = Field(min_length=1, max_length=500)
    person: PersonCommand = PersonCommand()
    paid: bool = True
    shipping: str = Field(default="0.00", pattern=PRICE)
    discount: str = Field(default="0.00", pattern=PRICE)
    discount_code: str = ""
    landing_site: str = ""
    referring_site: str = ""
    browser_ip: str = ""
    user_agent: str = ""
    test: bool = False


class CancelCommand(_Command):
    """Body of ``.../cancel``."""

    reason: Literal["customer", "declined", "fraud", "inventory", "other", "staff"] = "customer"


class RefundCommand(_Command):
    """Body of ``.../refund``: line id to quantity, or money only."""

    lines: dict[int, int] = {}
    amount: str | None = Field(default=None, pattern=PRICE)
    restock: bool = False


class AskCommand(_Command):
    """Body of ``.../ask``: the person of an order wants its data, or to be forgotten."""

    erase: bool = False


class GoodsControl:
    """The commands on one world."""

    def __init__(self, world: World) -> None:
        self._book = world.street.book
        self._now_ms = world.now_ms

    def table(self) -> list[tuple[str, str, Endpoint]]:
        """Path, method, endpoint."""
        return [
            (f"{ROOT}/products", "GET", self.products),
            (f"{ROOT}/products", "POST", self.add_product),
            (f"{ROOT}/products/{{id:int}}", "PATCH", self.change_product),
            (f"{ROOT}/products/{{id:int}}", "DELETE", self.delete_product),
            (f"{ROOT}/products/{{id:int}}/variants", "POST", self.add_variant),
            (f"{ROOT}/variants/{{id:int}}", "PATCH", self.change_variant),
            (f"{ROOT}/variants/{{id:int}}", "DELETE", self.delete_variant),
            (f"{ROOT}/stock", "POST", self.set_stock),
            (f"{ROOT}/orders", "GET", self.orders),
            (f"{ROOT}/orders", "POST", self.place_order),
            (f"{ROOT}/orders/{{id:int}}/pay", "POST", self.pay),
            (f"{ROOT}/orders/{{id:int}}/touch", "POST", self.touch),
            (f"{ROOT}/orders/{{id:int}}/cancel", "POST", self.cancel),
            (f"{ROOT}/orders/{{id:int}}/refund", "POST", self.refund),
            (f"{ROOT}/orders/{{id:int}}/ask", "POST", self.ask),
        ]

    async def products(self, request: Request) -> Response:
        """A page of the goods, in the order of their creation."""
        return _page(request, list(shop_of(self._book, request).products.values()))

    async def orders(self, request: Request) -> Response:
        """A page of the orders."""
        return _page(request, list(shop_of(self._book, request).orders.values()))

    async def add_product(self, request: Request) -> Response:
        """A product; variants may share a SKU, as careless merchants let them."""
        shop, command = shop_of(self._book, request), await read_body(request, ProductCommand)
        if any(len(one.options) != len(command.option_names) for one in command.variants):
            message = "each variant needs as many options as option_names has names"
            raise ControlRefusal(400, "invalid", message, field="variants")
        new = goods.NewProduct(
            title=command.title,
            handle=command.handle,
            option_names=tuple(command.option_names),
            body_html=command.body_html,
            vendor=command.vendor,
            product_type=command.product_type,
            tags=tuple(command.tags),
            status=command.status,
            images=tuple((src, "") for src in command.images),
            variants=tuple(one.new() for one in command.variants),
        )
        return self._done(shop, lambda: goods.add_product(shop, new, now_ms=self._now_ms()), status=201)

    async def change_product(self, request: Request) -> Response:
        """Title, text, status, ..."""
        shop, command = shop_of(self._book, request), await read_body(request, ProductChange)
        changes = {name: _frozen(value) for name, value in command.model_dump(exclude_unset=True).items()}
        product_id = request.path_params["id"]
        return self._done(
            shop, lambda: goods.change_product(shop, product_id, changes, now_ms=self._now_ms())
        )

    async def delete_product(self, request: Request) -> Response:
        """A product with all variants."""
        shop, product_id = shop_of(self._book, request), request.path_params["id"]
        return self._done(shop, lambda: goods.delete_product(shop, product_id, now_ms=self._now_ms()))

    async def add_variant(self, request: Request) -> Response:
        """One more variant."""
        shop, command = shop_of(self._book, request), await read_body(request, VariantCommand)
        product_id = request.path_params["id"]
        return self._done(
            shop,
            lambda: goods.add_variant(shop, product_id, command.new(), now_ms=self._now_ms()),
            status=201,
        )

    async def change_variant(self, request: Request) -> Response:
        """Price, SKU, ..."""
        shop, command = shop_of(self._book, request), await read_body(request, VariantChange)
        changes, variant_id = command.model_dump(exclude_unset=True), request.path_params["id"]
        return self._done(
            shop, lambda: goods.change_variant(shop, variant_id, changes, now_ms=self._now_ms())
        )

    async def delete_variant(self, request: Request) -> Response:
        """One variant less."""
        shop, variant_id = shop_of(self._book, request), request.path_params["id"]
        return self._done(shop, lambda: goods.delete_variant(shop, variant_id, now_ms=self._now_ms()))

    async def set_stock(self, request: Request) -> Response:
        """Stock at one location."""
        shop, command = shop_of(self._book, request), await read_body(request, StockCommand)
        return self._done(
            shop,
            lambda: goods.set_stock(
                shop,
                command.variant_id,
                command.available,
                location_id=command.location_id,
                now_ms=self._now_ms(),
            ),
        )

    async def place_order(self, request: Request) -> Response:
        """An order of a guest or a customer."""
        shop, command = shop_of(self._book, request), await read_body(request, OrderCommand)
        person = Person(**command.person.model_dump())
        if person.customer_id == 0:
            person = msgspec.structs.replace(person, customer_id=shop.new_id())
        given = command.model_dump(exclude={"lines", "person"})
        lines = [(one.variant_id, one.quantity) for one in command.lines]
        new = sales.NewOrder(lines=lines, person=person, **given)
        return self._done(shop, lambda: sales.place_order(shop, new, now_ms=self._now_ms()), status=201)

    async def pay(self, request: Request) -> Response:
        """The money is there."""
        shop, order_id = shop_of(self._book, request), request.path_params["id"]
        return self._done(shop, lambda: sales.pay_order(shop, order_id, now_ms=self._now_ms()))

    async def touch(self, request: Request) -> Response:
        """A change that nobody asks about."""
        shop, order_id = shop_of(self._book, request), request.path_params["id"]
        return self._done(shop, lambda: sales.touch_order(shop, order_id, now_ms=self._now_ms()))

    async def cancel(self, request: Request) -> Response:
        """Cancelled, with the money given back."""
        shop, command = shop_of(self._book, request), await read_body(request, CancelCommand)
        order_id = request.path_params["id"]
        return self._done(
            shop,
            lambda: sales.cancel_order(shop, order_id, reason=command.reason, now_ms=self._now_ms()),
        )

    async def refund(self, request: Request) -> Response:
        """Some or all of it given back."""
        shop, command = shop_of(self._book, request), await read_body(request, RefundCommand)
        order_id = request.path_params["id"]
        return self._done(
            shop,
            lambda: sales.refund_order(
                shop,
                order_id,
                list(command.lines.items()),
                amount=command.amount,
                restock=command.restock,
                now_ms=self._now_ms(),
            ),
        )

    async def ask(self, request: Request) -> Response:
        """The privacy topics, to every app of the shop."""
        shop, command = shop_of(self._book, request), await read_body(request, AskCommand)
        order_id = request.path_params["id"]
        apps = dict.fromkeys(one.app_id for one in shop.accesses.values())

        def asked() -> list[Happened]:
            return [
                event
                for app_id in apps
                for event in sales.ask_person(
                    shop, order_id, erase=command.erase, app_id=app_id, now_ms=self._now_ms()
                )
            ]

        return self._done(shop, asked)

    def _done(self, shop: Shop, change: Callable[[], list[Happened]], *, status: int = 200) -> Response:
        try:
            events = change()
        except goods.NotThere as error:
            raise ControlRefusal(404, "not_there", str(error)) from error
        sent = self._book.tell(shop, events)
        first = events[0] if events else None
        thing = (first.product or first.order) if first is not None else None
        body: dict[str, Any] = {
            "happened": [one.what for one in events],
            "hooks": [one.key for one in sent],
            "id": thing.id if thing is not None else None,
        }
        if first is not None and first.product is not None:
            body["product"] = msgspec.to_builtins(shop.products.get(first.product.id, first.product))
        elif first is not None and first.order is not None:
            body["order"] = msgspec.to_builtins(shop.orders[first.order.id])
        return answer(body, status)


def _page(request: Request, things: list[Any]) -> Response:
    offset = number(request, "offset", default=0)
    limit = number(request, "limit", default=PAGE_DEFAULT, max_value=PAGE_MAX)
    shown = [msgspec.to_builtins(one) for one in things[offset : offset + limit]]
    return answer({"total": len(things), "offset": offset, "limit": limit, "items": shown})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
