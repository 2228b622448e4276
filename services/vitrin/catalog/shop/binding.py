"""Which shop a body may be about, where the secret that signs belongs to an app: several shops share that secret, so a
signature proves the app, and headers prove nothing.

The mark in a connection's address binds what comes there (ADR 27). At the app's own address nothing does but the body
itself. A shop that signs with a secret of its own is bound by its signature."""

from collections.abc import Collection

from vitrin.platforms.shop import DeliveryHead, ShopSpec


def is_about(spec: ShopSpec, names: Collection[str], *, head: DeliveryHead, body: bytes) -> bool:
    """At a connection's address, its signature right: neither head nor body names another shop. `names`: what the
    connection calls its shop."""
    if spec.own_secret:
        return True
    named = spec.body_shop(head, body)
    return head.shop in names and (not named or named in names)


def app_shop(spec: ShopSpec, *, head: DeliveryHead, body: bytes) -> str:
    """At an app's address: the shop that the signed body names; "" where it names none, or another than the head, and
    then it is nobody's. Topics stand in a header too: the body of an order that calls itself an erasure names none."""
    named = spec.body_shop(head, body)
    return named if named == head.shop else ""
