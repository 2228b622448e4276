"""Files of a shop meet what its webhooks have made: the match order of ADR 21 the other way round."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Final

from vitrin.catalog.domain.products import Options
from vitrin.catalog.importing import ImportRecord
from vitrin.catalog.shop import repository_products as products
from vitrin.catalog.shop.matching import kind_of
from vitrin.catalog.shop.repository_products import Bound
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId

_Words = tuple[str, str, Options]

SHOP_KNOWS_BETTER: Final = frozenset({"quantity", "link", "item_group_id"})
"""Of items that a connected shop reports: stock moves after the export, the link names the variant, and a group keeps
its name when the handle changes."""


async def meet(tx: WriteSession, brand: BrandId, batch: Sequence[ImportRecord]) -> list[ImportRecord]:
    """Records of shop files under the ids of the items that they are. Costs nothing where no shop is connected. Until
    the end of the transaction no webhook makes or binds an item of the brand."""
    if not any(record.refs.source for record in batch):
        return list(batch)
    await products.lock_matching(tx, brand)
    if not await products.any_bound(tx, brand):
        return list(batch)
    handles = {record.refs.handle for record in batch if record.refs.handle}
    ids = {record.item_id for record in batch if record.item_id and record.refs.source}
    variants = {record.refs.variant_id for record in batch if record.refs.variant_id}
    bound = await products.bound_items(tx, brand, handles=handles, variants=variants, ids=ids)
    ids_bound = {one.item_id for one in bound}
    by_words: dict[_Words, list[str]] = {}
    by_variant: dict[tuple[str, str], list[Bound]] = {}
    for one in bound:
        by_variant.setdefault((kind_of(one.source), one.variant_id), []).append(one)
        by_words.setdefault((kind_of(one.source), one.handle, one.options), []).append(one.item_id)
    return [_met(record, by_words, by_variant, ids_bound) for record in batch]


def _met(
    record: ImportRecord,
    by_words: Mapping[_Words, list[str]],
    by_variant: Mapping[tuple[str, str], list[Bound]],
    bound: Set[str],
) -> ImportRecord:
    """Two shops of a brand may both have it: then the file does not say which, and the plain id has the word."""
    refs = record.refs
    if not refs.source or record.item_id is None:
        return record
    fits = []
    if refs.variant_id:  # shops of one kind number alike: what has another SKU is another shop's
        found = by_variant.get((refs.source, refs.variant_id), [])
        fits = [one.item_id for one in found if not (one.sku and refs.sku and one.sku != refs.sku)]
    elif refs.handle:
        fits = by_words.get((refs.source, refs.handle, refs.options), [])
    item_id = fits[0] if len(fits) == 1 else record.item_id
    if item_id not in bound:
        return record
    values = {name: value for name, value in record.values.items() if name not in SHOP_KNOWS_BETTER}
    return replace(record, item_id=item_id, values={**values, "id": item_id})
