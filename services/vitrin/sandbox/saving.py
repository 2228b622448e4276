"""The state file: what a restart of the sandbox does not forget.

JSON lines: a header with the version, accounts, catalogs with their items in the order of creation, batches, and an
end that counts them. Kept are accounts, tokens' states, catalogs, items with the times of their changes, batches still
to be carried out and those that finished in the last hour, apps and tokens of consents, shops with their goods, orders
and webhooks still to be sent, audiences and conversion events; not the log, faults and quotas.
Batches are written in the shape of the platform's own ``Batch``: who changes that or a line here counts VERSION up,
unless the change is a field with a default, which older files just lack. Drift that was planned and has not happened
yet is not kept either.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from vitrin.sandbox.accounts import Account
from vitrin.sandbox.ads.audiences import Audience
from vitrin.sandbox.ads.conversions import Event
from vitrin.sandbox.grants import HOUSE_APPS, Issued, Refresh
from vitrin.sandbox.shops.model import Order, Product, Shop
from vitrin.sandbox.shops.outbox import Delivery
from vitrin.sandbox.state import CatalogState, StoredItem
from vitrin.sandbox.world import World

FORMAT = "vitrin-sandbox-state"
VERSION = 1

BATCHES_KEPT_MS = 3_600_000
BATCHES_FINISHED_MAX = 1_000
"""Finished batches of one platform that are written."""

CHUNK_BYTES = 64 * 1024
"""Written at once. Each write lets go of the interpreter lock, so the event loop waits for no more than this."""


class StateUnreadable(Exception):
    """The file is not a whole state of this version; the message says what is wrong."""


class Header(msgspec.Struct, tag="header", frozen=True):
    """The first line; its shape is the same in all versions."""

    format: str
    version: int


class AccountLine(msgspec.Struct, tag="account", frozen=True):
    """One account."""

    account: Account


class CatalogLine(msgspec.Struct, tag="catalog", frozen=True):
    """One catalog; the items that follow are its own."""

    platform: str
    catalog_id: str
    name: str
    created_ms: int
    last_change_ms: int | None
    next_seq: int
    recent: list[str]
    groups: dict[str, dict[str, Any]] = {}


class ItemLine(msgspec.Struct, tag="item", frozen=True):
    """One item of the catalog above."""

    key: str
    seq: int
    created_ms: int
    updated_ms: int
    changed_ms: dict[str, int] | None
    fields: msgspec.Raw


class BatchLine(msgspec.Struct, tag="batch", frozen=True):
    """One batch."""

    platform: str
    batch: msgspec.Raw


class AppLine(msgspec.Struct, tag="oauth_app", frozen=True):
    """An app that may ask for consent."""

    platform: str
    app_id: str
    secret: str


class IssuedLine(msgspec.Struct, tag="oauth_token", frozen=True):
    """An access token that was given by consent."""

    issued: Issued


class RefreshLine(msgspec.Struct, tag="oauth_refresh", frozen=True):
    """A refresh token."""

    text: str
    refresh: Refresh


class ShopLine(msgspec.Struct, tag="shop", frozen=True):
    """One shop without its goods and orders; those that follow are its own."""

    shop: Shop


class ProductLine(msgspec.Struct, tag="shop_product", frozen=True):
    """One product of the shop above."""

    product: Product


class OrderLine(msgspec.Struct, tag="shop_order", frozen=True):
    """One order of the shop above."""

    order: Order


class HookLine(msgspec.Struct, tag="shop_hook", frozen=True):
    """A webhook that has still to arrive."""

    delivery: Delivery


class PrivacyLine(msgspec.Struct, tag="shop_privacy", frozen=True):
    """Where an app wants the privacy topics."""

    app_id: str
    address: str


class AudienceLine(msgspec.Struct, tag="audience", frozen=True):
    """One audience of an ad network."""

    platform: str
    audience: Audience


class ConversionLine(msgspec.Struct, tag="conversion", frozen=True):
    """One conversion event that a network was told of."""

    platform: str
    event: Event


class End(msgspec.Struct, tag="end", frozen=True):
    """The last line; without it the file is cut off."""

    lines: int


ShopLines = ShopLine | ProductLine | OrderLine | HookLine | PrivacyLine
Line = (
    Header
    | AccountLine
    | CatalogLine
    | ItemLine
    | BatchLine
    | AppLine
    | IssuedLine
    | RefreshLine
    | ShopLines
    | AudienceLine
    | ConversionLine
    | End
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a world, which later changes leave as it is. Items are shared with the world, not copied."""

    accounts: list[bytes]
    catalogs: list[tuple[CatalogLine, list[StoredItem]]]
    batches: list[tuple[str, Any]]
    consents: list[bytes]
    shops: list[tuple[bytes, list[Product], list[Order]]]
    hooks: list[bytes]
    ads: list[AudienceLine | ConversionLine]

    def lines(self) -> Iterator[bytes]:
        """The lines of the file, without their breaks, encoded one at a time."""
        count = 1
        yield _encoder.encode(Header(FORMAT, VERSION))
        for line in self._body():
            count += 1
            yield line
        yield _encoder.encode(End(count + 1))

    def _body(self) -> Iterator[bytes]:
        yield from self.accounts
        for head, items in self.catalogs:
            yield _encoder.encode(head)
            for item in items:
                yield _encoder.encode(
                    ItemLine(
                        item.key,
                        item.seq,
                        item.created_ms,
                        item.updated_ms,
                        item.changed_ms,
                        msgspec.Raw(item.blob),
                    )
                )
        for platform, batch in self.batches:
            yield _encoder.encode(BatchLine(platform, msgspec.Raw(_encoder.encode(batch))))
        yield from self.consents
        for shop, products, orders in self.shops:
            yield shop
            for product in products:
                yield _encoder.encode(ProductLine(product))
            for order in orders:
                yield _encoder.encode(OrderLine(order))
        yield from self.hooks
        for line in self.ads:
            yield _encoder.encode(line)


def capture(world: World) -> Snapshot:
    """The world as it is now; to be called where it changes, on the event loop."""
    since_ms = world.now_ms() - BATCHES_KEPT_MS
    return Snapshot(
        accounts=[
            _encoder.encode(AccountLine(account))
            for accounts in world.accounts.by_platform.values()
            for account in accounts
        ],
        catalogs=[
            (_head(catalog), catalog.snapshot())
            for platform in world.platforms.values()
            for catalog in platform.catalogs.values()
        ],
        batches=[
            (name, batch)
            for name, platform in world.platforms.items()
            for batch in platform.batches.snapshot(since_ms=since_ms, finished_max=BATCHES_FINISHED_MAX)
        ],
        consents=[_encoder.encode(line) for line in _consents(world)],
        shops=[
            (
                _encoder.encode(ShopLine(msgspec.structs.replace(shop, products={}, orders={}))),
                list(shop.products.values()),
                list(shop.orders.values()),
            )
            for shop in world.street.book.shops.values()
        ],
        hooks=[_encoder.encode(line) for line in _hooks(world)],
        ads=list(_ads(world)),
    )


def _ads(world: World) -> Iterator[AudienceLine | ConversionLine]:
    """Audiences are copied, events never change."""
    for name, platform in world.platforms.items():
        for audience in platform.ads.audiences.audiences.values():
            yield AudienceLine(name, audience.copy())
        for event in platform.ads.conversions.events.values():
            yield ConversionLine(name, event)


def _consents(world: World) -> Iterator[AppLine | IssuedLine | RefreshLine]:
    """Codes live ten minutes and are not kept; the apps that every sandbox knows need not be."""
    for (platform, app_id), secret in world.grants.apps.items():
        if HOUSE_APPS.get(platform) != (app_id, secret):
            yield AppLine(platform, app_id, secret)
    for issued in world.grants.tokens.values():
        yield IssuedLine(issued)
    for text, refresh in world.grants.refreshes.items():
        yield RefreshLine(text, refresh)


def _hooks(world: World) -> Iterator[HookLine | PrivacyLine]:
    for app_id, address in world.street.book.privacy.items():
        yield PrivacyLine(app_id, address)
    for delivery in world.street.book.outbox.pending():
        yield HookLine(delivery)


def _head(catalog: CatalogState) -> CatalogLine:
    return CatalogLine(
        platform=catalog.platform,
        catalog_id=catalog.catalog_id,
        name=catalog.name,
        created_ms=catalog.created_ms,
        last_change_ms=catalog.last_change_ms,
        next_seq=catalog.next_seq,
        recent=[item.key for item in catalog.recent()][::-1],
        groups=dict(catalog.groups),
    )


def write(snapshot: Snapshot, path: Path) -> None:
    """Put the snapshot in the file's place, whole or not at all. Raises ``OSError``; meant for a thread."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.draft")
    with draft.open("wb") as file:
        chunk = bytearray()
        for line in snapshot.lines():
            chunk += line
            chunk += b"\n"
            if len(chunk) >= CHUNK_BYTES:
                file.write(chunk)
                chunk.clear()
        file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def restore(world: World, path: Path) -> None:
    """Fill a world that has no accounts yet.

    Raises ``FileNotFoundError``, and ``StateUnreadable`` for any other file that cannot be used; the world is then
    half filled and of no use.
    """
    number = 0
    try:
        with path.open("rb") as file:
            reader = _Reader(world)
            for number, line in enumerate(file, start=1):
                reader.take(line, number=number)
            reader.finish()
    except FileNotFoundError:
        raise
    except (OSError, msgspec.MsgspecError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise StateUnreadable(f"line {number}: {type(error).__name__}: {error}") from error


class _Reader:
    """Takes the lines in their order. What is wrong with one raises ``StateUnreadable`` or what the parsing raised."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._catalog: CatalogState | None = None
        self._shop: Shop | None = None
        self._heads: list[tuple[CatalogState, CatalogLine]] = []
        self._ended = False

    def take(self, encoded: bytes, *, number: int) -> None:
        """One line; they are numbered from 1."""
        if self._ended:
            raise StateUnreadable(f"line {number} comes after the end")
        if number == 1:
            _check_header(msgspec.json.decode(encoded, type=Header))
            return
        line = _decoder.decode(encoded)
        match line:
            case ItemLine():
                self._take_item(line)
            case BatchLine():
                batch = self._world.platforms[line.platform].batches.restore(line.batch)
                self._world.platforms[line.platform].catalogs[batch.catalog_id]
            case CatalogLine():
                self._catalog = self._world.platforms[line.platform].add_catalog(
                    line.catalog_id, name=line.name
                )
                self._catalog.groups.update(line.groups)
                self._heads.append((self._catalog, line))
            case AccountLine():
                self._world.accounts.restore(line.account)
            case AppLine() | IssuedLine() | RefreshLine():
                self._take_consent(line)
            case ShopLine() | ProductLine() | OrderLine() | HookLine() | PrivacyLine():
                self._take_shop(line)
            case AudienceLine():
                self._world.platforms[line.platform].ads.audiences.restore(line.audience)
            case ConversionLine():
                self._world.platforms[line.platform].ads.conversions.restore(line.event)
            case End():
                if line.lines != number:
                    raise StateUnreadable(f"there are {number} lines, {line.lines} were written")
                self._ended = True
            case Header():
                raise StateUnreadable(f"line {number} is a second header")

    def finish(self) -> None:
        """After the last line."""
        if not self._ended:
            raise StateUnreadable("the end is missing")
        for accounts in self._world.accounts.by_platform.values():
            for account in accounts:
                for catalog_id in account.catalog_ids:
                    self._world.platforms[account.platform].catalogs[catalog_id]
        for catalog, head in self._heads:
            catalog.restore_head(
                created_ms=head.created_ms,
                last_change_ms=head.last_change_ms,
                next_seq=head.next_seq,
                recent=head.recent,
            )

    def _take_consent(self, line: AppLine | IssuedLine | RefreshLine) -> None:
        grants = self._world.grants
        match line:
            case AppLine():
                grants.apps[line.platform, line.app_id] = line.secret
            case IssuedLine():
                account = line.issued.account
                own = self._world.accounts.by_platform[account.platform][account.number - 1]
                account.catalog_ids, account.external_ids = own.catalog_ids, own.external_ids
                grants.keep(line.issued)
            case RefreshLine():
                grants.refreshes[line.text] = line.refresh

    def _take_shop(self, line: ShopLines) -> None:
        book = self._world.street.book
        match line:
            case ShopLine():
                self._shop = line.shop
                book.shops[line.shop.kind, line.shop.host] = line.shop
            case HookLine():
                line.delivery.state = "waiting"
                book.outbox.keep(line.delivery)
            case PrivacyLine():
                book.privacy[line.app_id] = line.address
            case ProductLine() | OrderLine():
                if self._shop is None:
                    raise StateUnreadable("goods come before their shop")
                if isinstance(line, ProductLine):
                    self._shop.products[line.product.id] = line.product
                else:
                    self._shop.orders[line.order.id] = line.order

    def _take_item(self, line: ItemLine) -> None:
        if self._catalog is None:
            raise StateUnreadable("an item comes before its catalog")
        self._catalog.restore_item(
            StoredItem(
                key=line.key,
                seq=line.seq,
                blob=bytes(line.fields),
                created_ms=line.created_ms,
                updated_ms=line.updated_ms,
                changed_ms=line.changed_ms,
            )
        )


def _check_header(header: Header) -> None:
    if header.format != FORMAT:
        raise StateUnreadable(f"the format is {header.format!r}, not {FORMAT!r}")
    if header.version != VERSION:
        raise StateUnreadable(f"the version is {header.version}, this sandbox reads {VERSION}")
