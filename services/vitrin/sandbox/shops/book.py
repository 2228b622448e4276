"""All shops of one sandbox, the apps that may ask them, and the webhooks that they sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from secrets import token_hex
from typing import Any, Protocol

import orjson

from vitrin.sandbox.changes import Changes
from vitrin.sandbox.grants import GrantBook
from vitrin.sandbox.shops.happened import Happened
from vitrin.sandbox.shops.model import (
    FIRST_ID,
    IDS_PER_SHOP,
    Access,
    Kind,
    Location,
    Shop,
    Subscription,
)
from vitrin.sandbox.shops.outbox import Delivery, Outbox

SCOPES = (
    "read_products",
    "read_inventory",
    "read_locations",
    "read_orders",
    "read_all_orders",
    "read_customers",
    "write_products",
    "write_inventory",
    "write_orders",
)
"""Those that the stand-in knows of Shopify's."""


class Teller(Protocol):
    """What one kind of shop says of an event, to whom."""

    def bodies(self, shop: Shop, event: Happened) -> Iterable[tuple[str, Any]]:
        """Topics with what their body holds."""
        ...

    def headers(
        self, shop: Shop, to: Subscription, event: Happened, body: bytes, *, secret: str, event_id: str
    ) -> dict[str, str]:
        """The headers of a delivery, signed."""
        ...


@dataclass(slots=True)
class ShopBook:
    """The shops by kind and host."""

    changes: Changes
    grants: GrantBook
    now_ms: Callable[[], int]
    outbox: Outbox
    tellers: dict[Kind, Teller] = field(default_factory=dict)
    shops: dict[tuple[Kind, str], Shop] = field(default_factory=dict)
    privacy: dict[str, str] = field(default_factory=dict)
    """Where an app wants the privacy topics, which are set at the app and not per shop."""

    def find(self, kind: Kind, host: str) -> Shop | None:
        """By its host, whatever the case."""
        return self.shops.get((kind, host.lower()))

    def open(
        self,
        kind: Kind,
        host: str,
        *,
        currency: str = "EUR",
        country: str = "DE",
        time_zone: str = "Europe/Berlin",
        name: str = "",
        locations: Sequence[str] = ("Main",),
    ) -> Shop:
        """A fresh shop with one access of its own: a custom app's token or a pair of keys."""
        number = 1 + max((one.number for one in self.shops.values()), default=0)
        shop = Shop(
            kind=kind,
            host=host.lower(),
            number=number,
            name=name or host.split(".", maxsplit=1)[0].title(),
            currency=currency,
            country=country,
            time_zone=time_zone,
            created_ms=self.now_ms(),
            next_id=FIRST_ID + number * IDS_PER_SHOP,
        )
        for title in locations:
            location_id = shop.new_id()
            shop.locations[location_id] = Location(location_id, title, country)
        self.shops[kind, shop.host] = shop
        self._own_access(shop)
        self.changes.note()
        return shop

    def _own_access(self, shop: Shop) -> None:
        word = blake2b(f"{shop.kind}/{shop.host}".encode(), digest_size=16).hexdigest()
        if shop.kind == "shopify":
            app_id = f"{word[:24]}{shop.number:08x}"
            self.grants.register("shopify", app_id, f"shpss_{word}")
            access = Access(f"shpat_{word}", app_id, SCOPES)
        else:
            access = Access(f"ck_{word}{'0' * 8}:cs_{word[::-1]}{'0' * 8}", "", ("read_write",))
        shop.accesses[access.token] = access

    def give_access(
        self, shop: Shop, app_id: str, scopes: tuple[str, ...], *, lives_ms: tuple[int, int] | None = None
    ) -> Access:
        """A token by consent. One that does not end is the same when the app is consented to again, with its new
        scopes; one that ends (`lives_ms`: of the token and of its refresh token) takes the place of the one before."""
        for known in list(shop.accesses.values()):
            if known.app_id == app_id and not known.removed:
                if lives_ms is None and known.ends_ms is None:
                    known.scopes = scopes
                    self.changes.note()
                    return known
                if known.ends_ms is not None:
                    del shop.accesses[known.token]
        access = Access(f"shpat_{token_hex(16)}", app_id, scopes)
        if lives_ms is not None:
            access.ends_ms = self.now_ms() + lives_ms[0]
            access.refresh, access.refresh_ends_ms = f"shprt_{token_hex(16)}", self.now_ms() + lives_ms[1]
        shop.accesses[access.token] = access
        self.changes.note()
        return access

    def tell(self, shop: Shop, events: Iterable[Happened]) -> list[Delivery]:
        """What happened goes to everybody who asked for it. The deliveries, to be sent by the outbox."""
        made: list[Delivery] = []
        teller = self.tellers[shop.kind]
        for event in events:
            # One event has one id, however many ask for it; each delivery has its own.
            event_id = token_hex(16)
            for topic, content in teller.bodies(shop, event):
                wanted = self._wanting(shop, topic, event)
                body = orjson.dumps(content) if wanted else b""
                for to in wanted:
                    headers = teller.headers(
                        shop, to, event, body, secret=self.secret(shop, to), event_id=event_id
                    )
                    made += self.outbox.take(shop, to, topic, body, headers, now_ms=self.now_ms())
        self.changes.note()
        return made

    def uninstall(self, shop: Shop, app_id: str, *, now_ms: int) -> list[Delivery]:
        """The app is gone: its tokens are dead and its webhooks end, with the news of that as the last one."""
        for access in shop.accesses.values():
            if access.app_id == app_id:
                access.removed = True
        sent = self.tell(shop, [Happened(what="uninstalled", at_ms=now_ms, app_id=app_id)])
        for one in [one for one in shop.subscriptions.values() if one.app_id == app_id]:
            del shop.subscriptions[one.id]
        for operation in shop.bulk.values():
            if operation.app_id == app_id and operation.status in ("CREATED", "RUNNING"):
                operation.status = "CANCELED"
        return sent

    def secret(self, shop: Shop, to: Subscription) -> str:
        """What signs: the subscription's own secret, else the app's."""
        return to.secret or self.grants.app_secret(shop.kind, to.app_id) or ""

    def _wanting(self, shop: Shop, topic: str, event: Happened) -> list[Subscription]:
        app_level = self.privacy.get(event.app_id)
        if event.what in ("data_request", "customer_redact", "shop_redact"):
            if app_level is None:
                return []
            return [Subscription(0, event.app_id, topic, app_level, event.at_ms, event.at_ms)]
        return [
            one
            for one in shop.subscriptions.values()
            if one.topic == topic
            and one.status == "active"
            and (not event.app_id or one.app_id == event.app_id)
        ]
