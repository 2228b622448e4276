"""Shareable checkout links, since WooCommerce 10.0 (developer.woocommerce.com, "Shareable Checkout URLs"). Pure."""

from collections.abc import Sequence
from urllib.parse import quote

from vitrin.platforms.shop import CartLine


def cart_url(storefront_url: str, lines: Sequence[CartLine], coupons: Sequence[str]) -> str:
    """The link takes one coupon: the first. Simple products and single variations, by their ids."""
    products = ",".join(f"{line.variant_id or line.product_id}:{line.quantity}" for line in lines)
    coupon = f"&coupon={quote(coupons[0], safe='')}" if coupons else ""
    return f"{storefront_url.rstrip('/')}/checkout-link/?products={products}{coupon}"
