"""Personal data is sealed at the door with a key per person, or per brand and day (ADR 20).

sealed = await sealer.seal(brand, Person("shopify:acme.myshopify.com:customer:1"), fields, context="catalog.order.v1")
fields = await sealer.open(brand, sealed, context="catalog.order.v1")        # or Erased
"""

from vitrin.kit.seal.errors import SealCannotOpen, SealKeyUnknown, SealRefused, SealUnavailable
from vitrin.kit.seal.keys import Day, Person, Receipt, Whose
from vitrin.kit.seal.local import SpoolSeal
from vitrin.kit.seal.remote import AccountsKeys
from vitrin.kit.seal.sealer import Sealer, ToSeal
from vitrin.kit.seal.sealing import Erased, Fields, pack, unpack

__all__ = [
    "AccountsKeys",
    "Day",
    "Erased",
    "Fields",
    "Person",
    "Receipt",
    "SealCannotOpen",
    "SealKeyUnknown",
    "SealRefused",
    "SealUnavailable",
    "Sealer",
    "SpoolSeal",
    "ToSeal",
    "Whose",
    "pack",
    "unpack",
]
