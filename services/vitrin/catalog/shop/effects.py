"""What this release does with news of shops: the one place where kinds of news meet their handlers."""

from typing import Final

from vitrin.catalog.shop.handlers import Effects

EFFECTS: Final = Effects()
"""Products and stock come with the matching of shops (ADR 21), orders with theirs; until then their news waits."""
