"""WooCommerce's REST v3 of every store: keys, paging, products, orders, webhooks. Errors in WordPress's own shape."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

import orjson

from vitrin.sandbox.accounts import Account
from vitrin.sandbox.shops.book import ShopBook
from vitrin.sandbox.shops.model import Access, Order, Product, Shop, Subscription
from vitrin.sandbox.shops.outbox import Delivery
from vitrin.sandbox.wire import Call, Reply
from vitrin.sandbox.woocommerce.hooks import AGENT, TOPICS
from vitrin.sandbox.woocommerce.shapes import (
    STATUSES,
    modified_ms,
    order,
    product,
    refund,
    status_of,
    variation,
    webhook,
)

PREFIX = "wp-json/wc/v3"
PAGE_DEFAULT, PAGE_MAX = 10, 100
NAMES = ("auth", "throttle", "unavailable", "unknown", "internal")


class WooError(Exception):
    """A refusal: code, words, status."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.reply = Reply(
            status,
            {"code": code, "message": message, "data": {"status": status, **more}},
            outcome="refused",
        )


@dataclass(slots=True)
class WooDoor:
    """Answers for all WooCommerce stores of the book."""

    book: ShopBook
    now_ms: Callable[[], int]
    body_bytes_max: int = 10 * 1024 * 1024
    name: str = "woocommerce"
    host: str = "woocommerce"

    def handle(self, call: Call) -> Reply:
        """One request."""
        host, _, rest = call.path.strip("/").partition("/")
        shop = self.book.find("woocommerce", host)
        parts = rest.removeprefix(PREFIX).strip("/").split("/")
        try:
            if shop is None or not rest.startswith(f"{PREFIX}/"):
                raise _no_route()
            access = self._access(shop, call)
            return self._route(shop, access, call, parts)
        except WooError as error:
            return error.reply

    def _access(self, shop: Shop, call: Call) -> Access:
        """Basic authentication, or the keys in the query as over https."""
        scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(encoded, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                given = ""
        else:
            given = f"{call.query.get('consumer_key', '')}:{call.query.get('consumer_secret', '')}"
        if given in ("", ":"):
            message = "Sorry, you cannot list resources."
            raise WooError(401, "woocommerce_rest_cannot_view", message)
        access = shop.accesses.get(given)
        if access is not None and not access.removed:
            return access
        key = given.partition(":")[0]
        known = any(one.token.partition(":")[0] == key for one in shop.accesses.values() if not one.removed)
        word = "Consumer secret is invalid." if known else "Consumer key is invalid."
        raise WooError(401, "woocommerce_rest_authentication_error", word)

    def _route(self, shop: Shop, access: Access, call: Call, parts: list[str]) -> Reply:
        ids = [int(one) for one in parts if one.isdecimal()]
        shape = "/".join("#" if one.isdecimal() else one for one in parts)
        if call.method == "GET":
            match shape:
                case "products":
                    return self._products(shop, call)
                case "products/#":
                    return Reply(200, self._one_product(shop, ids[0]))
                case "products/#/variations":
                    one = self._product(shop, ids[0])
                    many = [] if one.only_default else list(one.variants)
                    return self._page(call, many, lambda each: variation(shop, one, each))
                case "products/#/variations/#":
                    one, variant = self._product(shop, ids[0]), None
                    variant = one.variant(ids[1])
                    if variant is None or one.only_default:
                        raise _invalid_id("product_variation")
                    return Reply(200, variation(shop, one, variant))
                case "orders":
                    return self._orders(shop, call)
                case "orders/#":
                    return Reply(200, order(shop, self._order(shop, ids[0])))
                case "orders/#/refunds":
                    whole = self._order(shop, ids[0])
                    return self._page(call, list(whole.refunds), lambda each: refund(shop, whole, each))
                case "system_status":
                    return Reply(200, _system_status(shop))
            if parts[0] == "settings":
                return _setting(shop, parts[1:])
        if parts[0] == "webhooks":
            return self._webhooks(shop, call, ids)
        raise _no_route()

    def _products(self, shop: Shop, call: Call) -> Reply:
        found = [one for one in shop.products.values() if _wanted_product(one, call)]
        found = _filtered(shop, call, found, modified_ms)
        return self._page(call, _sorted(call, found, modified_ms), lambda one: product(shop, one))

    def _orders(self, shop: Shop, call: Call) -> Reply:
        wanted = [one for one in call.query.get("status", "any").split(",") if one]
        found = [one for one in shop.orders.values() if "any" in wanted or status_of(one) in wanted]
        found = _filtered(shop, call, found, lambda one: one.updated_ms)
        return self._page(
            call, _sorted(call, found, lambda one: one.updated_ms), lambda one: order(shop, one)
        )

    def _page(self, call: Call, things: Sequence[Any], show: Callable[[Any], Any]) -> Reply:
        size = _number(call, "per_page", PAGE_DEFAULT, 1, PAGE_MAX)
        page = _number(call, "page", 1, 1, None)
        start = _number(call, "offset", (page - 1) * size, 0, None)
        pages = -(-len(things) // size)
        headers = {"X-WP-Total": str(len(things)), "X-WP-TotalPages": str(pages)}
        links = [
            f'<{call.base_url}{call.path}?{urlencode({**_kept(call), "page": number})}>; rel="{name}"'
            for name, number in (("prev", page - 1), ("next", page + 1))
            if 1 <= number <= pages
        ]
        if links:
            headers["Link"] = ", ".join(links)
        return Reply(200, [show(one) for one in things[start : start + size]], headers=headers)

    def _one_product(self, shop: Shop, number: int) -> dict[str, Any]:
        """Variations are products too: asked for by their own id they come as such."""
        if number in shop.products:
            return product(shop, shop.products[number])
        found = shop.find_variant(number)
        if found is None or found[0].only_default or found[1].id != number:
            raise _invalid_id("product")
        return variation(shop, *found)

    def _product(self, shop: Shop, number: int) -> Product:
        if number not in shop.products:
            raise _invalid_id("product")
        return shop.products[number]

    def _order(self, shop: Shop, number: int) -> Order:
        if number not in shop.orders:
            raise _invalid_id("shop_order")
        return shop.orders[number]

    def _webhooks(self, shop: Shop, call: Call, ids: list[int]) -> Reply:
        if not ids and call.method == "GET":
            wanted = call.query.get("status", "all")
            many = [one for one in shop.subscriptions.values() if wanted in ("all", one.status)]
            return self._page(call, many, lambda one: webhook(shop, one))
        if not ids and call.method == "POST":
            return self._add_webhook(shop, _body(call))
        one = shop.subscriptions.get(ids[0]) if ids else None
        if one is None:
            raise _invalid_id("shop_webhook")
        if call.method == "DELETE":
            if call.query.get("force", "") != "true":
                message = "Webhooks do not support trashing."
                raise WooError(501, "woocommerce_rest_trash_not_supported", message)
            del shop.subscriptions[one.id]
        elif call.method in ("PUT", "POST", "PATCH"):
            self._change_webhook(shop, one, _body(call))
        self.book.changes.note()
        return Reply(200, webhook(shop, one))

    def _add_webhook(self, shop: Shop, given: dict[str, Any]) -> Reply:
        topic, address = given.get("topic", ""), given.get("delivery_url", "")
        if topic not in TOPICS:
            message = "Webhook topic must be valid."
            raise WooError(400, "woocommerce_rest_shop_webhook_invalid_topic", message)
        if not isinstance(address, str) or urlsplit(address).scheme not in ("http", "https"):
            message = "Webhook delivery URL must be a valid URL starting with http:// or https://."
            raise WooError(400, "woocommerce_rest_shop_webhook_invalid_delivery_url", message)
        now_ms = self.now_ms()
        name = (
            given.get("name") or f"Webhook created on {datetime.fromtimestamp(now_ms / 1000, UTC):%b %d, %Y}"
        )
        secret = given.get("secret") or next(iter(shop.accesses.values())).token.partition(":")[2]
        one = Subscription(
            shop.new_id(), "", topic, address, now_ms, now_ms, name=name, secret=secret, api_version="v3"
        )
        one.status = given.get("status", "active")
        shop.subscriptions[one.id] = one
        if one.status == "active":
            self._ping(shop, one)
        self.book.changes.note()
        return Reply(201, webhook(shop, one))

    def _change_webhook(self, shop: Shop, one: Subscription, given: dict[str, Any]) -> None:
        before = one.status
        one.status = given.get("status", one.status)
        one.address = given.get("delivery_url", one.address)
        one.topic = given.get("topic", one.topic)
        one.secret = given.get("secret", one.secret)
        one.name = given.get("name", one.name)
        one.updated_ms = self.now_ms()
        if one.status == "active" and before != "active":
            one.failures = 0
            self._ping(shop, one)

    def _ping(self, shop: Shop, one: Subscription) -> None:
        """A form with the id, unsigned; its failure changes nothing here (a real store reports it to the caller)."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": AGENT}
        now_ms = self.now_ms()
        self.book.outbox.keep(
            Delivery(
                f"ping-{one.id}-{now_ms}",
                "woocommerce",
                shop.host,
                one.id,
                "ping",
                one.address,
                headers,
                f"webhook_id={one.id}",
                now_ms,
                now_ms,
                retries=False,
            )
        )

    def named_error(self, name: str, call: Call) -> Reply | None:
        """See `Door`."""
        match name:
            case "auth":
                code = "woocommerce_rest_authentication_error"
                return WooError(401, code, "Consumer key is invalid.").reply
            case "throttle":
                return self.throttled(call, code=None, regain_s=60)
            case "unavailable":
                return WooError(
                    503, "service_unavailable", "Briefly unavailable for scheduled maintenance."
                ).reply
            case "unknown" | "internal":
                message = "There has been a critical error on this website."
                return WooError(500, "internal_server_error", message).reply
        return None

    def error_names(self) -> Sequence[str]:
        """See `Door`."""
        return NAMES

    def throttle_codes(self) -> Sequence[int]:
        """The refusal of a host has no number."""
        return ()

    def throttled(self, call: Call, *, code: int | None, regain_s: int) -> Reply:
        """WooCommerce itself does not throttle: the host in front of it does."""
        reply = WooError(429, "too_many_requests", "Too Many Requests").reply
        reply.headers["Retry-After"] = str(regain_s)
        reply.outcome = "throttled"
        return reply

    def batch_refused(self, call: Call) -> Reply:
        """There are no batches here: an internal error."""
        return WooError(
            500, "internal_server_error", "There has been a critical error on this website."
        ).reply

    def endpoint_of(self, call: Call) -> str:
        """`read`, else `other`."""
        return "read" if call.method == "GET" else "other"

    def items_of(self, call: Call) -> Sequence[str]:
        """Requests name no items of ours."""
        return ()

    def account_of(self, call: Call) -> Account | None:
        """The store, as the log and faults name it."""
        shop = self.book.find("woocommerce", call.path.strip("/").partition("/")[0])
        return Account("woocommerce", shop.number, "", {"store": shop.host}, []) if shop is not None else None


def _wanted_product(one: Product, call: Call) -> bool:
    query = call.query
    status, sku = query.get("status", "any"), query.get("sku", "")
    kind = "simple" if one.only_default else "variable"
    return (
        (status == "any" or STATUSES[one.status] == status)
        and (not sku or any(variant.sku == sku for variant in one.variants))
        and query.get("type", kind) == kind
        and query.get("slug", one.handle) == one.handle
    )


def _filtered(shop: Shop, call: Call, things: list[Any], changed: Callable[[Any], int]) -> list[Any]:
    """include, exclude, and moments: whole seconds, later than (not at) the one given."""
    query = call.query
    for name, keep in (("include", True), ("exclude", False)):
        if query.get(name):
            named = {one.strip() for one in query[name].split(",")}
            things = [one for one in things if (str(one.id) in named) is keep]
    for name, read in (("modified", changed), ("", lambda one: one.created_ms)):
        for side in ("after", "before"):
            text = query.get(f"{name}_{side}".strip("_"))
            if text:
                at_s = _moment(shop, text, gmt=query.get("dates_are_gmt") == "true")
                later = side == "after"
                things = [
                    one for one in things if (read(one) // 1000 > at_s if later else read(one) // 1000 < at_s)
                ]
    return things


def _moment(shop: Shop, text: str, *, gmt: bool) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise WooError(400, "rest_invalid_param", "Invalid parameter(s): date") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC if gmt else ZoneInfo(shop.time_zone))
    return int(found.timestamp())


def _sorted(call: Call, things: list[Any], changed: Callable[[Any], int]) -> list[Any]:
    orders: dict[str, Callable[[Any], Any]] = {
        "id": lambda one: one.id,
        "date": lambda one: (one.created_ms // 1000, one.id),
        "modified": lambda one: (changed(one) // 1000, one.id),
        "title": lambda one: getattr(one, "title", ""),
    }
    name = call.query.get("orderby", "date")
    if name not in orders:
        raise WooError(400, "rest_invalid_param", "Invalid parameter(s): orderby", params={"orderby": name})
    return sorted(things, key=orders[name], reverse=call.query.get("order", "desc") == "desc")


def _number(call: Call, name: str, default: int, least: int, most: int | None) -> int:
    text = call.query.get(name, str(default))
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        message = f"Invalid parameter(s): {name}"
        raise WooError(400, "rest_invalid_param", message, params={name: f"{name} is out of bounds"})
    return int(text)


def _kept(call: Call) -> dict[str, str]:
    return {name: value for name, value in call.query.items() if not name.startswith("consumer_")}


def _body(call: Call) -> dict[str, Any]:
    try:
        found = dict(call.form) if call.form is not None else orjson.loads(call.body or b"{}")
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise WooError(400, "rest_invalid_json", "Invalid JSON body passed.")
    return found


def _invalid_id(kind: str) -> WooError:
    return WooError(404, f"woocommerce_rest_{kind}_invalid_id", "Invalid ID.")


def _no_route() -> WooError:
    return WooError(404, "rest_no_route", "No route was found matching the URL and request method.")


def _setting(shop: Shop, parts: list[str]) -> Reply:
    """`GET /settings/{group}` and `/settings/{group}/{id}`."""
    groups = {
        "general": {
            "woocommerce_currency": shop.currency,
            "woocommerce_default_country": shop.country,
            "woocommerce_calc_taxes": "yes",
            "woocommerce_price_num_decimals": "2",
        },
        "tax": {"woocommerce_prices_include_tax": "yes" if shop.taxes_included else "no"},
    }
    values = groups.get(parts[0] if parts else "")
    if values is None:
        message = "Invalid setting group."
        raise WooError(404, "rest_setting_setting_group_invalid", message)
    rows = [
        {"id": name, "label": name, "description": "", "type": "text", "default": "", "value": value}
        for name, value in values.items()
    ]
    if len(parts) == 1:
        return Reply(200, rows)
    one = next((row for row in rows if row["id"] == parts[1]), None)
    if one is None:
        raise WooError(404, "rest_setting_setting_invalid", "Invalid setting.")
    return Reply(200, one)


def _system_status(shop: Shop) -> dict[str, Any]:
    return {
        "environment": {
            "home_url": shop.storefront_url,
            "site_url": shop.storefront_url,
            "version": "10.3.0",
            "wp_version": "6.8",
            "default_timezone": "UTC",
        },
        "settings": {
            "api_enabled": False,
            "force_ssl": True,
            "currency": shop.currency,
            "currency_symbol": shop.currency,
            "currency_position": "left",
            "thousand_separator": ",",
            "decimal_separator": ".",
            "number_of_decimals": 2,
        },
        "active_plugins": [],
    }
