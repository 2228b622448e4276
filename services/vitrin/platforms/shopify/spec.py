"""Shopify, as the services see it."""

from typing import Final

from vitrin.platforms.shop import ShopSpec
from vitrin.platforms.shopify.carts import cart_url
from vitrin.platforms.shopify.rules import (
    APP_TOPICS,
    GIVES_UP_AFTER_S,
    NAME,
    REQUIRED_SCOPES,
    SHOP_ID,
    TOPICS,
    base_url,
    external_id_problem,
)
from vitrin.platforms.shopify.source import open_shop
from vitrin.platforms.shopify.webhooks import body_shop, read_head, read_news, signed

SPEC: Final = ShopSpec(
    name=NAME,
    title="Shopify",
    refs_source=NAME,
    required_external_ids=(SHOP_ID,),
    optional_external_ids=(),
    required_scopes=REQUIRED_SCOPES,
    token_form="an Admin API access token, as in shpat_0123...",  # noqa: S106
    own_secret=False,
    topics=TOPICS,
    app_topics=APP_TOPICS,
    gives_up_after_s=GIVES_UP_AFTER_S,
    has_locations=True,
    open_shop=open_shop,
    read_head=read_head,
    signed=signed,
    body_shop=body_shop,
    read_news=read_news,
    external_id_problem=external_id_problem,
    base_url=base_url,
    cart_url=cart_url,
)
