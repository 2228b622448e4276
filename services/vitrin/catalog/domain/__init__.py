"""Pure rules of the catalog: no I/O, no clock, no framework."""

from vitrin.catalog.domain.documents import (
    content_document,
    effective_document,
    offer_document,
    refs_document,
)
from vitrin.catalog.domain.entities import ExternalRefs, ItemContent, Offer, effective_availability
from vitrin.catalog.domain.hashing import content_hash, offer_hash
from vitrin.catalog.domain.html_text import html_to_text
from vitrin.catalog.domain.patch import (
    CONTENT_FIELDS,
    FIELDS,
    OFFER_FIELDS,
    Patched,
    PatchedOffer,
    apply_offer_patch,
    apply_patch,
    check_item_id,
)
from vitrin.catalog.domain.problems import FieldProblem
from vitrin.catalog.domain.vocabulary import (
    AgeGroup,
    Availability,
    Condition,
    Gender,
    InventoryPolicy,
    Status,
)

__all__ = [
    "CONTENT_FIELDS",
    "FIELDS",
    "OFFER_FIELDS",
    "AgeGroup",
    "Availability",
    "Condition",
    "ExternalRefs",
    "FieldProblem",
    "Gender",
    "InventoryPolicy",
    "ItemContent",
    "Offer",
    "Patched",
    "PatchedOffer",
    "Status",
    "apply_offer_patch",
    "apply_patch",
    "check_item_id",
    "content_document",
    "content_hash",
    "effective_availability",
    "effective_document",
    "html_to_text",
    "offer_document",
    "offer_hash",
    "refs_document",
]
