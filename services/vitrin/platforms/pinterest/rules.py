"""Pinterest's limits, enums and rates as data. Source: its OpenAPI description 5.23.0 unless marked."""

from typing import Final

from vitrin.kit.http_client import Rate
from vitrin.platforms.base import Capabilities, Endpoint
from vitrin.platforms.rendering import ItemRules, same_words

BASE_URL: Final = "https://api.pinterest.com/v5"
BATCH_ITEMS_MAX: Final = 1_000
BODY_BYTES_MAX: Final = 8_000_000
"""Chosen by us: no limit is published (unverified)."""
ENVELOPE_BYTES_MAX: Final = 1_000
READ_BACK_ITEMS_MAX: Final = 1_000
VIDEO_LINK_MAX: Final = 2_000

CAPABILITIES: Final = Capabilities(
    platform="pinterest",
    batch_items_max=BATCH_ITEMS_MAX,
    batch_bytes_max=BODY_BYTES_MAX - ENVELOPE_BYTES_MAX,
    partial_update=True,
    read_back=True,
    read_back_items_max=READ_BACK_ITEMS_MAX,
    item_id_length_max=127,
    concurrency_max=4,
    # Numbers of catalogs_write and catalogs_read are not published (unverified); a standard app has 100 calls/s.
    rates={
        Endpoint.SEND: Rate(endpoint="catalogs_write", calls=600, per_s=60.0),
        Endpoint.POLL: Rate(endpoint="catalogs_read", calls=600, per_s=60.0),
        Endpoint.READ_BACK: Rate(endpoint="catalogs_read", calls=600, per_s=60.0),
    },
)

AVAILABILITY: Final = {
    "in_stock": "in stock",
    "out_of_stock": "out of stock",
    "preorder": "preorder",
    # Can be bought now and only takes longer to ship, which is what "in stock" tells a shopper here.
    "available_for_order": "in stock",
    # Cannot be bought; the item leaves the platform by a delete when the shop removes it.
    "discontinued": "out of stock",
}
"""Pinterest has three words for our five."""

ITEM_RULES: Final = ItemRules(
    platform_title="Pinterest",
    id_max=127,
    title_max=500,
    description_max=10_000,
    link_max=511,
    image_link_max=2_000,
    additional_images_max=10,
    additional_images_chars_max=None,
    availability=AVAILABILITY,
    conditions=same_words("new", "used", "refurbished"),
    genders=same_words("female", "male", "unisex"),
    age_groups=same_words("newborn", "infant", "toddler", "kids", "adult"),
    text_max={
        "product_type": 1_000,
        "video_link": VIDEO_LINK_MAX,
        **{f"custom_label_{number}": 511 for number in range(5)},
    },
    identifier_required=False,
)

_LOCALES = (
    "af-ZA ar-SA bg-BG bn-IN cs-CZ da-DK de el-GR en-AU en-CA en-GB en-IN en-US es-419 es-AR es-ES es-MX fi-FI fr "
    "fr-CA he-IL hi-IN hr-HR hu-HU id-ID it ja ko-KR ms-MY nb-NO nl pl-PL pt-BR pt-PT ro-RO ru-RU sk-SK sv-SE te-IN "
    "th-TH tl-PH tr uk-UA vi-VN zh-CN zh-TW"
)
LOCALES: Final = frozenset(_LOCALES.split())
_LANGUAGES = (
    "AM AR AZ BG BN BS CA CS DA DV DZ DE EL EN ES ET FA FI FR HE HI HR HU HY ID IN IS IT IW JA KA KM KO LO LT LV MK "
    "MN MS MY NB NE NL NO PL PT RO RU SK SL SQ SR SV TL UK VI TE TH TR XX ZH"
)
LANGUAGES: Final = frozenset(_LANGUAGES.split())


def locale_of(language: str, market: str) -> str | None:
    """Pinterest's word for a language in a market: its locale where it has one ("en-US", "de"), else the language."""
    plain, _, _ = language.partition("-")
    for candidate in (language, f"{plain.lower()}-{market}", plain.lower()):
        if candidate in LOCALES:
            return candidate
    return plain.upper() if plain.upper() in LANGUAGES else None
