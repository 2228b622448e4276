"""What this release does with news of shops: the one place where kinds of news meet their handlers."""

from typing import Final

from vitrin.catalog.shop import applying
from vitrin.catalog.shop.handlers import Effects, Products

EFFECTS: Final = Effects(
    products=Products(
        applying=applying, known=applying.known_products, save_locations=applying.save_locations
    )
)
"""Orders and the privacy topics come with a handler each in `others`; until then their news waits in the table."""
