"""Ready-made rules, as JSON that a shop can take and change. Windows are durations of the language."""

from typing import Any

Json = dict[str, Any]


def viewed_not_bought(within: str = "14d", where: Json | None = None) -> Json:
    """Looked at an item (of `where`), bought nothing (of it)."""
    return _rule({"all": [_event("view_item", within, where), {"not": _event("purchase", within, where)}]})


def cart_abandoned(within: str = "7d", idle: str = "1h") -> Json:
    """Put something into the cart, an hour ago at least, and ordered nothing since."""
    return _rule(_event("add_to_cart", within, None, idle=idle, no_later={"event": "purchase"}))


def checkout_abandoned(within: str = "7d", idle: str = "1h") -> Json:
    """Began to pay, an hour ago at least, and ordered nothing since."""
    return _rule(
        {
            "event": ["begin_checkout", "add_payment_info"],
            "within": within,
            "idle": idle,
            "no_later": {"event": "purchase"},
        }
    )


def bought_not(bought: Json, other: Json, within: str = "180d") -> Json:
    """Bought something of `bought` and nothing of `other`: both are a `where`."""
    return _rule({"all": [_event("purchase", within, bought), {"not": _event("purchase", within, other)}]})


def lapsed_buyers(after: str = "90d") -> Json:
    """Bought once, and not any more."""
    return _rule({"all": [_event("purchase", "ever", None), {"not": _event("purchase", after, None)}]})


def top_by_value(currency: str, percent: int = 10, within: str = "365d") -> Json:
    """The best customers by what they paid; the bound is computed once a day."""
    top = {"percent": percent, "by": "sum", "currency": currency}
    return _rule(_event("purchase", within, None, top=top))


def new_customers(within: str = "30d") -> Json:
    """The first order ever is younger than this."""
    return _rule({"event": "purchase", "first": {"within": within}})


def price_dropped_on_viewed(within: str = "7d") -> Json:
    """An item that they looked at became cheaper, and they ordered nothing since."""
    return _rule(_event("price_dropped", within, None, no_later={"event": "purchase"}))


def back_in_stock_on_viewed(within: str = "7d") -> Json:
    """An item that they looked at can be bought again, and they ordered nothing since."""
    return _rule(_event("back_in_stock", within, None, no_later={"event": "purchase"}))


def all_buyers() -> Json:
    """Everybody who ever bought: an exclusion for campaigns that seek new customers."""
    return _rule(_event("purchase", "ever", None))


def ready_made(currency: str = "EUR") -> dict[str, Json]:
    """One of each, by name."""
    return {
        "viewed_not_bought": viewed_not_bought(),
        "cart_abandoned": cart_abandoned(),
        "checkout_abandoned": checkout_abandoned(),
        "bought_x_not_y": bought_not({"category": ["Phones"]}, {"category": ["Phone cases"]}),
        "lapsed_buyers": lapsed_buyers(),
        "top_customers": top_by_value(currency),
        "new_customers": new_customers(),
        "price_dropped_on_viewed": price_dropped_on_viewed(),
        "back_in_stock_on_viewed": back_in_stock_on_viewed(),
        "all_buyers": all_buyers(),
    }


def _event(name: str, within: str, where: Json | None, **more: Any) -> Json:
    return {"event": name, "within": within} | ({"where": where} if where else {}) | more


def _rule(who: Json) -> Json:
    return {"version": 1, "who": who}
