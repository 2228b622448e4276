"""`/storefront/{kind}/{host}/...`: what a shop's visitors see. A purchase here places an order in the stand-in shop,
which tells it by its webhooks like every other."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from vitrin.sandbox.shops.book import ShopBook
from vitrin.sandbox.shops.model import Order, Person, Product, Shop, Variant
from vitrin.sandbox.shops.sales import NewOrder, place_order
from vitrin.sandbox.storefront import html, told
from vitrin.sandbox.storefront.html import CartLine, CustomPixel, Frame, line_json, track
from vitrin.sandbox.storefront.settings import StorefrontBook

ROOT = "/storefront/{kind}/{host}"
LISTED_MAX = 60
CART_LINES_MAX = 50
QUANTITY_MAX = 99
FIELD_CHARS_MAX = 100

Page = Callable[[Request, Shop, Frame], Awaitable[Response]]


class Storefront:
    """The pages of every shop of a world."""

    def __init__(self, book: ShopBook, settings: StorefrontBook, now_ms: Callable[[], int]) -> None:
        self._book = book
        self._settings = settings
        self._now_ms = now_ms

    def routes(self) -> list[Route]:
        """All of them."""
        table: list[tuple[str, str, Page]] = [
            ("/", "GET", self._front),
            ("/search", "GET", self._search),
            ("/products/{handle}", "GET", self._product),
            ("/cart", "GET", self._cart),
            ("/cart/add", "POST", self._add),
            ("/cart/remove", "POST", self._remove),
            ("/checkout", "GET", self._checkout),
            ("/checkout", "POST", self._buy),
            ("/orders/{token}", "GET", self._thanks),
        ]
        return [Route(ROOT + path, self._page(page), methods=[method]) for path, method, page in table]

    def _page(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            kind, host = request.path_params["kind"], request.path_params["host"]
            shop = self._book.find(kind, host)
            if shop is None:
                return HTMLResponse("There is no such shop.", 404)
            pixel = self._settings.pixels.get((shop.kind, shop.host))
            custom = self._settings.custom.get((shop.kind, shop.host))
            frame = Frame(
                shop=shop,
                root=ROOT.format(kind=shop.kind, host=shop.host),
                pixel=pixel,
                custom=None if custom is None else CustomPixel(custom, _choice(request)),
            )
            return await page(request, shop, frame)

        return serve

    async def _front(self, _request: Request, shop: Shop, frame: Frame) -> Response:
        products = [one for one in shop.products.values() if one.status == "active"][:LISTED_MAX]
        calls = [track("view_collection", properties={"collection": "all"})]
        heard = [("page_viewed", {}), ("collection_viewed", told.collection(products))]
        body = html.goods(frame.root, products, shop.currency)
        return HTMLResponse(frame.page(shop.name or shop.host, body, calls=calls, told=heard))

    async def _search(self, request: Request, shop: Shop, frame: Frame) -> Response:
        words = request.query_params.get("q", "")[:FIELD_CHARS_MAX]
        found = [one for one in shop.products.values() if words.lower() in one.title.lower()][:LISTED_MAX]
        calls = [track("search", search_term=words)]
        heard = [("page_viewed", {}), ("search_submitted", {"searchResult": {"query": words}})]
        body = html.goods(frame.root, found, shop.currency)
        return HTMLResponse(frame.page(f"Search: {words}", body, calls=calls, told=heard))

    async def _product(self, request: Request, shop: Shop, frame: Frame) -> Response:
        handle = request.path_params["handle"]
        one = next((each for each in shop.products.values() if each.handle == handle), None)
        if one is None:
            return HTMLResponse(frame.page("Not found", "<p>We do not have this.</p>"), 404)
        wanted = request.query_params.get("variant", "")
        variant = (one.variant(int(wanted)) if wanted.isdecimal() else None) or one.variants[0]
        fields: dict[str, Any] = {"value": float(variant.price), "currency": shop.currency}
        calls = [track("view_item", items=[line_json(variant)], **fields)]
        heard = [
            ("page_viewed", {}),
            ("product_viewed", {"productVariant": told.variant(shop, one, variant)}),
        ]
        return HTMLResponse(frame.page(one.title, html.product(frame, one, variant), calls=calls, told=heard))

    async def _cart(self, request: Request, shop: Shop, frame: Frame) -> Response:
        body = html.cart(frame, cart_of(request, shop))
        return HTMLResponse(frame.page("Cart", body, told=[("page_viewed", {})]))

    async def _add(self, request: Request, shop: Shop, frame: Frame) -> Response:
        chosen = _chosen(await request.form())
        found = shop.find_variant(chosen)
        lines = [(one.variant.id, one.quantity) for one in cart_of(request, shop)]
        if found is not None:
            had = dict(lines).get(chosen, 0)
            lines = [one for one in lines if one[0] != chosen] + [(chosen, min(had + 1, QUANTITY_MAX))]
        return _with_cart(RedirectResponse(f"{frame.root}/cart", 303), frame, lines)

    async def _remove(self, request: Request, shop: Shop, frame: Frame) -> Response:
        chosen = _chosen(await request.form())
        left = [(one.variant.id, one.quantity) for one in cart_of(request, shop) if one.variant.id != chosen]
        return _with_cart(RedirectResponse(f"{frame.root}/cart", 303), frame, left)

    async def _checkout(self, request: Request, shop: Shop, frame: Frame) -> Response:
        lines = cart_of(request, shop)
        if not lines:
            return RedirectResponse(f"{frame.root}/cart", 303)
        calls = [track("begin_checkout", **_bought(shop, lines))]
        heard = [("page_viewed", {}), ("checkout_started", {"checkout": told.cart(shop, lines)})]
        return HTMLResponse(frame.page("Checkout", html.checkout(frame), calls=calls, told=heard))

    async def _buy(self, request: Request, shop: Shop, frame: Frame) -> Response:
        lines = cart_of(request, shop)
        if not lines:
            return RedirectResponse(f"{frame.root}/cart", 303)
        form = await request.form()
        person = Person(
            first_name=_field(form, "first_name"),
            last_name=_field(form, "last_name"),
            email=_field(form, "email"),
            country=shop.country,
        )
        new = NewOrder(
            lines=[(one.variant.id, one.quantity) for one in lines],
            person=person,
            browser_ip=request.client.host if request.client else "",
            user_agent=request.headers.get("user-agent", "")[:500],
        )
        before = set(shop.orders)
        self._book.tell(shop, place_order(shop, new, now_ms=self._now_ms()))
        order_id = next(one for one in shop.orders if one not in before)
        token = uuid.uuid4().hex
        self._settings.keep_receipt(token, order_id)
        return _with_cart(RedirectResponse(f"{frame.root}/orders/{token}", 303), frame, [])

    async def _thanks(self, request: Request, shop: Shop, frame: Frame) -> Response:
        order = shop.orders.get(self._settings.receipts.get(request.path_params["token"], 0))
        if order is None:
            return HTMLResponse(frame.page("Not found", "<p>There is no such order.</p>"), 404)
        person = order.person
        calls = [
            [
                "identify",
                {"email": person.email, "first_name": person.first_name, "last_name": person.last_name},
            ],
            track(
                "purchase",
                order_id=str(order.id),
                **_bought(shop, _lines(shop, order), total=str(order.total)),
            ),
        ]
        heard = [("page_viewed", {}), ("checkout_completed", {"checkout": told.order(shop, order)})]
        return HTMLResponse(frame.page("Thank you", html.thanks(order), calls=calls, told=heard))


def cart_of(request: Request, shop: Shop) -> list[CartLine]:
    """What the cookie says of what the shop still has."""
    lines: list[CartLine] = []
    for part in request.cookies.get("cart", "").split("."):
        variant, _, quantity = part.partition("x")
        if not (variant.isdecimal() and quantity.isdecimal()):
            continue
        found = shop.find_variant(int(variant))
        if found is not None:
            lines.append(CartLine(*found, min(int(quantity), QUANTITY_MAX)))
    return lines[:CART_LINES_MAX]


def _with_cart(answer: Response, frame: Frame, lines: list[tuple[int, int]]) -> Response:
    value = ".".join(f"{variant}x{quantity}" for variant, quantity in lines[:CART_LINES_MAX])
    answer.set_cookie("cart", value, path=frame.root, samesite="lax")
    return answer


def _choice(request: Request) -> dict[str, bool] | None:
    """What the shop's own banner was told, by its cookie `choice` (`ma`, `m` or empty)."""
    said = request.cookies.get("choice")
    return None if said is None else {"analytics": "m" in said, "ads": "a" in said}


def _chosen(form: FormData) -> int:
    text = form.get("variant")
    return int(text) if isinstance(text, str) and text.isdecimal() else 0


def _field(form: FormData, name: str) -> str:
    text = form.get(name)
    return text.strip()[:FIELD_CHARS_MAX] if isinstance(text, str) else ""


def _lines(shop: Shop, order: Order) -> list[CartLine]:
    found: list[CartLine] = []
    for line in order.lines:
        there: tuple[Product, Variant] | None = shop.find_variant(line.variant_id)
        if there is not None:
            found.append(CartLine(*there, line.quantity))
    return found


def _bought(shop: Shop, lines: list[CartLine], *, total: str | None = None) -> dict[str, Any]:
    return {
        "items": [line_json(one.variant, one.quantity) for one in lines],
        "value": float(total or html.total(lines)),
        "currency": shop.currency,
    }
