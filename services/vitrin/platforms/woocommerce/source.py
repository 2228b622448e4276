"""WooCommerce's `ShopSource` over REST v3.

Whole lists are read in the order of ids, which never change: what is made meanwhile comes at the end. Deletions move
the rest forward, so every page begins with the last row that was read; where that row is not there any more, the page
is read further ahead (`_behind`). Changes are read by their moment: the cursor is the last one that was seen, and what
bears the same second is read twice rather than missed.
"""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from vitrin.kit.http_client import Call, PlatformHttp
from vitrin.platforms.base import ChannelMisconfigured, FailureKind, PlatformFailure
from vitrin.platforms.calling import replied
from vitrin.platforms.shop import (
    BodyInvalid,
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
from vitrin.platforms.shop_calls import a_few_at_once, load_gone, readable
from vitrin.platforms.woocommerce import orders, products, rules
from vitrin.platforms.woocommerce.errors import NO_SUCH, classify

TITLE: Final = "WooCommerce"
SETTINGS: Final = "settings/general"
_HANDLE: Final = re.compile(r"[0-9T:-]{19}Z")
_PLACE: Final = re.compile(r"([0-9]{1,20}):([0-9]{1,9})")
_SINCE: Final = re.compile(r"([0-9T:-]{19})Z:([0-9]{1,6})")
SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows or the object, how many there are in all (0: not said), and the store's clock."""

    body: Any
    total: int
    at: datetime | None

    def rows(self) -> list[Part]:
        if not isinstance(self.body, list):
            raise BodyInvalid("$: no list")
        return list(Part({"rows": self.body}, "$").parts("rows"))

    def object(self) -> Part:
        if not isinstance(self.body, dict):
            raise BodyInvalid("$: no object")
        return Part(self.body, "$")


@dataclass(slots=True, kw_only=True)
class WooShop:
    http: PlatformHttp
    base_url: str
    store: str
    key: str = field(repr=False)
    brand: str = ""
    _currency: str = field(default="", init=False)

    async def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: object | None = None,
    ) -> Answer:
        """Keys travel in a header: in the query, which WooCommerce takes too, they would be logged."""
        call = Call(
            platform=rules.NAME,
            account=self.store,
            rate=rules.REST,
            method=method,
            url=f"{self.base_url}{rules.API_PATH}/{path}",
            safe=method == "GET",
            brand=self.brand,
            concurrency_max=rules.CONCURRENCY_MAX,
            params=params or {},
            headers={
                "authorization": f"Basic {b64encode(self.key.encode()).decode()}",
                "content-type": "application/json",
            },
            content=None if body is None else orjson.dumps(body),
        )
        reply = await replied(self.http, call, classify=classify)
        total = reply.headers.get("x-wp-total", "")
        return Answer(
            reply.json(),
            int(total) if total.isascii() and total.isdigit() else 0,
            _date(reply.headers.get("date", "")),
        )

    async def info(self) -> ShopInfo:
        """From the general settings: the system's status, which names more, also lists plugins and takes seconds."""
        rows = (await self._call("GET", SETTINGS)).rows
        with readable(TITLE):
            said = {part.text("id"): part for part in rows()}
            self._currency = _setting(said, "woocommerce_currency")
            if not self._currency:
                raise BodyInvalid("$: no woocommerce_currency")
            country = _setting(said, "woocommerce_default_country")
            taxes = _setting(said, "woocommerce_calc_taxes") == "yes"
            included = taxes and await self._prices_include_tax()
        return ShopInfo(
            shop_id=self.store,
            name=urlsplit(self.store).netloc,
            address=self.store,
            storefront_url=self.store,
            currency=self._currency,
            country=country.partition(":")[0],
            taxes_included=included,
        )

    async def _prices_include_tax(self) -> bool:
        setting = (await self._call("GET", "settings/tax/woocommerce_prices_include_tax")).object()
        return setting.text("value") == "yes"

    async def _prices_in(self) -> str:
        return self._currency or (await self.info()).currency

    async def locations(self) -> list[ShopLocation]:
        return []

    async def start_load(self) -> LoadState:
        """Nothing runs at the store: the handle is its clock's moment, before which nothing of the load was read."""
        answer = await self._first()
        at = (answer.at or datetime.now(UTC)).replace(microsecond=0)
        return LoadState(handle=_text(at), state="ready", objects=answer.total)

    async def load_state(self, handle: str) -> LoadState:
        """Ready from the beginning; products as many as there are now, variations not counted."""
        _moment_of(handle)
        return LoadState(handle=handle, state="ready", objects=(await self._first()).total)

    async def _first(self) -> Answer:
        """What says how many products there are."""
        return await self._call("GET", "products", {"per_page": "1", "orderby": "id", "order": "asc"})

    async def load_page(self, handle: str, cursor: str | None) -> LoadPage:
        at, currency = _moment_of(handle), await self._prices_in()
        last, position = _place_of(cursor)
        with readable(TITLE):
            rows, position = await self._behind("products", last, position, rules.LOAD_PAGE)
            found, unreadable = await self._whole(rows, currency)
            after = f"{_number(rows[-1])}:{position}" if rows else None
        return LoadPage(products=tuple(found), levels=(), cursor=after, at=at, unreadable=unreadable)

    async def _behind(self, path: str, last: int, position: int, size: int) -> tuple[list[Part], int]:
        """The next rows with ids above `last`, `position` of which lay before when it was read; none at the end."""
        while True:
            start = max(0, position - 1)
            params = {"orderby": "id", "order": "asc", "per_page": str(size), "offset": str(start)}
            rows = (await self._call("GET", path, params)).rows()
            if start == 0 or (rows and _number(rows[0]) <= last):
                fresh = [row for row in rows if _number(row) > last]
                if fresh or len(rows) < size:
                    return fresh, start + len(rows)
                # More came before than was known: the whole page had been read.
                position = start + len(rows) + 1
            else:
                position = max(0, start - size + 1)

    async def _whole(self, rows: Sequence[Part], currency: str) -> tuple[list[ShopProduct], dict[str, str]]:
        """Those that are still there, and where the others are not as documented, by id."""
        variable = {row.id() for row in rows if products.is_variable(row)}
        held = await a_few_at_once(self._variations, sorted(variable), concurrency_max=rules.CONCURRENCY_MAX)
        by_product = dict(zip(sorted(variable), held, strict=True))
        found: list[ShopProduct] = []
        unreadable: dict[str, str] = {}
        for row in rows:
            variations = by_product.get(row.id(), [])
            if variations is None:
                # It went away between its row and its variations.
                continue
            try:
                found.append(products.product(row, variations, currency=currency))
            except BodyInvalid as error:
                unreadable[row.id()] = str(error)
        return found, unreadable

    async def _variations(self, product_id: str) -> list[Part] | None:
        """All, the switched-off ones too; None: the product is gone."""
        found: list[Part] = []
        last = position = 0
        try:
            for _ in range(rules.PAGES_MAX):
                path = f"products/{product_id}/variations"
                rows, position = await self._behind(path, last, position, rules.PAGE_MAX)
                if not rows:
                    break
                found += rows
                last = _number(rows[-1])
                if len(rows) < rules.PAGE_MAX - 1:
                    break
        except PlatformFailure as failure:
            if failure.code != NO_SUCH:
                raise
            return None
        return found

    async def product(self, product_id: str) -> tuple[ShopProduct, tuple[StockLevel, ...]] | None:
        currency = await self._prices_in()
        try:
            answer = await self._call("GET", f"products/{product_id}")
        except PlatformFailure as failure:
            if failure.code != NO_SUCH:
                raise
            return None
        with readable(TITLE):
            body = answer.object()
            if products.parent_of(body) or body.text("status") == "trash":
                return None
            found, unreadable = await self._whole([body], currency)
            if unreadable:
                raise BodyInvalid(unreadable[body.id()])
        return (found[0], ()) if found else None

    async def products_since(self, since: datetime, cursor: str | None) -> LoadPage:
        """`at`: of the oldest change of the page. A change of a variation alone need not move its product's moment."""
        currency = await self._prices_in()
        with readable(TITLE):
            rows, after = await self._changed("products", since, cursor, rules.LOAD_PAGE)
            moments = [products.updated_at(row) for row in rows]
            found, unreadable = await self._whole(rows, currency)
        return LoadPage(
            products=tuple(found),
            levels=(),
            cursor=after,
            at=min(moments, default=since),
            unreadable=unreadable,
        )

    async def orders_since(self, since: datetime, cursor: str | None) -> OrderPage:
        found: list[ShopOrder] = []
        unreadable: dict[str, str] = {}
        with readable(TITLE):
            rows, after = await self._changed("orders", since, cursor, rules.PAGE_MAX)
            for row in rows:
                try:
                    found.append(orders.order(row))
                except BodyInvalid as error:
                    unreadable[row.id()] = str(error)
        return OrderPage(orders=tuple(found), cursor=after, unreadable=unreadable)

    async def _changed(
        self, path: str, since: datetime, cursor: str | None, size: int
    ) -> tuple[list[Part], str | None]:
        """`modified_after` leaves out its own second, so the one before is asked for."""
        start, page = _since_of(cursor) if cursor is not None else (since.astimezone(UTC), 1)
        params = {
            "modified_after": (start - SECOND).strftime("%Y-%m-%dT%H:%M:%S"),
            "dates_are_gmt": "true",
            "orderby": "modified",
            "order": "asc",
            "per_page": str(size),
            "page": str(page),
        }
        rows = (await self._call("GET", path, params)).rows()
        if len(rows) < size:
            return rows, None
        newest = _newest(rows) or start
        moved_on = newest > start.replace(microsecond=0)
        return rows, f"{_text(newest)}:1" if moved_on else f"{_text(start)}:{page + 1}"

    async def subscriptions(self) -> list[Subscription]:
        """Of the whole store: WooCommerce does not say whose a webhook is."""
        found: list[Subscription] = []
        for page in range(1, rules.PAGES_MAX + 1):
            params = {"per_page": str(rules.PAGE_MAX), "page": str(page), "orderby": "id", "order": "asc"}
            rows = (await self._call("GET", "webhooks", params)).rows
            with readable(TITLE):
                found += [_subscription(part) for part in rows()]
            if len(found) < page * rules.PAGE_MAX:
                break
        return found

    async def subscribe(self, topic: str, address: str, secret: str) -> Subscription:
        wanted = {
            "name": f"Vitrin {topic}",
            "topic": topic,
            "delivery_url": address,
            "secret": secret,
            "status": "active",
        }
        answer = await self._call("POST", "webhooks", body=wanted)
        with readable(TITLE):
            return _subscription(answer.object())

    async def unsubscribe(self, subscription_id: str) -> None:
        try:
            await self._call("DELETE", f"webhooks/{subscription_id}", {"force": "true"})
        except PlatformFailure as failure:
            if failure.code != NO_SUCH:
                raise


def _subscription(part: Part) -> Subscription:
    return Subscription(
        subscription_id=part.id(),
        topic=part.text("topic"),
        address=part.text("delivery_url"),
        active=part.text("status") == "active",
    )


def _setting(said: Mapping[str, Part], name: str) -> str:
    return said[name].text("value") if name in said else ""


def _number(row: Part) -> int:
    return int(row.id())


def _date(text: str) -> datetime | None:
    try:
        read = parsedate_to_datetime(text)
        return read.astimezone(UTC) if read.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment_of(handle: str) -> datetime:
    if not _HANDLE.fullmatch(handle):
        raise load_gone(TITLE)
    try:
        return datetime.fromisoformat(handle)
    except ValueError:
        raise load_gone(TITLE) from None


def _place_of(cursor: str | None) -> tuple[int, int]:
    found = _PLACE.fullmatch(cursor or "0:0")
    if found is None:
        raise load_gone(TITLE)
    return int(found[1]), int(found[2])


def _newest(rows: Sequence[Part]) -> datetime | None:
    """The moment of the last row that has one: a row that is not as documented stops nothing."""
    for row in reversed(rows):
        try:
            return products.updated_at(row)
        except BodyInvalid:
            continue
    return None


def _since_of(cursor: str) -> tuple[datetime, int]:
    found = _SINCE.fullmatch(cursor)
    try:
        if found is not None:
            return datetime.fromisoformat(f"{found[1]}+00:00"), int(found[2])
    except ValueError:
        pass
    raise PlatformFailure(
        FailureKind.INVALID_REQUEST, code="cursor_invalid", message="This is no cursor of changes."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def open_shop(
    *,
    http: PlatformHttp,
    access_token: str,
    external_ids: Mapping[str, str],
    base_url: str | None = None,
    brand: str = "",
) -> ShopSource:
    store = external_ids.get(rules.STORE, "")
    problem = rules.external_id_problem(rules.STORE, store)
    if problem is not None:
        raise ChannelMisconfigured(
            "external_id_invalid",
            field=f"external_ids.{rules.STORE}",
            message="This is no address of a store.",
            fix=problem,
        )
    if not rules.is_key(access_token):
        raise ChannelMisconfigured(
            "token_invalid",
            field="access_token",
            message="The token is the store's REST API key and secret with a colon between.",
            fix="Write ck_...:cs_..., as WooCommerce showed them.",
        )
    where = (base_url or rules.base_url(external_ids)).rstrip("/")
    parts = urlsplit(where)
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise ChannelMisconfigured(
            "base_url_invalid",
            field="base_url",
            message="Keys travel by https only; http is for a sandbox on this machine.",
            fix="Use https.",
        )
    return WooShop(http=http, base_url=where, store=store, key=access_token, brand=brand)
