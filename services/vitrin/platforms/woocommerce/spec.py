"""WooCommerce, as the services see it."""

from typing import Final

from vitrin.platforms.shop import ShopSpec
from vitrin.platforms.woocommerce.carts import cart_url
from vitrin.platforms.woocommerce.rules import (
    GIVES_UP_AFTER_S,
    NAME,
    STORE,
    TOPICS,
    base_url,
    external_id_problem,
)
from vitrin.platforms.woocommerce.source import open_shop
from vitrin.platforms.woocommerce.webhooks import read_head, read_news, signed

SPEC: Final = ShopSpec(
    name=NAME,
    title="WooCommerce",
    refs_source=NAME,
    required_external_ids=(STORE,),
    optional_external_ids=(),
    required_scopes=(),
    token_form="the REST API key and secret, as ck_...:cs_...",  # noqa: S106
    own_secret=True,
    topics=TOPICS,
    app_topics=(),
    gives_up_after_s=GIVES_UP_AFTER_S,
    has_locations=False,
    open_shop=open_shop,
    read_head=read_head,
    signed=signed,
    read_news=read_news,
    external_id_problem=external_id_problem,
    base_url=base_url,
    cart_url=cart_url,
)
