"""Every platform and shop that Vitrin speaks, by its name. A new one adds its folder and one line here."""

from collections.abc import Mapping
from types import MappingProxyType

from vitrin.platforms.audience import AudienceNetwork
from vitrin.platforms.base import PlatformSpec
from vitrin.platforms.conversion import ConversionNetwork
from vitrin.platforms.meta.audience import NETWORK as META_AUDIENCES
from vitrin.platforms.meta.channel import SPEC as META
from vitrin.platforms.meta.conversion import NETWORK as META_CONVERSIONS
from vitrin.platforms.meta.oauth import FLOW as META_OAUTH
from vitrin.platforms.oauth import OAuthFlow
from vitrin.platforms.pinterest.audience import NETWORK as PINTEREST_AUDIENCES
from vitrin.platforms.pinterest.channel import SPEC as PINTEREST
from vitrin.platforms.pinterest.conversion import NETWORK as PINTEREST_CONVERSIONS
from vitrin.platforms.pinterest.oauth import FLOW as PINTEREST_OAUTH
from vitrin.platforms.shop import ShopSpec
from vitrin.platforms.shopify.oauth import FLOW as SHOPIFY_OAUTH
from vitrin.platforms.shopify.spec import SPEC as SHOPIFY
from vitrin.platforms.woocommerce.spec import SPEC as WOOCOMMERCE

PLATFORMS: Mapping[str, PlatformSpec] = MappingProxyType({spec.name: spec for spec in (META, PINTEREST)})
OAUTH: Mapping[str, OAuthFlow] = MappingProxyType(
    {flow.platform: flow for flow in (META_OAUTH, PINTEREST_OAUTH, SHOPIFY_OAUTH)}
)
"""The platforms and shops that a person connects by consent."""
SHOPS: Mapping[str, ShopSpec] = MappingProxyType({spec.name: spec for spec in (SHOPIFY, WOOCOMMERCE)})
"""Where products come from. A name is never both a platform and a shop."""
AUDIENCES: Mapping[str, AudienceNetwork] = MappingProxyType(
    {network.name: network for network in (META_AUDIENCES, PINTEREST_AUDIENCES)}
)
"""Where audiences are uploaded to."""
CONVERSIONS: Mapping[str, ConversionNetwork] = MappingProxyType(
    {network.name: network for network in (META_CONVERSIONS, PINTEREST_CONVERSIONS)}
)
"""Where conversions are sent to."""
