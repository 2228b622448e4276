"""What the sandbox says about itself: items, catalogs, accounts and the last requests, for the page and for tests."""

from typing import Any

from vitrin.sandbox.accounts import Account
from vitrin.sandbox.state import StoredItem
from vitrin.sandbox.timing import iso
from vitrin.sandbox.wire import Platform
from vitrin.sandbox.world import World

PAGE_LOG_ROWS = 15


def item_json(platform: Platform, item: StoredItem) -> dict[str, Any]:
    """A stored item with the time of each field's last change; ``fields`` has the names of the write call."""
    return {
        **platform.described(item.key),
        "fields": item.fields(),
        "created_at": iso(item.created_ms),
        "updated_at": iso(item.updated_ms),
        "changed_at": {name: iso(at_ms) for name, at_ms in sorted(item.field_times_ms().items())},
    }


def summarise(world: World) -> dict[str, Any]:
    """Body of ``GET /_sandbox/state``."""
    platforms = []
    now_ms = world.now_ms()
    for name, platform in world.platforms.items():
        accounts = [
            {
                "name": account.name,
                "external_ids": account.external_ids,
                "token_state": account.token_state,
                "catalogs": [_catalog_json(platform, catalog_id) for catalog_id in account.catalog_ids],
                **_ads_json(platform, account),
            }
            for account in world.accounts.by_platform[name]
        ]
        limits = [limit.as_json() for limit in platform.limits.all()]
        platforms.append({"platform": name, "host": platform.host, "accounts": accounts, "limits": limits})
    return {
        "now": iso(now_ms),
        "platforms": platforms,
        "faults": [
            fault.as_json(now_ms=now_ms) for fault in world.faults.all() if not fault.spent(now_ms=now_ms)
        ],
        "log": [entry.as_json() for entry in world.log.tail(PAGE_LOG_ROWS)],
    }


def _ads_json(platform: Platform, account: Account) -> dict[str, Any]:
    """Who is in the account's audiences now, and what was counted of its pixel or tag."""
    book = platform.ads.audiences
    source_id = account.external_ids.get("pixel_id") or account.external_ids.get("tag_id")
    return {
        "audiences": [
            {
                "audience_id": one.audience_id,
                "name": one.name,
                "rows": len(one.rows),
                "people_matched": book.people(one),
            }
            for one in book.held(account.external_ids["ad_account_id"])
        ],
        "conversions": {
            name: count
            for (source, name), count in sorted(platform.ads.conversions.totals.items())
            if source == source_id
        },
    }


def _catalog_json(platform: Platform, catalog_id: str) -> dict[str, Any]:
    catalog = platform.catalogs[catalog_id]
    counts = catalog.counts
    return {
        "catalog_id": catalog_id,
        "name": catalog.name,
        "items": len(catalog),
        "with_image": counts["image"],
        "with_title": counts["title"],
        "with_price": counts["price"],
        "on_sale": counts["sale_price"],
        "availability": {
            fact.removeprefix("availability:"): count
            for fact, count in sorted(counts.items())
            if fact.startswith("availability:") and count
        },
        "last_change_at": iso(catalog.last_change_ms) if catalog.last_change_ms is not None else None,
        "recent": [item_json(platform, item) for item in catalog.recent()],
    }
