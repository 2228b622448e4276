"""What binds a webhook to one shop where the secret that signs belongs to an app: several shops share that secret, so
a signature proves the app, and headers prove nothing.

Two things do: the callback address, whose last part only the shop's own subscriptions know, and the body of those
topics that name their shop. A shop that signs with a secret of its own is bound by its signature."""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Collection
from typing import Final
from uuid import UUID

from vitrin.kit.crypto import TokenCipher
from vitrin.platforms.shop import DeliveryHead, ShopSpec

_PURPOSE: Final = b"vitrin catalog webhook address"
TOKEN_BYTES: Final = 16


class ShopTokens:
    """The last part of a connection's callback address, under the ring of CATALOG_SPOOL_KEYS: every process makes the
    same, none is stored, and those of an older key are good as long as the ring has it."""

    def __init__(self, cipher: TokenCipher) -> None:
        self._cipher = cipher

    def current(self, platform: str, connection: UUID) -> str:
        return self._all(platform, connection)[0]

    def fits(self, platform: str, connection: UUID, given: str) -> bool:
        """In constant time."""
        sent = given.encode("utf-8", "surrogatepass")
        compared = [hmac.compare_digest(one.encode(), sent) for one in self._all(platform, connection)]
        return any(compared)

    def _all(self, platform: str, connection: UUID) -> list[str]:
        marks = self._cipher.marks(_PURPOSE, f"{platform} {connection}".encode())
        return [urlsafe_b64encode(mark[:TOKEN_BYTES]).rstrip(b"=").decode() for mark in marks]


def is_about(spec: ShopSpec, names: Collection[str], *, head: DeliveryHead, body: bytes) -> bool:
    """Of a body whose signature is right, at a connection's own address: neither its head nor the body itself names
    another shop. `names`: what the connection calls its shop."""
    if spec.own_secret:
        return True
    named = spec.body_shop(head, body)
    return head.shop in names and (not named or named in names)


def app_shop(spec: ShopSpec, *, head: DeliveryHead, body: bytes) -> str:
    """The shop of a body at an app's address, where nothing but the body binds it; "" where it does not, and then it is
    nobody's."""
    named = spec.body_shop(head, body)
    return named if named == head.shop else ""
