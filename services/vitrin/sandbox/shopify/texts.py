"""How Shopify writes ids, money and moments."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from vitrin.sandbox.shops.model import Shop


def gid(kind: str, number: int) -> str:
    """A global id."""
    return f"gid://shopify/{kind}/{number}"


def level_gid(location_id: int, inventory_item_id: int) -> str:
    """Of an inventory level; the first number stands for both, as far as anybody can tell."""
    return f"gid://shopify/InventoryLevel/{location_id}?inventory_item_id={inventory_item_id}"


def number_of(text: str, kind: str) -> int | None:
    """The number of a global id of that kind, None for any other text."""
    head, _, tail = text.partition(f"gid://shopify/{kind}/")
    number = tail.partition("?")[0]
    return int(number) if not head and number.isdecimal() else None


def utc(at_ms: int) -> str:
    """As GraphQL writes a moment: whole seconds, Z."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local(shop: Shop, at_ms: int) -> str:
    """As REST writes it: whole seconds, with the shop's own offset."""
    return datetime.fromtimestamp(at_ms // 1000, ZoneInfo(shop.time_zone)).isoformat()


def money(amount: Decimal | str | int) -> str:
    """Two digits."""
    return str(Decimal(amount).quantize(Decimal("0.01"), ROUND_HALF_UP))


def bag(shop: Shop, amount: Decimal | str | int) -> dict[str, Any]:
    """GraphQL's MoneyBag; the shop sells in its own currency only."""
    one = {"amount": money(amount), "currencyCode": shop.currency}
    return {"shopMoney": one, "presentmentMoney": one}


def rest_bag(shop: Shop, amount: Decimal | str | int) -> dict[str, Any]:
    """REST's `..._set`."""
    one = {"amount": money(amount), "currency_code": shop.currency}
    return {"shop_money": one, "presentment_money": dict(one)}


def financial_status(paid: bool, cancelled: bool, refunded: Decimal, total: Decimal) -> str:
    """In REST's lower case."""
    if not paid:
        return "voided" if cancelled else "pending"
    if refunded == 0:
        return "paid"
    return "refunded" if refunded >= total else "partially_refunded"
