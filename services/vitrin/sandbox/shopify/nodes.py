"""A shop's goods as GraphQL shows them: dictionaries whose costly fields are functions, called when asked for."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from vitrin.sandbox.shopify.connections import Field, connection, searched
from vitrin.sandbox.shopify.texts import gid, level_gid, money, utc
from vitrin.sandbox.shops.model import Image, Level, Location, Product, Shop, Variant

Node = dict[str, Any]
PRODUCT_FIELDS = {
    "id": Field(lambda one: one.id),
    "updated_at": Field(lambda one: one.updated_ms, moment=True),
    "created_at": Field(lambda one: one.created_ms, moment=True),
    "status": Field(lambda one: one.status),
    "title": Field(lambda one: one.title),
    "handle": Field(lambda one: one.handle),
    "vendor": Field(lambda one: one.vendor),
    "product_type": Field(lambda one: one.product_type),
    "tag": Field(lambda one: one.tags),
    "sku": Field(lambda one: tuple(variant.sku for variant in one.variants)),
    "barcode": Field(lambda one: tuple(variant.barcode for variant in one.variants)),
}
VARIANT_FIELDS = {
    "id": Field(lambda one: one[1].id),
    "sku": Field(lambda one: one[1].sku),
    "barcode": Field(lambda one: one[1].barcode),
    "product_id": Field(lambda one: one[0].id),
    "updated_at": Field(lambda one: one[1].updated_ms, moment=True),
}
PRODUCT_SORTS: dict[str, Callable[[Product], Any]] = {
    "UPDATED_AT": lambda one: one.updated_ms // 1000,
    "CREATED_AT": lambda one: one.created_ms // 1000,
    "TITLE": lambda one: one.title,
    "VENDOR": lambda one: one.vendor,
    "ID": lambda one: one.id,
}


class Goods:
    """The nodes of one shop. `whole`: connections give everything, as in bulk operations."""

    def __init__(self, shop: Shop, *, whole: bool = False) -> None:
        self.shop = shop
        self.whole = whole

    def products(self, args: dict[str, Any]) -> Node:
        """`QueryRoot.products`."""
        found = searched(self.shop.products.values(), args.get("query"), PRODUCT_FIELDS)
        key = PRODUCT_SORTS.get(args.get("sortKey") or "ID", PRODUCT_SORTS["ID"])
        return connection(found, self.product, args, whole=self.whole, key=key)

    def variants(self, args: dict[str, Any]) -> Node:
        """`QueryRoot.productVariants`."""
        found = searched(self.shop.variants(), args.get("query"), VARIANT_FIELDS)
        return connection(
            found, lambda one: self.variant(*one), args, whole=self.whole, ident=lambda one: one[1].id
        )

    def locations(self, args: dict[str, Any]) -> Node:
        """`QueryRoot.locations`; the inactive ones only on request."""
        known = [one for one in self.shop.visible_locations() if one.active or args.get("includeInactive")]
        return connection(known, self.location, args, whole=self.whole, key=lambda one: one.name)

    def product(self, one: Product) -> Node:
        """`Product`."""
        shop = self.shop
        images = list(one.images)
        prices = sorted(Decimal(variant.price) for variant in one.variants)
        live = one.status == "active"
        return {
            "__typename": "Product",
            "id": gid("Product", one.id),
            "legacyResourceId": str(one.id),
            "title": one.title,
            "handle": one.handle,
            "descriptionHtml": one.body_html,
            "description": lambda _info, **_args: _plain(one.body_html),
            "vendor": one.vendor,
            "productType": one.product_type,
            "category": None,
            "status": one.status.upper(),
            "tags": sorted(one.tags),
            "createdAt": utc(one.created_ms),
            "updatedAt": utc(one.updated_ms),
            "publishedAt": utc(one.created_ms) if live else None,
            "onlineStoreUrl": f"{shop.storefront_url}/products/{one.handle}" if live else None,
            "onlineStorePreviewUrl": f"{shop.storefront_url}/products/{one.handle}",
            "options": lambda _info, **args: self._options(one)[: args.get("first")],
            "hasOnlyDefaultVariant": one.only_default,
            "hasOutOfStockVariants": any(variant.quantity <= 0 for variant in one.variants),
            "totalInventory": sum(variant.quantity for variant in one.variants),
            "tracksInventory": any(variant.tracked for variant in one.variants),
            "isGiftCard": False,
            "templateSuffix": None,
            "seo": {"title": None, "description": None},
            "priceRangeV2": {
                "minVariantPrice": {"amount": money(prices[0]), "currencyCode": shop.currency},
                "maxVariantPrice": {"amount": money(prices[-1]), "currencyCode": shop.currency},
            },
            "variantsCount": {"count": len(one.variants), "precision": "EXACT"},
            "mediaCount": {"count": len(images), "precision": "EXACT"},
            "featuredMedia": _media(images[0], one) if images else None,
            "featuredImage": _image(images[0]) if images else None,
            "media": lambda _info, **args: connection(
                images, lambda image: _media(image, one), args, whole=self.whole
            ),
            "images": lambda _info, **args: connection(images, _image, args, whole=self.whole),
            "variants": lambda _info, **args: connection(
                one.variants, lambda variant: self.variant(one, variant), args, whole=self.whole
            ),
            "metafield": None,
            "metafields": self._nothing,
        }

    def variant(self, product: Product, one: Variant) -> Node:
        """`ProductVariant`."""
        images = [image for image in product.images if image.id == one.image_id]
        names = product.option_names
        return {
            "__typename": "ProductVariant",
            "id": gid("ProductVariant", one.id),
            "legacyResourceId": str(one.id),
            "title": one.title,
            "displayName": f"{product.title} - {one.title}",
            "sku": one.sku or None,
            "barcode": one.barcode or None,
            "price": money(one.price),
            "compareAtPrice": money(one.compare_at) if one.compare_at is not None else None,
            "position": product.variants.index(one) + 1 if one in product.variants else 1,
            "selectedOptions": [
                {"name": name, "value": value} for name, value in zip(names, one.options, strict=False)
            ],
            "product": lambda _info: self.product(product),
            "inventoryQuantity": one.quantity if one.tracked else 0,
            "inventoryPolicy": one.policy.upper(),
            "inventoryItem": lambda _info: self.item(product, one),
            "availableForSale": not one.tracked or one.quantity > 0 or one.policy == "continue",
            "sellableOnlineQuantity": one.quantity,
            "taxable": True,
            "createdAt": utc(one.created_ms),
            "updatedAt": utc(one.updated_ms),
            "image": _image(images[0]) if images else None,
            "media": lambda _info, **args: connection(
                images, lambda image: _media(image, product), args, whole=self.whole
            ),
            "metafield": None,
            "metafields": self._nothing,
        }

    def item(self, product: Product, one: Variant) -> Node:
        """`InventoryItem`."""

        def level(_info: Any, **args: Any) -> Node | None:
            wanted = args["locationId"]
            for each in self._levels(one):
                if gid("Location", each.location_id) == wanted:
                    return self.level(product, one, each)
            return None

        return {
            "__typename": "InventoryItem",
            "id": gid("InventoryItem", one.inventory_item_id),
            "legacyResourceId": str(one.inventory_item_id),
            "sku": one.sku or None,
            "tracked": one.tracked,
            "requiresShipping": True,
            "unitCost": None,
            "countryCodeOfOrigin": None,
            "harmonizedSystemCode": None,
            "createdAt": utc(one.created_ms),
            "updatedAt": utc(one.updated_ms),
            "measurement": {
                "id": gid("InventoryItemMeasurement", one.inventory_item_id),
                "weight": {"unit": "GRAMS", "value": one.grams},
            },
            "variant": lambda _info: self.variant(product, one),
            "locationsCount": {"count": len(self._levels(one)), "precision": "EXACT"},
            "inventoryLevel": level,
            "inventoryLevels": lambda _info, **args: connection(
                self._levels(one),
                lambda each: self.level(product, one, each),
                args,
                whole=self.whole,
                ident=lambda each: each.location_id,
            ),
        }

    def level(self, product: Product, variant: Variant, one: Level) -> Node:
        """`InventoryLevel`. Nothing is reserved or on its way here: on hand is what is available."""
        own = level_gid(one.location_id, variant.inventory_item_id)
        known = {"available": one.available, "on_hand": one.available}

        def quantities(_info: Any, **args: Any) -> list[Node]:
            return [
                {
                    "id": f"gid://shopify/InventoryQuantity/{one.location_id}?inventory_item_id="
                    f"{variant.inventory_item_id}&name={name}",
                    "name": name,
                    "quantity": known.get(name, 0),
                    "updatedAt": utc(one.updated_ms),
                }
                for name in args["names"]
            ]

        return {
            "__typename": "InventoryLevel",
            "id": own,
            "item": lambda _info: self.item(product, variant),
            "location": lambda _info: self.location(self.shop.locations[one.location_id]),
            "isActive": True,
            "quantities": quantities,
            "createdAt": utc(variant.created_ms),
            "updatedAt": utc(one.updated_ms),
        }

    def location(self, one: Location) -> Node:
        """`Location`."""

        def here() -> list[tuple[Product, Variant, Level]]:
            return [
                (product, variant, level)
                for product, variant in self.shop.variants()
                for level in variant.levels
                if level.location_id == one.id
            ]

        first = next(iter(self.shop.locations))
        return {
            "__typename": "Location",
            "id": gid("Location", one.id),
            "legacyResourceId": str(one.id),
            "name": one.name,
            "isActive": one.active,
            "fulfillsOnlineOrders": one.active,
            "shipsInventory": one.active,
            "hasActiveInventory": lambda _info: bool(here()),
            "isFulfillmentService": False,
            "isPrimary": one.id == first,
            "address": {"countryCode": one.country, "country": one.country, "formatted": []},
            "createdAt": utc(self.shop.created_ms),
            "updatedAt": utc(self.shop.created_ms),
            "inventoryLevels": lambda _info, **args: connection(
                here(),
                lambda each: self.level(*each),
                args,
                whole=self.whole,
                ident=lambda each: each[1].inventory_item_id,
            ),
        }

    def _levels(self, one: Variant) -> list[Level]:
        """A hidden location is in no listing."""
        return [level for level in one.levels if not self.shop.locations[level.location_id].hidden]

    def _nothing(self, _info: Any, **args: Any) -> Node:
        """The stand-in's goods have no metafields."""
        return connection([], lambda one: one, args, whole=self.whole)

    def _options(self, one: Product) -> list[Node]:
        found = []
        for place, name in enumerate(one.option_names):
            values = list(
                dict.fromkeys(
                    variant.options[place] for variant in one.variants if place < len(variant.options)
                )
            )
            number = one.id + 10_000_000_000 * (place + 1)
            found.append(
                {
                    "id": gid("ProductOption", number),
                    "name": name,
                    "position": place + 1,
                    "values": values,
                    "optionValues": [
                        {
                            "id": gid("ProductOptionValue", number * 1000 + index),
                            "name": value,
                            "hasVariants": True,
                        }
                        for index, value in enumerate(values)
                    ],
                }
            )
        return found


def _plain(html: str) -> str:
    inside = False
    kept = []
    for letter in html:
        inside = letter == "<" or (inside and letter != ">")
        if not inside and letter != ">":
            kept.append(letter)
    return "".join(kept)


def _image(one: Image) -> Node:
    return {
        "id": gid("ProductImage", one.id),
        "url": lambda _info, **_args: one.src,
        "altText": one.alt or None,
        "width": 1000,
        "height": 1000,
        "src": one.src,
        "originalSrc": one.src,
    }


def _media(one: Image, product: Product) -> Node:
    return {
        "__typename": "MediaImage",
        "id": gid("MediaImage", one.id),
        "alt": one.alt,
        "mediaContentType": "IMAGE",
        "status": "READY",
        "mimeType": "image/jpeg",
        "preview": {"image": _image(one), "status": "READY"},
        "image": _image(one),
        "createdAt": utc(product.created_ms),
        "updatedAt": utc(product.created_ms),
    }
