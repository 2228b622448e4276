"""Pure rules of the catalog: no I/O, no clock, no framework."""

from vitrin.catalog.domain.entities import ExternalRefs, ItemContent, Offer, effective_availability
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
    "AgeGroup",
    "Availability",
    "Condition",
    "ExternalRefs",
    "FieldProblem",
    "Gender",
    "InventoryPolicy",
    "ItemContent",
    "Offer",
    "Status",
    "effective_availability",
]
