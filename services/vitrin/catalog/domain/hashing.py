"""Did anything change? Stable 16-byte digests over a canonical form."""

import json
from dataclasses import fields
from datetime import datetime
from hashlib import blake2b
from typing import Final

from vitrin.catalog.domain.entities import ItemContent, Offer
from vitrin.kit.money import Money

HASH_BYTES: Final = 16

_CONTENT_FIELDS: Final = tuple(sorted(field.name for field in fields(ItemContent)))
_OFFER_FIELDS: Final = tuple(sorted(field.name for field in fields(Offer)))


def content_hash(content: ItemContent) -> bytes:
    """Equal contents have equal hashes in every process and release; a new empty field changes none."""
    return _digest({name: getattr(content, name) for name in _CONTENT_FIELDS})


def offer_hash(offer: Offer) -> bytes:
    return _digest({name: getattr(offer, name) for name in _OFFER_FIELDS})


def _plain(value: object) -> object:
    if isinstance(value, Money):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _digest(values: dict[str, object]) -> bytes:
    kept = {name: value for name, value in values.items() if value not in (None, "", (), {})}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)
    return blake2b(text.encode(), digest_size=HASH_BYTES).digest()
