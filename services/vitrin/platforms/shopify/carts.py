"""Cart permalinks (shopify.dev, "Create cart permalinks"). Pure."""

from collections.abc import Sequence
from urllib.parse import quote

from vitrin.platforms.shop import CartLine


def cart_url(storefront_url: str, lines: Sequence[CartLine], coupons: Sequence[str]) -> str:
    """Several codes are joined by commas (unverified for codes that cannot be combined: the checkout says so)."""
    wanted = ",".join(f"{line.variant_id}:{line.quantity}" for line in lines)
    codes = ",".join(quote(code, safe="") for code in coupons)
    return f"{storefront_url.rstrip('/')}/cart/{wanted}{f'?discount={codes}' if codes else ''}"
