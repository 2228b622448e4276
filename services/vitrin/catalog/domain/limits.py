"""Limits of what the catalog stores. A platform's own, tighter limits are judged by `platforms/`."""

from typing import Final

ITEM_ID_CHARS_MAX: Final = 100
TITLE_CHARS_MAX: Final = 500
DESCRIPTION_CHARS_MAX: Final = 10_000
DESCRIPTION_HTML_CHARS_MAX: Final = 100_000
URL_CHARS_MAX: Final = 4_096
TEXT_CHARS_MAX: Final = 1_000
"""brand, mpn, color, size, categories, labels and other one-line text."""
ADDITIONAL_IMAGES_MAX: Final = 250
ATTRIBUTES_MAX: Final = 100
ATTRIBUTE_NAME_CHARS_MAX: Final = 100
ATTRIBUTE_VALUE_CHARS_MAX: Final = 10_000
QUANTITY_MAX: Final = 2**31 - 1
