"""What must be true of an item when a scenario has come to rest, in virtual time and on the real parts alike."""

from collections.abc import Mapping
from typing import Final

from tests.simulation.spine import CatalogItem
from vitrin.shop_sync.domain.sync import State

AT_REST: Final = frozenset(
    {State.LIVE, State.REJECTED, State.REMOVED, State.EXCLUDED, State.INVALID, State.HELD}
)
Shown = Mapping[str, object]
"""title, price and availability, as numbers and words of the catalog."""


def wrong(
    item: CatalogItem, state: State, *, shown: Shown | None, held: bool, confirmed: bool, culprit: bool
) -> str | None:
    """Why the end is wrong; None where it is right. `held`: the removal guard keeps it. `confirmed`: the platform said
    that it has it. `culprit`: the platform refuses it, by name or not."""
    wanted = item.exists and item.status == "active" and item.price is not None
    match state:
        case State.REJECTED:
            return None if culprit else "refused, and innocent"
        case State.LIVE | State.ACCEPTED:
            right = {"title": item.title, "price": item.price, "availability": item.availability}
            if not wanted or not item.valid or culprit:
                return "shown, and should not be"
            return None if shown == right else f"shown as {shown}, and should be {right}"
        case State.REMOVED | State.EXCLUDED:
            if wanted:
                return "not shown, and should be"
            return None if shown is None else f"gone for us, and shown as {shown}"
        case State.INVALID:
            return _invalid(item, wanted=wanted, shown=shown, held=held, confirmed=confirmed)
        case State.HELD:
            if wanted and item.availability == "in stock":
                return "held, and nobody wants it to go"
            # Without a confirmation it only may be there: after an unknown outcome and a refusal.
            return "held, and not shown" if shown is None and confirmed else None
        case _:
            return f"still {state}"


def _invalid(
    item: CatalogItem, *, wanted: bool, shown: Shown | None, held: bool, confirmed: bool
) -> str | None:
    """Price and stock follow where an older content is shown, but for what the guard keeps."""
    if item.valid:
        return "called invalid, and is not"
    if held:
        return None
    if not wanted:
        return "called invalid, and should go"
    if shown is None or not confirmed:
        return None
    right = (item.price, item.availability)
    seen = (shown["price"], shown["availability"])
    return None if seen == right else f"invalid and shown at {seen}, and should be at {right}"
