"""The audiences, shoppers and events of P20 and G3: seeded, so that every run has the same.

100 rules of the kinds that shops make (viewed not bought, carts and checkouts without an order, spenders, returners,
combinations of other audiences) with windows of 1 to 90 days; events of a shop in which most visitors only look.
"""

import random
from typing import Any, Final

import numpy as np

from vitrin.retargeting.audiences.engine import Batch, Dictionary
from vitrin.retargeting.audiences.engine.columns import KIND_IDS
from vitrin.retargeting.audiences.language import Rule, parse
from vitrin.retargeting.audiences.language.words import DAY_MS

RULES: Final = 100
HISTORY_DAYS: Final = 120
START: Final = 1_700_000_000_000
CATEGORIES: Final = 20
BRANDS: Final = 40
ITEMS: Final = 20_000
SHARES: Final = {
    "page_view": 0.36,
    "view_item": 0.36,
    "search": 0.08,
    "add_to_cart": 0.09,
    "begin_checkout": 0.045,
    "purchase": 0.04,
    "refund": 0.005,
    "sign_up": 0.02,
}
WINDOWS: Final = ("1d", "2d", "3d", "7d", "14d", "30d", "60d", "90d")


def dictionary() -> Dictionary:
    return Dictionary(
        {
            "category": [f"c{number}" for number in range(CATEGORIES)],
            "brand": [f"b{number}" for number in range(BRANDS)],
            "currency": ["EUR"],
        }
    )


def rules(count: int = RULES, seed: int = 22) -> dict[str, Rule]:
    rng = random.Random(seed)
    found: dict[str, dict[str, Any]] = {}
    for number in range(count):
        found[f"r{number:03}"] = _rule(rng, list(found))
    return {name: parse({"version": 1, "who": who}) for name, who in found.items()}


def _rule(rng: random.Random, before: list[str]) -> dict[str, Any]:
    def window(least: int = 0) -> str:
        return rng.choice(WINDOWS[least:])

    def where() -> dict[str, Any]:
        if rng.random() < 0.5:
            return {"where": {"brand": [f"b{rng.randrange(BRANDS)}"]}}
        return {"where": {"category": [f"c{rng.randrange(CATEGORIES)}"]}}

    def event(name: str, least: int = 0, **own: Any) -> dict[str, Any]:
        return {"event": name, "within": window(least), **own}

    spent = {"sum": {"at_least": rng.choice((2_500, 5_000, 10_000, 20_000, 50_000)), "currency": "EUR"}}
    often = {"count": rng.choice((2, 3, 5, 10))}
    dice = rng.random()
    if dice < 0.28:
        same = where()
        others = [event("search")] if rng.random() < 0.4 else []
        return {"all": [event("view_item", **same), {"not": event("purchase", 3, **same)}, *others]}
    if dice < 0.42:
        more = [event("view_item", **where(), **often)] if rng.random() < 0.7 else []
        return {
            "all": [
                event(rng.choice(("add_to_cart", "begin_checkout")), **where()),
                {"not": event("purchase")},
                *more,
            ]
        }
    if dice < 0.55:
        return event("purchase", 3, **spent)
    if dice < 0.68:
        return {
            "all": [
                event(rng.choice(("page_view", "view_item", "search")), **often),
                event("view_item", **where()),
            ]
        }
    if dice < 0.76:
        return {"any": [event("add_to_cart", **where()), event("view_item", **where(), **often)]}
    if dice < 0.82:
        return {"all": [event("purchase", 6), {"not": event("purchase", 3)}, {"not": event("refund", 3)}]}
    if len(before) > 4:
        one, other = rng.sample(before, 2)
        return {"all": [{"audience": one}, {"not": {"audience": other}}, event("page_view")]}
    return event("sign_up", 3)


def events(count: int, visitors: int, *, seq: int, begin: int, end: int, seed: int) -> Batch:
    """`count` events in order of time, from `begin` (exclusive) to `end`, of which 5 % came up to a day late."""
    rng = np.random.default_rng(seed)
    names = rng.choice(np.array([KIND_IDS[name] for name in SHARES]), size=count, p=list(SHARES.values()))
    at = np.sort(rng.integers(begin + 1, end + 1, count))
    late = rng.random(count) < 0.05
    at[late] -= rng.integers(0, DAY_MS, int(late.sum()))
    item = rng.integers(1, ITEMS + 1, count)
    buys = (names == KIND_IDS["purchase"]) | (names == KIND_IDS["refund"])
    price = 500 + (item * 7919) % 10_000
    return Batch(
        seq=np.arange(seq, seq + count),
        subject=np.minimum((rng.random(count) ** 1.5 * visitors).astype(np.int64), visitors - 1),
        at=at,
        kind=names.astype(np.int16),
        value=np.where(buys, price, 0),
        currency=buys.astype(np.int32),
        item_start=np.arange(count + 1),
        item=item.astype(np.int32),
        category=(1 + item % CATEGORIES).astype(np.int32),
        brand=(1 + item % BRANDS).astype(np.int32),
        price=price,
    )
