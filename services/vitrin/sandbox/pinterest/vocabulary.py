"""Names and values of Pinterest's OpenAPI 5.23 that requests are checked against."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COUNTRIES = _words("""
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY
    BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK
    FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR
    IS IT JE JM JO JP KE KG KH KI KM KN KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML
    MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN
    PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG
    TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
""")
"""ISO 3166-1 alpha-2."""

LANGUAGES = _words("""
    AM AR AZ BG BN BS CA CS DA DV DZ DE EL EN ES ET FA FI FR HE HI HR HU HY ID IN IS IT IW JA KA KM KO LO LT LV
    MK MN MS MY NB NE NL NO PL PT RO RU SK SL SQ SR SV TL UK VI TE TH TR XX ZH
""")
"""Language codes."""

LOCALES = _words("""
    af-ZA ar-SA bg-BG bn-IN cs-CZ da-DK de el-GR en-AU en-CA en-GB en-IN en-US es-419 es-AR es-ES es-MX fi-FI fr
    fr-CA he-IL hi-IN hr-HR hu-HU id-ID it ja ko-KR ms-MY nb-NO nl pl-PL pt-BR pt-PT ro-RO ru-RU sk-SK sv-SE
    te-IN th-TH tl-PH tr uk-UA vi-VN zh-CN zh-TW
""")
"""Locales, which stand where a language may."""

UPDATE_MASK_FIELDS = _words("""
    ad_link adult age_group availability average_review_rating brand checkout_enabled color condition
    custom_label_0 custom_label_1 custom_label_2 custom_label_3 custom_label_4 custom_number_0 custom_number_1
    custom_number_2 custom_number_3 custom_number_4 description free_shipping_label free_shipping_limit gender
    google_product_category gtin item_group_id last_updated_time link material min_ad_price mpn
    number_of_ratings number_of_reviews pattern price product_type sale_price shipping shipping_height
    shipping_weight shipping_width size size_system size_type tax title variant_names variant_values
    promotion_id
""")
"""Attributes that an ``update_mask`` may name; images are not among them."""

TEXT_ATTRIBUTES = _words("""
    ad_link age_group android_deep_link availability brand color condition custom_label_0 custom_label_1
    custom_label_2 custom_label_3 custom_label_4 description free_shipping_limit gender google_product_category
    id installment_price ios_deep_link item_group_id link material min_ad_price mobile_link mpn pattern price
    product_type promotion_id sale_price sale_price_effective_date shipping shipping_height shipping_weight
    shipping_width size size_system size_type tax title unit_pricing_base_measure unit_pricing_measure
    video_link
""")
"""Attributes of type string, apart from ad images and ad videos."""

BOOLEAN_ATTRIBUTES = _words("""
    adult checkout_enabled free_shipping_label save_pin_disabled
""")
"""Attributes of type boolean."""

INTEGER_ATTRIBUTES = _words("""
    custom_number_0 custom_number_1 custom_number_2 custom_number_3 custom_number_4 last_updated_time
    number_of_ratings number_of_reviews
""")
"""Attributes of type integer."""

NUMBER_ATTRIBUTES = _words("""
    average_review_rating
""")
"""Attributes of type number."""

LIST_ATTRIBUTES = _words("""
    additional_image_link variant_names variant_values
""")
"""Attributes of type array of strings."""

NEVER_NULL = _words("""
    android_deep_link availability description id image_link ios_deep_link link price save_pin_disabled title
""")
"""Attributes that cannot be null."""

CREATE_ONLY = _words("""
    additional_image_link image_link save_pin_disabled video_link
""")
"""Attributes that UPDATE does not have."""
