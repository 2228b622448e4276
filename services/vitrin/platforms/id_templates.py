"""How a channel names items: the placeholders of id templates, one rule for accounts and shop_sync. Pure."""

import re
from collections.abc import Mapping
from typing import Final

ID_PLACEHOLDERS: Final[Mapping[str, str]] = {
    "id": "the item's id",
    "sku": "its SKU",
    "product": "the shop's id of the product",
    "variant": "the shop's id of the variant",
    "handle": "the product's handle in the shop",
    "country": "the channel's market in upper case, as in Shopify's feed ids",
    "language": "the channel's language",
}
ID_TEMPLATE_CHARS_MAX: Final = 64
_NAMES_ONE_ITEM: Final = ("id", "sku", "variant")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_LITERAL: Final = re.compile(r"[A-Za-z0-9_.:-]*")
_CHOICES: Final = ", ".join(f"{{{name}}}" for name in ID_PLACEHOLDERS)


def template_problem(template: str) -> str | None:
    """What is wrong with it, as a sentence; None: nothing."""
    if not template or len(template) > ID_TEMPLATE_CHARS_MAX:
        return f"An id template has 1 to {ID_TEMPLATE_CHARS_MAX} characters."
    names = _PLACEHOLDER.findall(template)
    for name in names:
        if name not in ID_PLACEHOLDERS:
            return f"There is no placeholder {{{name}}}; there are {_CHOICES}."
    if _LITERAL.fullmatch(_PLACEHOLDER.sub("", template)) is None:
        return "Between placeholders only letters, digits and _ . : - may stand."
    if not any(name in names for name in _NAMES_ONE_ITEM):
        return "Without {id}, {sku} or {variant} the variants of a product would get one id."
    return None


def filled(template: str, values: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The id, and the placeholders that have no value ("" is none); with any of those the id is not to be used."""
    names = dict.fromkeys(_PLACEHOLDER.findall(template))
    missing = tuple(name for name in names if not values.get(name))
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], ""), template), missing
