"""Webhook subscriptions of a shop: there, at the right address, each topic once. Ours alone are touched."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from vitrin.catalog.shop import metrics
from vitrin.catalog.shop.repository_shops import ShopRow
from vitrin.kit.crypto import TokenCipher
from vitrin.kit.ids import ConnectionId
from vitrin.platforms.shop import ShopSource, ShopSpec, Subscription

NEEDS_PUBLIC_URL: Final = "needs_public_url"
PUBLIC_URL_PROBLEM: Final = {
    "code": NEEDS_PUBLIC_URL,
    "message": "The shop cannot reach this server: no public https address of the catalog is set.",
    "fix": "Set CATALOG_PUBLIC_URL to an https address of the catalog. Until then the shop is only reconciled.",
}


@dataclass(frozen=True, slots=True)
class Plan:
    create: tuple[str, ...]
    remove: tuple[Subscription, ...]


def address_of(public_url: str, row: ShopRow, cipher: TokenCipher) -> str:
    """The mark at its end binds the address to the connection: an app's secret signs for all its shops."""
    return f"{public_url.rstrip('/')}{path_of(row)}/{marks_of(cipher, row.connection_id)[0]}"


def marks_of(cipher: TokenCipher, connection: ConnectionId) -> tuple[str, ...]:
    """The current one first; those of older keys are taken as long as the ring has them."""
    return cipher.marks(b"webhook address of " + connection.bytes)


def path_of(row: ShopRow) -> str:
    return f"/v1/webhooks/{row.platform}/{row.connection_id}"


def reachable_for(row: ShopRow, public_url: str) -> bool:
    """A live shop is elsewhere: it needs https and a host that is not this machine."""
    if not public_url:
        return False
    if row.mode != "live":
        return True
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    if parts.scheme != "https" or not host or host == "localhost":
        return False
    try:
        return ip_address(host).is_global
    except ValueError:
        return True


def plan(found: Sequence[Subscription], *, topics: Sequence[str], address: str, path: str) -> Plan:
    """Ours are those whose path has this connection's: with another host or mark it is one that we had before."""
    kept: set[str] = set()
    remove = []
    for one in found:
        if path not in urlsplit(one.address).path:
            continue
        if one.address == address and one.active and one.topic in topics and one.topic not in kept:
            kept.add(one.topic)
        else:
            remove.append(one)
    return Plan(tuple(topic for topic in topics if topic not in kept), tuple(remove))


async def ensure(
    row: ShopRow, spec: ShopSpec, source: ShopSource, *, public_url: str, secret: str, cipher: TokenCipher
) -> Plan:
    """What was done. Raises PlatformFailure; what was made until then stays."""
    address = address_of(public_url, row, cipher)
    wanted = plan(await source.subscriptions(), topics=spec.topics, address=address, path=path_of(row))
    for topic in wanted.create:
        await source.subscribe(topic, address, secret)
        metrics.WEBHOOKS_REPAIRED.labels(row.platform, "made").inc()
    for one in wanted.remove:
        await source.unsubscribe(one.subscription_id)
        metrics.WEBHOOKS_REPAIRED.labels(row.platform, "removed").inc()
    return wanted
