"""How a product with variants becomes items: one rule set for the files of shops and for their webhooks."""

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from vitrin.catalog.domain.limits import ITEM_ID_CHARS_MAX

ID_HASH_HEX: Final = 10
GTIN_DIGITS: Final = frozenset({8, 12, 13, 14})

Options = tuple[tuple[str, str], ...]
"""Name and value of each option, in the shop's order."""

_OPTION_FIELDS: Final = {
    "color": (
        "color",
        "colour",
        "farbe",
        "couleur",
        "colore",
        "kleur",
        "cor",
        "renk",
        "färg",
        "farve",
        "kolor",
    ),
    "size": ("size", "größe", "grösse", "taille", "talla", "taglia", "maat", "tamanho", "beden", "storlek"),
    "material": ("material", "matière", "materiale", "materiaal", "malzeme", "stoff", "fabric"),
    "pattern": ("pattern", "muster", "motif", "patrón", "motivo", "patroon", "desen"),
}
_FIELD_OF_OPTION: Final = {name: field for field, names in _OPTION_FIELDS.items() for name in names}
_NOT_IN_ID = re.compile(r"[^\w.+&%#*~=-]+")
_HYPHENS = re.compile(r"-{2,}")


class Barcode(NamedTuple):
    """A GTIN or the shop's own code; at most one of the two."""

    gtin: str = ""
    own: str = ""


def slug(text: str) -> str:
    """Lower case, blanks and separators as single hyphens; letters and digits of any script stay."""
    return _HYPHENS.sub("-", _NOT_IN_ID.sub("-", text.strip().lower())).strip("-")


def digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=ID_HASH_HEX // 2).hexdigest()


def fitted(text: str) -> str:
    """At most 100 characters: longer ones keep their beginning and end in a hash of the whole."""
    if len(text) <= ITEM_ID_CHARS_MAX:
        return text
    return f"{text[: ITEM_ID_CHARS_MAX - ID_HASH_HEX - 1]}-{digest(text)}"


def variant_ids(handle: str, variants: Sequence[Options]) -> list[str]:
    """Handle and option values. Options that differ only in what a slug drops get a hash of their own; variants of
    equal options get equal ids."""
    ids: list[str] = []
    owners: dict[str, tuple[str, ...]] = {}
    for options in variants:
        values = tuple(value for _name, value in options)
        plain = "-".join(part for part in (handle, *map(slug, values)) if part)
        if owners.setdefault(plain, values) != values:
            plain = f"{plain}-{digest('/'.join(values))}"
        ids.append(fitted(plain))
    return ids


def meaningful(options: Options) -> Options:
    """Without the pseudo option of a product that has none."""
    return tuple(
        (name, value)
        for name, value in options
        if value and not (value == "Default Title" and name in {"", "Title"})
    )


def field_of_option(name: str) -> str | None:
    """The field of an item that an option of this name fills; None: it is an attribute."""
    return _FIELD_OF_OPTION.get(name.strip().lower())


def variant_title(title: str, options: Options) -> str:
    return " - ".join((title, *([" / ".join(value for _, value in options)] if options else ())))


def status_of(status: str, *, published: bool) -> str:
    """A product that is active but not published in the shop must not be shown elsewhere either."""
    if status == "unlisted" or (not published and status in {"", "active"}):
        return "draft"
    return status


def read_barcode(text: str) -> Barcode:
    """Digits in a GTIN's length are a GTIN, right or wrong; any other barcode is the shop's own."""
    digits = text.replace(" ", "").replace("-", "")
    if digits.isascii() and digits.isdigit() and len(digits) in GTIN_DIGITS:
        return Barcode(gtin=digits)
    return Barcode(own=text)


def pictures_of(own: str, pictures: Sequence[str]) -> dict[str, object]:
    """The variant's own picture first, else the product's first; then the others in their order."""
    first = own or (pictures[0] if pictures else "")
    return {
        "image_link": first or None,
        "additional_image_link": [picture for picture in pictures if picture != first],
    }
