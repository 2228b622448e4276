"""Random rules, from a random generator: every form of the language, over few values, so that much is met."""

import random
from typing import Any, Final

EVENTS: Final = ("view_item", "add_to_cart", "purchase", "refund", "page_view")
ITEMS: Final = ("mug", "pan", "hat", "scarf", "lamp")
CATEGORIES: Final = ("kitchen", "clothes", "light")
BRANDS: Final = ("acme", "zeta")
MARKETS: Final = ("DE", "FR", "AT")
CURRENCIES: Final = ("EUR", "USD")
WINDOWS: Final = ("90s", "30m", "6h", "1d", "2d", "3d", "1w", "12d")


def random_rules(rng: random.Random, count: int) -> dict[str, dict[str, Any]]:
    """Audience ids to JSON; later ones may refer to earlier ones."""
    rules: dict[str, dict[str, Any]] = {}
    for number in range(count):
        rules[f"a{number}"] = {"version": 1, "who": condition(rng, list(rules), depth=1)}
    return rules


def condition(rng: random.Random, audiences: list[str], *, depth: int) -> dict[str, Any]:
    dice = rng.random()
    if depth < 4 and dice < 0.45:
        kind = rng.choice(("all", "any"))
        return {kind: [condition(rng, audiences, depth=depth + 1) for _ in range(rng.randint(1, 3))]}
    if depth < 5 and dice < 0.55:
        return {"not": condition(rng, audiences, depth=depth + 1)}
    if dice < 0.60:
        return {"market": rng.sample(MARKETS, rng.randint(1, 2))}
    if dice < 0.65:
        purpose = rng.choice(("ads", "analytics"))
        return {"consent": purpose, "is": rng.choice(("granted", "denied", "unknown"))}
    if audiences and dice < 0.72:
        return {"audience": rng.choice(audiences)}
    return event(rng)


def event(rng: random.Random) -> dict[str, Any]:
    names: Any = rng.choice(EVENTS)
    if rng.random() < 0.2:
        names = rng.sample(EVENTS, 2)
    found: dict[str, Any] = {"event": names}
    if rng.random() < 0.4:
        found["where"] = where(rng)
    if rng.random() < 0.15:
        found["event"] = rng.choice(("purchase", "refund"))
        found["first"] = {rng.choice(("within", "older_than")): rng.choice(WINDOWS)}
        return found
    place = rng.randrange(2, len(WINDOWS))
    found["within"] = WINDOWS[place]
    if names in ("purchase", "refund") and rng.random() < 0.2:
        found["within"] = "ever"
    if rng.random() < 0.15:
        found["idle"] = WINDOWS[rng.randrange(0, place)]
    return found | measure(rng)


def measure(rng: random.Random) -> dict[str, Any]:
    dice = rng.random()
    if dice < 0.3:
        return {}
    if dice < 0.5:
        least = rng.randint(1, 3)
        return {"count": rng.choice((least, {"at_least": least, "at_most": least + 1}, {"at_most": least}))}
    if dice < 0.7:
        bounds = rng.choice(({"at_least": 500}, {"at_least": 300, "below": 1500}, {"below": 800}))
        return {"sum": {"currency": rng.choice(CURRENCIES), **bounds}}
    if dice < 0.85:
        later: dict[str, Any] = {"event": rng.choice(("purchase", "refund"))}
        return {"no_later": later | ({"where": where(rng)} if rng.random() < 0.3 else {})}
    by = rng.choice(("sum", "count", "recency"))
    top: dict[str, Any] = {"percent": rng.choice((10, 30, 50)), "by": by}
    return {"top": top | ({"currency": rng.choice(CURRENCIES)} if by == "sum" else {})}


def where(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, texts in (("item", ITEMS), ("category", CATEGORIES), ("brand", BRANDS)):
        if rng.random() < 0.4:
            found[name] = rng.sample(texts, rng.randint(1, 2))
    if not found or rng.random() < 0.3:
        price = rng.choice(({"at_least": 400}, {"below": 600}, {"at_least": 200, "below": 700}))
        found["price"] = {"currency": rng.choice(CURRENCIES), **price}
    return found
