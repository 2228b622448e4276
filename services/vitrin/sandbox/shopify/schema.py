"""The schema, and who answers its root fields. Values are dictionaries (see `nodes`); graphql-core does the rest."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo, GraphQLSchema, build_schema

from vitrin.sandbox.shopify.bulk import Bulk
from vitrin.sandbox.shopify.nodes import Goods
from vitrin.sandbox.shopify.order_nodes import Sales
from vitrin.sandbox.shopify.shop_nodes import installation, shop_node
from vitrin.sandbox.shopify.texts import gid, number_of
from vitrin.sandbox.shopify.topics import TOPICS
from vitrin.sandbox.shopify.webhooks import Webhooks
from vitrin.sandbox.shops.model import Access, Shop

CURRENCIES = (
    "AUD BRL CAD CHF CNY CZK DKK EUR GBP HUF ILS INR JPY KRW MXN NOK NZD PLN RON SEK SGD TRY UAH USD ZAR"
)
COUNTRIES = (
    "AT AU BE BG BR CA CH CN CZ DE DK EE ES FI FR GB GR HR HU IE IL IN IS IT JP KR LT LU LV MX NL NO NZ PL PT RO SE SG"
    " SI SK TR UA US ZA"
)
"""Of the real lists those that the stand-in's shops may have."""

NEEDS: dict[str, str] = {
    "product": "read_products",
    "productVariant": "read_products",
    "products": "read_products",
    "productsCount": "read_products",
    "productVariants": "read_products",
    "inventoryItem": "read_inventory",
    "inventoryLevel": "read_inventory",
    "location": "read_locations",
    "locations": "read_locations",
    "order": "read_orders",
    "orders": "read_orders",
    "ordersCount": "read_orders",
}
"""The scope of each root field; nested fields are guarded by `NESTED`."""
NESTED: dict[tuple[str, str], str] = {
    ("ProductVariant", "inventoryItem"): "read_inventory",
    ("InventoryItem", "inventoryLevels"): "read_inventory",
    ("InventoryItem", "inventoryLevel"): "read_inventory",
    ("InventoryLevel", "location"): "read_locations",
    ("Order", "customer"): "read_customers",
    ("LineItem", "product"): "read_products",
    ("LineItem", "variant"): "read_products",
}


@cache
def schema() -> GraphQLSchema:
    """Built once."""
    text = files("vitrin.sandbox.shopify").joinpath("schema.graphql").read_text()
    text = text.replace("enum CurrencyCode { CURRENCIES }", f"enum CurrencyCode {{ {CURRENCIES} }}")
    text = text.replace("enum CountryCode { COUNTRIES }", f"enum CountryCode {{ {COUNTRIES} }}")
    text = text.replace(
        "enum WebhookSubscriptionTopic { TOPICS }", f"enum WebhookSubscriptionTopic {{ {' '.join(TOPICS)} }}"
    )
    return build_schema(text)


def may(access: Access, scope: str) -> bool:
    """Whether the token has it; write comes with read."""
    return scope in access.scopes or scope.replace("read_", "write_") in access.scopes


def guard(_next: Any, source: Any, info: GraphQLResolveInfo[Any], **args: Any) -> Any:
    """Middleware: refuses what the token may not read, in Shopify's words."""
    kind, name = info.parent_type.name, info.field_name
    scope = NEEDS.get(name) if kind == "QueryRoot" else NESTED.get((kind, name))
    if scope is not None and not may(info.context.access, scope):
        needed = f"`{scope}` access scope."
        raise GraphQLError(
            f"Access denied for {name} field. Required access: {needed}",
            extensions={
                "code": "ACCESS_DENIED",
                "documentation": "https://shopify.dev/api/usage/access-scopes",
                "requiredAccess": needed,
            },
        )
    return _next(source, info, **args)


class Root:
    """The root value of one request: its methods are called by graphql-core under the names of the fields."""

    def __init__(self, shop: Shop, access: Access, *, bulk: Bulk, webhooks: Webhooks, whole: bool) -> None:
        self.access = access
        self._shop = shop
        self._goods = Goods(shop, whole=whole)
        self._sales = Sales(self._goods)
        self._bulk = bulk
        self._webhooks = webhooks

    def value(self) -> dict[str, Any]:
        """Every root field."""
        shop, goods, bulk, hooks = self._shop, self._goods, self._bulk, self._webhooks
        return {
            "shop": lambda _info: shop_node(shop),
            "node": lambda _info, **args: self.node(args["id"]),
            "nodes": lambda _info, **args: [self.node(one) for one in args["ids"]],
            "product": lambda _info, **args: self._typed(args, "Product"),
            "productVariant": lambda _info, **args: self._typed(args, "ProductVariant"),
            "inventoryItem": lambda _info, **args: self._typed(args, "InventoryItem"),
            "inventoryLevel": lambda _info, **args: self._typed(args, "InventoryLevel"),
            "order": lambda _info, **args: self._typed(args, "Order"),
            "location": lambda _info, **args: self._location(args.get("id")),
            "products": lambda _info, **args: goods.products(args),
            "productsCount": lambda _info, **args: _count(
                goods.products({**args, "first": 0}), shop.products
            ),
            "productVariants": lambda _info, **args: goods.variants(args),
            "orders": lambda _info, **args: self._sales.orders(args),
            "ordersCount": lambda _info, **args: _count(
                self._sales.orders({**args, "first": 0}), shop.orders
            ),
            "locations": lambda _info, **args: goods.locations(args),
            "currentBulkOperation": lambda _info, **_args: bulk.current(),
            "bulkOperation": lambda _info, **args: bulk.by_gid(args["id"]),
            "bulkOperations": lambda _info, **args: bulk.listed(args),
            "webhookSubscription": lambda _info, **args: hooks.by_gid(args["id"]),
            "webhookSubscriptions": lambda _info, **args: hooks.listed(args),
            "currentAppInstallation": lambda _info: installation(shop, self.access),
            "bulkOperationRunQuery": lambda _info, **args: bulk.run(args["query"]),
            "bulkOperationCancel": lambda _info, **args: bulk.cancel(args["id"]),
            "webhookSubscriptionCreate": lambda _info, **args: hooks.create(
                args["topic"], args["webhookSubscription"]
            ),
            "webhookSubscriptionUpdate": lambda _info, **args: hooks.update(
                args["id"], args["webhookSubscription"]
            ),
            "webhookSubscriptionDelete": lambda _info, **args: hooks.delete(args["id"]),
        }

    def node(self, global_id: str) -> dict[str, Any] | None:
        """Anything by its id; what the token may not read is not there."""
        shop, goods = self._shop, self._goods
        if (number := number_of(global_id, "Product")) is not None:
            product = shop.products.get(number)
            return goods.product(product) if product is not None else None
        for kind, make in (("ProductVariant", goods.variant), ("InventoryItem", goods.item)):
            if (number := number_of(global_id, kind)) is not None:
                found = shop.find_variant(number)
                right = found is not None and number == (
                    found[1].id if kind == "ProductVariant" else found[1].inventory_item_id
                )
                return make(*found) if found is not None and right else None
        if number_of(global_id, "InventoryLevel") is not None:
            return self._level(global_id)
        if (number := number_of(global_id, "Order")) is not None:
            order = shop.orders.get(number)
            return self._sales.order(order) if order is not None else None
        if number_of(global_id, "Location") is not None:
            return self._location(global_id)
        if number_of(global_id, "BulkOperation") is not None:
            return self._bulk.by_gid(global_id)
        if number_of(global_id, "WebhookSubscription") is not None:
            return self._webhooks.by_gid(global_id)
        if global_id == gid("Shop", shop.number):
            return {"__typename": "Shop", **shop_node(shop)}
        raise GraphQLError(
            f"Invalid global id '{global_id}'", extensions={"code": "argumentLiteralsIncompatible"}
        )

    def _typed(self, args: dict[str, Any], kind: str) -> dict[str, Any] | None:
        if number_of(args["id"], kind) is None:
            raise GraphQLError(f"Invalid global id '{args['id']}'")
        return self.node(args["id"])

    def _level(self, global_id: str) -> dict[str, Any] | None:
        location = number_of(global_id, "InventoryLevel")
        item = global_id.partition("?inventory_item_id=")[2]
        found = self._shop.find_variant(int(item)) if item.isdecimal() else None
        for level in found[1].levels if found is not None else ():
            if found is not None and level.location_id == location:
                return self._goods.level(*found, level)
        return None

    def _location(self, global_id: str | None) -> dict[str, Any] | None:
        known = {one.id: one for one in self._shop.visible_locations()}
        number = next(iter(known)) if global_id is None else number_of(global_id, "Location")
        return self._goods.location(known[number]) if number in known else None


def _count(_checked: Any, things: Any) -> dict[str, Any]:
    """Filters are checked but not counted: asked only as a whole by those who page."""
    return {"count": len(things), "precision": "EXACT"}
