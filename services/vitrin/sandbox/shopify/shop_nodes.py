"""The shop itself and the app's installation, as GraphQL shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from vitrin.sandbox.shopify.texts import gid, utc
from vitrin.sandbox.shops.model import Access, Shop


def shop_node(shop: Shop) -> dict[str, Any]:
    """`Shop`."""
    now = datetime.now(UTC).astimezone(ZoneInfo(shop.time_zone))
    offset = now.utcoffset()
    minutes = int(offset.total_seconds() // 60) if offset is not None else 0
    address = {"country": shop.country, "countryCodeV2": shop.country, "city": None, "zip": None}
    sign = "-" if minutes < 0 else "+"
    return {
        "__typename": "Shop",
        "id": gid("Shop", shop.number),
        "name": shop.name,
        "email": f"owner@{shop.host}",
        "contactEmail": f"contact@{shop.host}",
        "myshopifyDomain": shop.host,
        "primaryDomain": {
            "id": gid("Domain", shop.number),
            "host": shop.host,
            "sslEnabled": True,
            "url": shop.storefront_url,
        },
        "url": shop.storefront_url,
        "currencyCode": shop.currency,
        "enabledPresentmentCurrencies": [shop.currency],
        "ianaTimezone": shop.time_zone,
        "timezoneAbbreviation": now.tzname(),
        "timezoneOffset": f"{sign}{abs(minutes) // 60:02}{abs(minutes) % 60:02}",
        "timezoneOffsetMinutes": minutes,
        "weightUnit": "KILOGRAMS",
        "taxesIncluded": shop.taxes_included,
        "setupRequired": False,
        "billingAddress": address,
        "shopAddress": address,
        "plan": {
            "displayName": "Basic",
            "publicDisplayName": "Basic",
            "partnerDevelopment": False,
            "shopifyPlus": False,
        },
        "createdAt": utc(shop.created_ms),
        "updatedAt": utc(shop.created_ms),
    }


def installation(shop: Shop, access: Access) -> dict[str, Any]:
    """`AppInstallation`: which scopes the token has."""
    scopes = set(access.scopes) | {
        one.replace("write_", "read_") for one in access.scopes if one.startswith("write_")
    }
    return {
        "__typename": "AppInstallation",
        "id": gid("AppInstallation", shop.number),
        "accessScopes": [{"handle": one, "description": one.replace("_", " ")} for one in sorted(scopes)],
        "app": {"id": gid("App", shop.number), "title": "App of the sandbox", "apiKey": access.app_id},
    }
