"""Which item a shop's variant is: pure, on rows that the caller holds against other matchers (ADR 21).

In this order: bound to the variant already; the shop's id of the variant, where a file named it; handle and options;
SKU; GTIN; a new item. A step that finds more than one never guesses: the next step has the word, and in the end a new
item.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vitrin.catalog.domain import ExternalRefs
from vitrin.catalog.domain.products import Options
from vitrin.catalog.shop.mapping import Mapped


class Step(StrEnum):
    BOUND = "bound"
    VARIANT = "variant"
    HANDLE = "handle"
    SKU = "sku"
    GTIN = "gtin"
    NEW = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An item that could be meant. `bound`: it is the variant of some shop already. Not `live`: deleted."""

    item_id: str
    source: str
    handle: str
    options: Options
    sku: str
    gtin: str
    live: bool
    bound: bool
    variant_id: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """`ambiguous`: a step found several items, and none of them was taken for it."""

    item_id: str
    step: Step
    ambiguous: bool = False


def kind_of(source: str) -> str:
    """What files call it: "shopify" of "shopify:acme.myshopify.com"."""
    return source.partition(":")[0]


def names_shop(refs: ExternalRefs) -> bool:
    """Whether these refs say which variant of which shop; those of a file do not."""
    return ":" in refs.source and bool(refs.variant_id)


def match(
    variants: Sequence[Mapped], bound: Mapping[str, str], candidates: Sequence[Candidate]
) -> dict[str, Match]:
    """By variant id. `bound`: variant id to item id, of this shop. `candidates`: all live items that carry the handle,
    a SKU or a GTIN of the product, and all items, deleted ones too, that have one of the ids it could give."""
    found = {
        one.variant.variant_id: Match(bound[one.variant.variant_id], Step.BOUND)
        for one in variants
        if one.variant.variant_id in bound
    }
    taken = set(bound.values())
    if not variants:
        return found
    unclear: set[str] = set()
    for step in (Step.VARIANT, Step.HANDLE, Step.SKU, Step.GTIN):
        live: dict[object, list[Candidate]] = {}
        for item in candidates:
            if item.live and (word := _word(step, item, variants[0].refs)) is not None:
                live.setdefault(word, []).append(item)
        carried = Counter(key for one in variants if (key := _key(step, one)) is not None)
        for one in variants:
            variant_id, key = one.variant.variant_id, _key(step, one)
            if variant_id in found or key is None:
                continue
            fits = live.get(key, [])
            free = [item for item in fits if not item.bound and item.item_id not in taken]
            # A handle is the shop's own; an SKU or GTIN that anything else carries too says nothing.
            of_shop = step in (Step.VARIANT, Step.HANDLE)
            sole = len(free) == 1 and carried[key] == 1 and (of_shop or len(fits) == 1)
            if step is Step.VARIANT and sole and _another(free[0], one):
                continue
            if sole:
                found[variant_id] = Match(free[0].item_id, step, variant_id in unclear)
                taken.add(free[0].item_id)
            elif len(fits) > 1 or (free and carried[key] > 1):
                unclear.add(variant_id)
    occupied = taken | {item.item_id for item in candidates if item.bound}
    for one in variants:
        variant_id = one.variant.variant_id
        if variant_id not in found:
            item_id = one.own_id if one.item_id in occupied else one.item_id
            found[variant_id] = Match(item_id, Step.NEW, variant_id in unclear)
            occupied.add(item_id)
    return found


def _key(step: Step, one: Mapped) -> object | None:
    if step is Step.VARIANT:
        return one.variant.variant_id
    if step is Step.HANDLE:
        return one.options if one.refs.handle else None
    return (one.refs.sku if step is Step.SKU else one.refs.gtin) or None


def _another(item: Candidate, one: Mapped) -> bool:
    """Two WooCommerce shops number alike: a file's row of the other one has another SKU."""
    return bool(item.sku and one.refs.sku) and item.sku != one.refs.sku


def _word(step: Step, item: Candidate, refs: ExternalRefs) -> object | None:
    """What the item has to say in this step, to be compared with `_key`; `refs` of any variant of the product."""
    same_shop = item.source in {refs.source, kind_of(refs.source)}
    if step is Step.VARIANT:
        return item.variant_id or None if same_shop else None
    if step is Step.HANDLE:
        return item.options if same_shop and item.handle == refs.handle else None
    return (item.sku if step is Step.SKU else item.gtin) or None
