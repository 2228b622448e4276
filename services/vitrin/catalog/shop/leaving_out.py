"""Fields of a shop's product that cannot be read are left out and told, so that they keep nothing from being sold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vitrin.catalog.domain.patch import without_faults
from vitrin.catalog.domain.problems import FieldProblem
from vitrin.kit import metrics

LEFT_OUT = metrics.counter(
    "vitrin_catalog_shop_fields_left_out_total",
    "Fields of shops' products that could not be read and are empty in the item, by what was wrong.",
    ("code",),
)


@dataclass(slots=True)
class LeftOut:
    """Of the items of one product."""

    faults: dict[str, list[FieldProblem]] = field(default_factory=dict)

    def of(self, item_id: str, patch: Mapping[str, object]) -> dict[str, object]:
        """The patch as far as it can be read."""
        left, faults = without_faults(patch)
        if faults:
            self.faults[item_id] = faults
        return left

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        return {item_id: words_of(faults) for item_id, faults in self.faults.items()}

    def count(self) -> None:
        for faults in self.faults.values():
            for one in faults:
                LEFT_OUT.labels(one.code).inc()


def words_of(problems: Iterable[FieldProblem]) -> tuple[str, ...]:
    return tuple(f"{problem.field}: {problem.message} {problem.fix}" for problem in problems)
