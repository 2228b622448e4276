"""Pinterest's items as POST /catalogs/items shows them, compared with what was sent. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from vitrin.platforms.base import Difference, Seen
from vitrin.platforms.comparing import as_text, difference, same_price, same_text, same_window

ENUMS: Final = frozenset({"availability", "condition", "gender", "age_group"})
"""Written in lower case, and perhaps shown in upper case with underscores (unverified)."""


def items_of(answer: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Attributes by item id. An entry with `errors` and without `attributes` is an item that is not there."""
    items = answer.get("items")
    return {
        str(entry["item_id"]): entry["attributes"]
        for entry in (items if isinstance(items, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("attributes"), dict) and entry.get("item_id")
    }


def seen(platform_item_id: str, expected: Mapping[str, object], attributes: Mapping[str, Any] | None) -> Seen:
    if attributes is None:
        return Seen(platform_item_id, present=False)
    found = [_compared(name, value, attributes.get(name)) for name, value in expected.items()]
    return Seen(platform_item_id, present=True, differences=tuple(part for part in found if part is not None))


def _compared(name: str, sent: object, shown: object) -> Difference | None:
    left, right = as_text(sent), as_text(shown)
    if name in {"price", "sale_price"} and left and right:
        same = same_price(left, right)
    elif name == "sale_price_effective_date":
        # Without a sale, dates that stay behind show nothing.
        same = not left or same_window(left, right)
    elif name in ENUMS:
        same = left.lower() == right.lower().replace("_", " ")
    elif name == "gtin":
        same = left.lstrip("0") == right.lstrip("0")
    else:
        same = same_text(left, right)
    return None if same else difference(name, sent, shown)
