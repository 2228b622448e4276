"""Shopify's `ShopSource`: the shop, its whole catalog by bulk operation, single products, changes, subscriptions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from vitrin.kit.http_client import PlatformHttp
from vitrin.platforms.base import ChannelMisconfigured, FailureKind, PlatformFailure
from vitrin.platforms.oauth import VISIBLE
from vitrin.platforms.shop import (
    LoadPage,
    LoadState,
    OrderPage,
    ShopInfo,
    ShopLocation,
    ShopOrder,
    ShopProduct,
    ShopSource,
    StockLevel,
    Subscription,
)
from vitrin.platforms.shop_bodies import Part
from vitrin.platforms.shop_calls import UNREADABLE, a_few_at_once, load_gone, readable
from vitrin.platforms.shopify import graph, queries, rules
from vitrin.platforms.shopify.bulk import cut
from vitrin.platforms.shopify.calls import WINDOW_MAX_BYTES, ShopifyCalls, refused
from vitrin.platforms.shopify.rules import (
    CONCURRENCY_MAX,
    LISTED_PAGE,
    PAGES_MAX,
    SHOP_ID,
    TOPICS,
    external_id_problem,
)

TITLE: Final = "Shopify"
WINDOW_BYTES: Final = 4 * 1024 * 1024
"""Of a bulk result in one page, about 8,000 variants; doubled as long as it does not hold one whole product."""
ENDED: Final = frozenset({"FAILED", "CANCELED", "CANCELING", "EXPIRED"})
UNDERWAY: Final = frozenset({"CREATED", "RUNNING"})
GRAPHQL_TOPICS: Final = {topic.upper().replace("/", "_"): topic for topic in TOPICS}
BULK_WAIT_S: Final = 60.0


@dataclass(slots=True, kw_only=True)
class ShopifyShop:
    calls: ShopifyCalls
    _currency: str = field(default="", init=False)

    async def info(self) -> ShopInfo:
        answer = await self.calls.ask(queries.SHOP)
        with readable(TITLE):
            shop = answer.part("shop")
            self._currency = shop.text("currencyCode")
            return ShopInfo(
                shop_id=shop.id(),
                name=shop.text("name"),
                address=shop.text("myshopifyDomain"),
                storefront_url=shop.part("primaryDomain").text("url").rstrip("/"),
                currency=self._currency,
                country=shop.part("billingAddress").text("countryCodeV2"),
                time_zone=shop.text("ianaTimezone"),
                taxes_included=shop.flag("taxesIncluded"),
            )

    async def _prices_in(self) -> str:
        """The currency of prices, which products do not name: asked once."""
        return self._currency or (await self.info()).currency

    async def locations(self) -> list[ShopLocation]:
        with readable(TITLE):
            return [
                ShopLocation(part.id(), part.text("name"), part.flag("isActive"))
                for part in await self._all(queries.LOCATIONS, "locations")
            ]

    async def start_load(self) -> LoadState:
        running = await self._running()
        if running is not None:
            return running
        answer = await self.calls.ask(queries.BULK_RUN, {"query": queries.BULK}, safe=False)
        with readable(TITLE):
            payload = answer.part("bulkOperationRunQuery")
            refusal = refused(payload)
            if refusal is None:
                return _state(payload.part("bulkOperation"))
        if "IN_PROGRESS" in refusal.platform_code or "already" in refusal.message.lower():
            running = await self._running()
            if running is not None:
                return running
            raise PlatformFailure(
                FailureKind.THROTTLED,
                code="load_busy",
                message=refusal.message,
                fix="Another bulk operation of this app runs at the shop; Vitrin waits for it.",
                retry_after_s=BULK_WAIT_S,
            )
        raise refusal

    async def _running(self) -> LoadState | None:
        """Ours, told by its query: an own app of the brand may run others."""
        answer = await self.calls.ask(queries.BULK_CURRENT)
        with readable(TITLE):
            current = answer.part("currentBulkOperation")
            ours = current.text("query").split() == queries.BULK.split()
            return _state(current) if ours and current.text("status") in UNDERWAY else None

    async def load_state(self, handle: str) -> LoadState:
        with readable(TITLE):
            return _state(await self._operation(handle))

    async def _operation(self, handle: str) -> Part:
        answer = await self.calls.ask(queries.BULK_STATE, {"id": f"gid://shopify/BulkOperation/{handle}"})
        node = answer.part("node")
        if not node.has("id") or node.text("status") == "EXPIRED":
            raise load_gone(TITLE)
        return node

    async def load_page(self, handle: str, cursor: str | None) -> LoadPage:
        currency = await self._prices_in()
        start = _position(cursor)
        with readable(TITLE):
            operation = await self._operation(handle)
            at, url = operation.moment("createdAt"), operation.text("url")
            if operation.text("status") != "COMPLETED":
                raise load_gone(TITLE)
            if not url:
                # Shopify writes no file for nothing.
                return LoadPage(products=(), levels=(), cursor=None, at=at)
            size_bytes = WINDOW_BYTES
            while True:
                window, at_end = await self.calls.window(url, start, size_bytes)
                found = cut(window, at_end=at_end, currency=currency)
                if at_end or found.used_bytes:
                    break
                size_bytes *= 2
                if size_bytes > WINDOW_MAX_BYTES:
                    raise operation.wrong("url", f"one product of more than {WINDOW_MAX_BYTES // 2} bytes")
        return LoadPage(
            products=found.products,
            levels=found.levels,
            cursor=None if at_end else str(start + found.used_bytes),
            at=at,
            unreadable=found.unreadable,
        )

    async def product(self, product_id: str) -> tuple[ShopProduct, tuple[StockLevel, ...]] | None:
        currency = await self._prices_in()
        gid = f"gid://shopify/Product/{product_id}"
        first: Part | None = None
        variants: list[Part] = []
        with readable(TITLE):
            after: str | None = None
            for _ in range(PAGES_MAX):
                body = (await self.calls.ask(queries.PRODUCT, {"id": gid, "after": after})).part("product")
                if not body.has("id"):
                    return None
                # What was read first is the oldest that is known: its moment stands for all pages.
                first = first or body
                variants += body.part("variants").parts("nodes")
                after = _after(body.part("variants"))
                if after is None:
                    break
            else:
                raise body.wrong("variants", f"more than {PAGES_MAX} pages")
            levels: list[StockLevel] = []
            for variant in variants:
                levels += await self._levels(variant.part("inventoryItem"))
            media = list(first.part("media").parts("nodes"))
            return graph.product(first, variants, media, currency=currency), tuple(levels)

    async def _levels(self, item: Part) -> list[StockLevel]:
        held = item.part("inventoryLevels")
        found = [graph.level(part) for part in held.parts("nodes")]
        after = _after(held)
        if after is not None:
            gid = f"gid://shopify/InventoryItem/{item.id()}"
            rest = await self._all(queries.LEVELS, "inventoryItem", "inventoryLevels", after=after, id=gid)
            found += [graph.level(part) for part in rest]
        return found

    async def products_since(self, since: datetime, cursor: str | None) -> LoadPage:
        """`at`: of the oldest change of the page, which every product of it has seen."""
        await self._prices_in()
        with readable(TITLE):
            ids, moments, after = await self._changed(queries.PRODUCTS_SINCE, "products", since, cursor)
        unreadable: dict[str, str] = {}

        async def read(product_id: str) -> tuple[ShopProduct, tuple[StockLevel, ...]] | None:
            try:
                return await self.product(product_id)
            except PlatformFailure as failure:
                if failure.code != UNREADABLE:
                    raise
                unreadable[product_id] = failure.message
                return None

        found = await a_few_at_once(read, ids, concurrency_max=CONCURRENCY_MAX)
        known = [one for one in found if one is not None]
        return LoadPage(
            products=tuple(product for product, _ in known),
            levels=tuple(level for _, levels in known for level in levels),
            cursor=after,
            at=min(moments, default=since),
            unreadable=unreadable,
        )

    async def orders_since(self, since: datetime, cursor: str | None) -> OrderPage:
        with readable(TITLE):
            ids, _, after = await self._changed(queries.ORDERS_SINCE, "orders", since, cursor)
        unreadable: dict[str, str] = {}

        async def read(order_id: str) -> ShopOrder | None:
            try:
                return await self._order(order_id)
            except PlatformFailure as failure:
                if failure.code != UNREADABLE:
                    raise
                unreadable[order_id] = failure.message
                return None

        found = await a_few_at_once(read, ids, concurrency_max=CONCURRENCY_MAX)
        orders = tuple(one for one in found if one is not None)
        return OrderPage(orders=orders, cursor=after, unreadable=unreadable)

    async def _changed(
        self, query: str, name: str, since: datetime, cursor: str | None
    ) -> tuple[list[str], list[datetime], str | None]:
        wanted = f"updated_at:>='{since.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}'"
        answer = await self.calls.ask(query, {"query": wanted, "first": LISTED_PAGE, "after": cursor})
        page = answer.part(name)
        rows = list(page.parts("nodes"))
        return [row.id() for row in rows], [row.moment("updatedAt") for row in rows], _after(page)

    async def _order(self, order_id: str) -> ShopOrder | None:
        gid = f"gid://shopify/Order/{order_id}"
        first: Part | None = None
        lines: list[Part] = []
        after: str | None = None
        with readable(TITLE):
            for _ in range(PAGES_MAX):
                body = (await self.calls.ask(queries.ORDER, {"id": gid, "after": after})).part("order")
                if not body.has("id"):
                    return None
                first = first or body
                lines += body.part("lineItems").parts("nodes")
                after = _after(body.part("lineItems"))
                if after is None:
                    return graph.order(first, lines)
            raise body.wrong("lineItems", f"more than {PAGES_MAX} pages")

    async def subscriptions(self) -> list[Subscription]:
        with readable(TITLE):
            found = await self._all(queries.SUBSCRIPTIONS, "webhookSubscriptions")
            return [_subscription(part) for part in found]

    async def subscribe(self, topic: str, address: str, secret: str) -> Subscription:
        """Shopify signs with the app's secret: `secret` is not sent. The address is taken for a topic only once."""
        asked = topic.upper().replace("/", "_")
        answer = await self.calls.ask(queries.SUBSCRIBE, {"topic": asked, "uri": address}, safe=False)
        with readable(TITLE):
            payload = answer.part("webhookSubscriptionCreate")
            refusal = refused(payload)
            if refusal is None:
                return _subscription(payload.part("webhookSubscription"))
        if "taken" in refusal.message.lower():
            there = [
                one for one in await self.subscriptions() if one.topic == topic and one.address == address
            ]
            if there:
                return there[0]
        raise refusal

    async def unsubscribe(self, subscription_id: str) -> None:
        gid = f"gid://shopify/WebhookSubscription/{subscription_id}"
        answer = await self.calls.ask(queries.UNSUBSCRIBE, {"id": gid}, safe=False)
        with readable(TITLE):
            refusal = refused(answer.part("webhookSubscriptionDelete"))
        gone = refusal is not None and any(
            words in refusal.message.lower() for words in ("not exist", "not found", "could not find")
        )
        if refusal is not None and not gone:
            raise refusal

    async def _all(self, query: str, *path: str, after: str | None = None, **variables: object) -> list[Part]:
        """The nodes of all pages of one connection."""
        found: list[Part] = []
        for _ in range(PAGES_MAX):
            page = await self.calls.ask(query, {**variables, "after": after})
            for name in path:
                page = page.part(name)
            found += page.parts("nodes")
            after = _after(page)
            if after is None:
                return found
        raise page.wrong("nodes", f"more than {PAGES_MAX} pages")


def _after(connection: Part) -> str | None:
    page = connection.part("pageInfo")
    if not page.flag("hasNextPage"):
        return None
    after = page.text("endCursor")
    if not after:
        raise page.wrong("endCursor", "missing")
    return after


def _state(operation: Part) -> LoadState:
    status = operation.text("status")
    handle, objects = operation.id(), _count(operation)
    if status == "COMPLETED":
        return LoadState(handle=handle, state="ready", objects=objects)
    if status in ENDED:
        words = operation.text("errorCode") or status
        return LoadState(handle=handle, state="failed", objects=objects, failure=words)
    return LoadState(handle=handle, state="running", objects=objects)


def _count(operation: Part) -> int:
    """Written as text: it may be larger than JavaScript's numbers."""
    written = operation.text("objectCount")
    return int(written) if written.isascii() and written.isdigit() else 0


def _position(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdigit():
        raise load_gone(TITLE)
    return int(cursor)


def _subscription(part: Part) -> Subscription:
    topic = part.text("topic")
    return Subscription(
        subscription_id=part.id(),
        topic=GRAPHQL_TOPICS.get(topic, topic.lower()),
        address=part.text("uri"),
    )


def open_shop(
    *,
    http: PlatformHttp,
    access_token: str,
    external_ids: Mapping[str, str],
    base_url: str | None = None,
    brand: str = "",
) -> ShopSource:
    problem = external_id_problem(SHOP_ID, external_ids.get(SHOP_ID, ""))
    if problem is not None:
        raise ChannelMisconfigured(
            "external_id_invalid",
            field=f"external_ids.{SHOP_ID}",
            message="This is no domain of a Shopify shop.",
            fix=problem,
        )
    if not VISIBLE.fullmatch(access_token):
        raise ChannelMisconfigured(
            "token_invalid",
            field="access_token",
            message="This is no Admin API access token.",
            fix="Copy the token again, without spaces.",
        )
    calls = ShopifyCalls(
        http=http,
        base_url=(base_url or rules.base_url(external_ids)).rstrip("/"),
        shop=external_ids[SHOP_ID],
        access_token=access_token,
        brand=brand,
    )
    return ShopifyShop(calls=calls)
