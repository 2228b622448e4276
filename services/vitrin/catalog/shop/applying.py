"""A shop's products, deletions and stock become items (ADR 21). Each is one step of the caller's transaction.

Old news is told by the shop's own moment under the row lock, so late, repeated and reordered deliveries end equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from vitrin.catalog.changes import Change, Decision, Outcome, Verb
from vitrin.catalog.domain import FieldProblem
from vitrin.catalog.service_places import Place
from vitrin.catalog.service_write import CHANGES_PER_TRANSACTION_MAX, write_changes
from vitrin.catalog.shop import repository_products as products
from vitrin.catalog.shop import repository_stock as stocks
from vitrin.catalog.shop.mapping import Known, Mapped, group_of, map_product, patch_of, pieces
from vitrin.catalog.shop.matching import Match, Step, match
from vitrin.catalog.shop.repository_products import Binding, Key
from vitrin.catalog.shop.repository_stock import Named
from vitrin.catalog.shop.stock import Inventory, newest, quantity_of
from vitrin.catalog.shop.values import Applied, Shop
from vitrin.kit import metrics
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.platforms.shop import ShopLocation, ShopProduct, StockLevel, source_of_shop

MATCHES = metrics.counter(
    "vitrin_catalog_shop_matches_total",
    "Variants of shops that became an item for the first time, by the step that found it (new: none did).",
    ("step",),
)
AMBIGUOUS = metrics.counter(
    "vitrin_catalog_shop_ambiguous_total", "Variants of shops for which a step found several items."
)
PARKED = metrics.counter(
    "vitrin_catalog_shop_stock_parked_total", "Stock that came before the product it belongs to."
)
LEFT_OUT = metrics.counter(
    "vitrin_catalog_shop_left_out_total",
    "Variants of shops that were taken without a field that could not be read, each time they were told.",
)
UNKNOWN_LOCATIONS = metrics.counter(
    "vitrin_catalog_shop_unknown_locations_total", "Locations of shops that stock named first."
)
NO_ITEM: Final = Known()


def key_of(shop: Shop) -> Key:
    return Key(shop.brand, shop.connection_id)


async def apply_product(
    tx: WriteSession,
    shop: Shop,
    product: ShopProduct,
    levels: Sequence[StockLevel],
    *,
    place: Place,
    received_at: datetime,
) -> Applied:
    """The product as it is, whole: variants that are not in it are gone. `levels` have moments of their own and count
    even where the product is old news."""
    key = key_of(shop)
    held = await products.hold_product(tx, key, product.product_id, now=received_at)
    if _old(product.updated_at, held.source_at, held.gone_at):
        told = await apply_stock(tx, shop, levels, place=place, received_at=received_at)
        return replace(told, stale=True)
    mapped = map_product(
        replace(product, variants=tuple({one.variant_id: one for one in product.variants}.values())),
        kind=shop.spec.refs_source,
        source=source_of_shop(shop.spec, shop.external_ids, str(shop.connection_id)),
        storefront_url=shop.storefront_url,
    )
    found, gone = await _match(tx, key, product, mapped)
    ids = {one.inventory_item_id for one in gone} | {one.variant.inventory_item_id for one in mapped}
    await stocks.hold_inventory(
        tx, key, (ids | {level.inventory_item_id for level in levels}) - {""}, now=received_at
    )
    items = {found[one.variant.variant_id].item_id for one in mapped}
    left = [one.item_id for one in gone if one.item_id not in items]
    await stocks.forget_items(tx, key, [one.item_id for one in gone], now=received_at)
    await products.unbind(tx, key, [one.variant_id for one in gone])
    await stocks.name_inventory(
        tx, key, [_named(one, found, product) for one in mapped if one.variant.inventory_item_id],
        now=received_at,
    )  # fmt: skip
    told = await apply_stock(tx, shop, levels, place=place, received_at=received_at, write=False)
    quantities = await _quantities(tx, key, mapped)
    known = await products.known_items(tx, shop.brand, items)
    occurred_at = min(product.updated_at, received_at)
    group = group_of(product, mapped, known)
    changes = [Change(Verb.DELETE, item_id, {}, occurred_at) for item_id in left]
    for one in mapped:
        item_id = found[one.variant.variant_id].item_id
        patch = patch_of(one, item_id, known.get(item_id, NO_ITEM), group=group)
        patch["quantity"] = quantities[one.variant.variant_id]
        changes.append(Change(Verb.UPSERT, item_id, patch, occurred_at, one.refs))
    decisions = await _write(tx, shop, changes, place=place, received_at=received_at)
    await _bind(tx, key, product, mapped, found=found, decisions=decisions, now=received_at)
    await products.mark_product(
        tx, key, product.product_id, source_at=product.updated_at, gone_at=None, now=received_at
    )
    _count_matches(tx, found)
    done = _applied(decisions)
    warned = {
        item_id: _sentences(one.warnings)
        for one in mapped
        if one.warnings and (item_id := found[one.variant.variant_id].item_id) not in done.refused
    }
    tx.after_commit(lambda: LEFT_OUT.inc(len(warned)))
    return replace(done, parked=told.parked, warnings=warned)


async def delete_product(
    tx: WriteSession, shop: Shop, product_id: str, *, at: datetime, place: Place, received_at: datetime
) -> Applied:
    """Wins over every update at or before `at`, also over those that come later."""
    key = key_of(shop)
    held = await products.hold_product(tx, key, product_id, now=received_at)
    if (held.source_at is not None and held.source_at > at) or (
        held.gone_at is not None and held.gone_at > at
    ):
        return Applied(stale=True)
    own = [one for one in await products.bindings(tx, key, product_id, ()) if one.product_id == product_id]
    inventory = [one.inventory_item_id for one in own if one.inventory_item_id]
    await stocks.hold_inventory(tx, key, inventory, now=received_at)
    items = [one.item_id for one in own]
    await stocks.forget_items(tx, key, items, now=received_at)
    await products.unbind(tx, key, [one.variant_id for one in own])
    changes = [Change(Verb.DELETE, item_id, {}, min(at, received_at)) for item_id in items]
    decisions = await _write(tx, shop, changes, place=place, received_at=received_at)
    await products.mark_product(tx, key, product_id, source_at=held.source_at, gone_at=at, now=received_at)
    return _applied(decisions)


async def apply_stock(
    tx: WriteSession,
    shop: Shop,
    levels: Sequence[StockLevel],
    *,
    place: Place,
    received_at: datetime,
    write: bool = True,
) -> Applied:
    """Each level by its own moment. `write` False: only kept, the caller writes the items."""
    if not levels:
        return Applied()
    moments, known = await _keep_levels(tx, key_of(shop), levels, now=received_at)
    parked = sum(1 for one in known.values() if not one.item_id)
    if not write:
        return Applied(parked=parked, stale=not moments)
    changes = _stock_changes(moments, known, received_at=received_at)
    decisions = await _write(tx, shop, changes, place=place, received_at=received_at)
    return replace(_applied(decisions), parked=parked, stale=not moments)


async def apply_stocks(
    tx: WriteSession, shop: Shop, levels: Sequence[StockLevel], *, place: Place, received_at: datetime
) -> dict[str, Applied]:
    """By inventory item, what `apply_stock` alone would have said of it. Raises ValueError where two of them are one
    item's: they have to go one by one."""
    moments, known = await _keep_levels(tx, key_of(shop), levels, now=received_at)
    changes = _stock_changes(moments, known, received_at=received_at)
    decisions = await _write(tx, shop, changes, place=place, received_at=received_at)
    by_item = {one.change.item_id: _applied([one]) for one in decisions}
    return {
        name: replace(
            by_item.get(one.item_id, Applied()), parked=int(not one.item_id), stale=name not in moments
        )
        for name, one in known.items()
    }


async def _keep_levels(
    tx: WriteSession, key: Key, levels: Sequence[StockLevel], *, now: datetime
) -> tuple[Mapping[str, datetime], Mapping[str, Inventory]]:
    """Newest moment of each inventory item that something new was said of, and what is known of all of them."""
    kept = newest(levels)
    ids = {level.inventory_item_id for level in kept}
    await stocks.hold_inventory(tx, key, ids, now=now)
    moments, unknown = await stocks.save_levels(tx, key, kept)
    known = await stocks.inventory(tx, key, ids)
    parked = sum(1 for one in known.values() if not one.item_id)
    tx.after_commit(lambda: _count_stock(parked, unknown))
    return moments, known


def _stock_changes(
    moments: Mapping[str, datetime], known: Mapping[str, Inventory], *, received_at: datetime
) -> list[Change]:
    return [
        Change(
            Verb.OFFER, one.item_id, {"quantity": quantity_of(one)}, min(moments[inventory_id], received_at)
        )
        for inventory_id, one in known.items()
        if one.item_id and inventory_id in moments
    ]


async def save_locations(tx: WriteSession, shop: Shop, locations: Sequence[ShopLocation]) -> None:
    """Their names and whether the shop uses them; what the brand chose stays."""
    if locations:
        rows = sorted(locations, key=lambda one: one.location_id)
        await stocks.save_locations(tx, key_of(shop), rows)


async def known_products(tx: ReadSession, shop: Shop, *, after: str, limit: int) -> list[str]:
    """Ids of the products that are here and not deleted, in byte order."""
    return await products.products_after(tx, key_of(shop), after=after, limit=limit)


def _old(at: datetime, source_at: datetime | None, gone_at: datetime | None) -> bool:
    return (source_at is not None and at < source_at) or (gone_at is not None and at <= gone_at)


async def _match(
    tx: WriteSession, key: Key, product: ShopProduct, mapped: Sequence[Mapped]
) -> tuple[dict[str, Match], list[Binding]]:
    """The item of each variant, and what is bound to variants that are gone. All variants known: no lock is needed,
    since only whoever holds the product changes its bindings."""
    ids = [one.variant.variant_id for one in mapped]
    known = await products.bindings(tx, key, product.product_id, ids)
    if not {one.variant_id for one in known}.issuperset(ids):
        await products.lock_matching(tx, key.brand)
        known = await products.bindings(tx, key, product.product_id, ids)
    gone = [one for one in known if one.variant_id not in ids]
    bound = {one.variant_id: one.item_id for one in known if one.variant_id in ids}
    if len(bound) == len(ids):
        return match(mapped, bound, ()), gone
    possible = await products.candidates(
        tx,
        key.brand,
        handle=product.handle,
        variants=set(ids),
        skus={one.refs.sku for one in mapped} - {""},
        gtins={one.refs.gtin for one in mapped} - {""},
        ids={one.item_id for one in mapped} | {one.own_id for one in mapped},
        free={one.item_id for one in gone},
    )
    return match(mapped, bound, possible), gone


def _named(one: Mapped, found: Mapping[str, Match], product: ShopProduct) -> Named:
    return Named(
        one.variant.inventory_item_id,
        found[one.variant.variant_id].item_id,
        one.variant.quantity,
        product.updated_at,
        one.variant.tracking_told,
    )


async def _quantities(tx: WriteSession, key: Key, mapped: Sequence[Mapped]) -> dict[str, int | None]:
    ids = {one.variant.inventory_item_id for one in mapped} - {""}
    known = await stocks.inventory(tx, key, ids) if ids else {}
    quantities = {}
    for one in mapped:
        own, inventory = one.variant.quantity, known.get(one.variant.inventory_item_id)
        plain = None if own is None else pieces(own)
        quantities[one.variant.variant_id] = plain if inventory is None else quantity_of(inventory)
    return quantities


async def _write(
    tx: WriteSession, shop: Shop, changes: list[Change], *, place: Place, received_at: datetime
) -> list[Decision]:
    """In key order over all slices, so that two writers never wait for each other."""
    decisions: list[Decision] = []
    ordered = sorted(changes, key=lambda change: change.item_id)
    for start in range(0, len(ordered), CHANGES_PER_TRANSACTION_MAX):
        decisions += await write_changes(
            tx,
            ordered[start : start + CHANGES_PER_TRANSACTION_MAX],
            place=place,
            actor=shop.actor,
            received_at=received_at,
        )
    return decisions


async def _bind(
    tx: WriteSession,
    key: Key,
    product: ShopProduct,
    mapped: Sequence[Mapped],
    *,
    found: Mapping[str, Match],
    decisions: Sequence[Decision],
    now: datetime,
) -> None:
    """A variant that was refused and has no item stays unbound: its next news is matched anew, its stock waits."""
    missing = {one.change.item_id for one in decisions if one.content is None}
    made = [
        Binding(
            one.variant.variant_id, product.product_id, item_id, one.variant.inventory_item_id, one.warnings
        )
        for one in mapped
        if (item_id := found[one.variant.variant_id].item_id) not in missing
    ]
    await products.bind(tx, key, product.product_id, made)
    if missing:
        await stocks.forget_items(tx, key, missing, now=now)


def _applied(decisions: Sequence[Decision]) -> Applied:
    outcomes = [one.outcome for one in decisions]
    return Applied(
        created=outcomes.count(Outcome.CREATED),
        updated=outcomes.count(Outcome.UPDATED),
        unchanged=outcomes.count(Outcome.UNCHANGED),
        deleted=outcomes.count(Outcome.DELETED),
        refused={
            one.change.item_id: _sentences(one.problems)
            for one in decisions
            if one.outcome is Outcome.REFUSED
        },
    )


def _sentences(problems: Sequence[FieldProblem]) -> tuple[str, ...]:
    return tuple(f"{problem.message} {problem.fix}" for problem in problems)


def _count_matches(tx: WriteSession, found: Mapping[str, Match]) -> None:
    def count() -> None:
        for one in found.values():
            if one.step is not Step.BOUND:
                MATCHES.labels(str(one.step)).inc()
            if one.ambiguous:
                AMBIGUOUS.inc()

    tx.after_commit(count)


def _count_stock(parked: int, unknown: int) -> None:
    PARKED.inc(parked)
    UNKNOWN_LOCATIONS.inc(unknown)
