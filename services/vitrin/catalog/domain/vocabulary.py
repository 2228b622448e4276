"""The closed vocabularies of the product data specification. `.spec_text` is what feeds write."""

from enum import StrEnum


class Word(StrEnum):
    """A closed vocabulary; the value is stored and sent in events."""

    @property
    def spec_text(self) -> str:
        return self.value.replace("_", " ")


class Availability(Word):
    IN_STOCK = "in_stock"
    OUT_OF_STOCK = "out_of_stock"
    PREORDER = "preorder"
    AVAILABLE_FOR_ORDER = "available_for_order"
    DISCONTINUED = "discontinued"


class Condition(Word):
    NEW = "new"
    REFURBISHED = "refurbished"
    USED = "used"


class Status(Word):
    """Only active items are shown on platforms."""

    ACTIVE = "active"
    DRAFT = "draft"
    ARCHIVED = "archived"


class InventoryPolicy(Word):
    """May the item be sold when its quantity is used up?"""

    DENY = "deny"
    CONTINUE = "continue"


class Gender(Word):
    MALE = "male"
    FEMALE = "female"
    UNISEX = "unisex"


class AgeGroup(Word):
    NEWBORN = "newborn"
    INFANT = "infant"
    TODDLER = "toddler"
    KIDS = "kids"
    TEEN = "teen"
    ADULT = "adult"
    ALL_AGES = "all_ages"


ALIASES: dict[type[Word], dict[str, str]] = {
    Availability: {"backorder": "available_for_order", "available_for_backorder": "available_for_order"},
    Gender: {"men": "male", "women": "female"},
}
"""Spellings of other feeds, after lower-casing and `_` for blanks and hyphens."""
