"""What a change does to an item: pure. The caller holds the item's row lock and saves what is decided here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum

from vitrin.catalog.domain import (
    ExternalRefs,
    FieldProblem,
    ItemContent,
    Offer,
    apply_offer_patch,
    apply_patch,
)


class Verb(StrEnum):
    CREATE = "create"
    UPSERT = "upsert"
    PATCH = "patch"
    OFFER = "offer"
    DELETE = "delete"


class Outcome(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    REFUSED = "refused"


MAY_CREATE = frozenset({Verb.CREATE, Verb.UPSERT})


@dataclass(frozen=True, slots=True)
class Change:
    """`patch` is in the words of `domain.patch`: absent means unchanged, null means cleared. `refs` None: unchanged."""

    verb: Verb
    item_id: str
    patch: Mapping[str, object]
    occurred_at: datetime
    refs: ExternalRefs | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """An item under its lock. No content: new (version 0) or deleted; its counters go on from here."""

    content_version: int
    offer_version: int
    content: ItemContent | None
    offer: Offer | None
    refs: ExternalRefs
    deleted: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """State after the change. A version is higher than before exactly where `..._changed` says so."""

    change: Change
    outcome: Outcome
    content: ItemContent | None
    offer: Offer | None
    refs: ExternalRefs
    content_version: int
    offer_version: int
    content_changed: bool = False
    offer_changed: bool = False
    refs_changed: bool = False
    problems: tuple[FieldProblem, ...] = ()

    @property
    def writes(self) -> bool:
        return self.content_changed or self.offer_changed or self.refs_changed


ABSENT = Stored(
    content_version=0, offer_version=0, content=None, offer=None, refs=ExternalRefs(), deleted=False
)


def refusal(change: Change, stored: Stored, *problems: FieldProblem) -> Decision:
    return Decision(
        change=change,
        outcome=Outcome.REFUSED,
        content=stored.content,
        offer=stored.offer,
        refs=stored.refs,
        content_version=stored.content_version,
        offer_version=stored.offer_version,
        problems=problems,
    )


def decide(
    change: Change, stored: Stored, *, market_currency: str, default_currency: str | None = None
) -> Decision:
    """The outcome of one change on the state under lock; refused means that nothing of it is applied."""
    live = stored.content is not None
    if change.verb is Verb.DELETE:
        return _delete(change, stored)
    if change.verb is Verb.CREATE and live:
        return refusal(change, stored, _exists())
    if change.verb not in MAY_CREATE and not live:
        return refusal(change, stored, item_unknown())
    if change.verb is Verb.OFFER:
        patched = apply_offer_patch(
            stored.offer, change.patch, market_currency=market_currency, default_currency=default_currency
        )
        content, offer, problems = stored.content, patched.offer, patched.problems
    else:
        content, offer, problems = apply_patch(
            stored.content,
            stored.offer,
            change.patch,
            market_currency=market_currency,
            default_currency=default_currency,
        )
    if problems:
        return refusal(change, stored, *problems)
    return _changed(change, stored, content, offer)


def _changed(change: Change, stored: Stored, content: ItemContent | None, offer: Offer | None) -> Decision:
    given = _given_refs(change, stored)
    refs = given
    if content is not None and (given.sku, given.gtin) != (content.sku, content.gtin):
        refs = replace(given, sku=content.sku, gtin=content.gtin)
    # Channels name items by what the shop calls them, so a change of that is news of the content.
    content_changed = content != stored.content or _told(refs) != _told(stored.refs)
    offer_changed = offer != stored.offer
    if stored.content is None:
        outcome = Outcome.CREATED
    elif content_changed or offer_changed or (given is not stored.refs and refs != stored.refs):
        outcome = Outcome.UPDATED
    else:
        outcome = Outcome.UNCHANGED
    return Decision(
        change=change,
        outcome=outcome,
        content=content,
        offer=offer,
        refs=refs,
        content_version=stored.content_version + content_changed,
        offer_version=stored.offer_version + offer_changed,
        content_changed=content_changed,
        offer_changed=offer_changed,
        refs_changed=given is not stored.refs and refs != stored.refs,
    )


def _told(refs: ExternalRefs) -> tuple[str, str, str, str]:
    """What is published of them."""
    return refs.source, refs.product_id, refs.variant_id, refs.handle


def _given_refs(change: Change, stored: Stored) -> ExternalRefs:
    """A shop that has told which variant the item is has the last word; files know less, and name no shop."""
    names_shop = ":" in stored.refs.source
    if change.refs is None or (
        stored.refs.variant_id
        and (not change.refs.variant_id or (names_shop and ":" not in change.refs.source))
    ):
        return stored.refs
    return change.refs


def _delete(change: Change, stored: Stored) -> Decision:
    """Both counters rise: whatever was published before is void in both lanes. A repeated delete changes nothing."""
    if stored.content is None and not stored.deleted:
        return refusal(change, stored, item_unknown())
    gone = stored.content is not None
    return Decision(
        change=change,
        outcome=Outcome.DELETED if gone else Outcome.UNCHANGED,
        content=None,
        offer=None,
        refs=ExternalRefs(),
        content_version=stored.content_version + gone,
        offer_version=stored.offer_version + gone,
        content_changed=gone,
        offer_changed=gone,
        refs_changed=gone,
    )


def item_unknown() -> FieldProblem:
    return FieldProblem("id", "item_unknown", "there is no item with this id", "Create the item first.")


def too_large(change: Change, stored: Stored, content: ItemContent, *, bytes_max: int) -> Decision:
    """Every field is within its limit and all of them together are not."""
    largest = max(
        (field.name for field in fields(content)), key=lambda name: len(repr(getattr(content, name)))
    )
    problem = FieldProblem(
        largest,
        "item_too_large",
        f"the whole item has more than {bytes_max:,} bytes, and this is its largest field",
        "Shorten it, or send fewer values.",
    )
    return refusal(change, stored, problem)


def _exists() -> FieldProblem:
    return FieldProblem(
        "id", "item_exists", "there is already an item with this id", "Change it with PATCH or items:batch."
    )
