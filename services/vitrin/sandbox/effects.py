"""What a platform does differently while it carries out one call, and what becomes of the batch that the call made.

The doors turn faults into ``Effects``; the platforms know these and nothing of faults.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final

FOREVER_MS = 1 << 62
SHARE_SCALE = 1 << 64
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")

PRICE: Final = "price"
AVAILABILITY: Final = "availability"
DELETE: Final = "delete"
DRIFTS = (PRICE, AVAILABILITY, DELETE)


def in_share(item_id: str, *, share: float, seed: int) -> bool:
    """Whether the item belongs to the share: the same answer for the same seed in every process."""
    return _digest(f"{seed}/{item_id}") < int(share * SHARE_SCALE)


def drift_change(item_id: str, changes: Sequence[str], *, seed: int) -> str:
    """Which of the changes an item undergoes."""
    return changes[_digest(f"change/{seed}/{item_id}") % len(changes)]


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


@dataclass(frozen=True, slots=True)
class ItemRefusal:
    """Refuses the chosen items one by one, in the call's own answer or with the batch's result."""

    chosen: Callable[[str], bool]
    message: str
    code: int
    attribute: str
    in_answer: bool


@dataclass(frozen=True, slots=True)
class Silence:
    """Says nothing about the chosen items; ``works`` tells whether they are carried out all the same."""

    chosen: Callable[[str], bool]
    works: bool


@dataclass(frozen=True, slots=True)
class DriftRule:
    """Changes the chosen items ``after_ms`` after they were carried out."""

    chosen: Callable[[str], bool]
    changes: tuple[str, ...]
    after_ms: int
    seed: int


@dataclass(frozen=True, slots=True, order=True)
class Drift:
    """One item that will change by itself."""

    item_id: str
    change: str
    after_ms: int


@dataclass(frozen=True, slots=True)
class BatchRule:
    """What becomes of the batch: its handle lost, never finished (until ``stuck_ms`` have passed), or failed."""

    handle_lost: bool = False
    stuck_ms: int = 0
    final_status: str | None = None
    works: bool = True


@dataclass(frozen=True, slots=True)
class Effects:
    """Everything that is different about one call. ``stale_ms``: how old the state is that a read shows; ``forgets``:
    the audience is lost before the call; ``match_share``: how many people the network pretends to know."""

    refusals: tuple[ItemRefusal, ...] = ()
    silences: tuple[Silence, ...] = ()
    drifts: tuple[DriftRule, ...] = ()
    batches: tuple[BatchRule, ...] = ()
    stale_ms: int = 0
    forgets: bool = False
    match_share: float | None = None

    def is_silent(self, item_id: str) -> bool:
        """Whether a record of an audience or an event is dropped without a word."""
        return any(silence.chosen(item_id) and not silence.works for silence in self.silences)

    def refusal_of(self, item_id: str, *, in_answer: bool) -> ItemRefusal | None:
        """The first rule that refuses the item at this point."""
        for rule in self.refusals:
            if rule.in_answer == in_answer and rule.chosen(item_id):
                return rule
        return None

    def fate(self, item_ids: Sequence[str], *, now_ms: int) -> "Fate | None":
        """What the accepted batch must remember, None when nothing is special about it."""
        if not (self.refusals or self.silences or self.drifts or self.batches):
            return None
        fate = Fate(
            handle_lost=any(rule.handle_lost for rule in self.batches),
            stuck_until_ms=max((now_ms + rule.stuck_ms for rule in self.batches if rule.stuck_ms), default=0),
            final_status=next((rule.final_status for rule in self.batches if rule.final_status), None),
            works=all(rule.works for rule in self.batches),
        )
        for item_id in item_ids:
            self._note(fate, item_id)
        return fate

    def _note(self, fate: "Fate", item_id: str) -> None:
        refusal = self.refusal_of(item_id, in_answer=False)
        if refusal is not None:
            fate.refused[item_id] = RefusedItem(refusal.message, refusal.code, refusal.attribute)
        for silence in self.silences:
            if silence.chosen(item_id):
                fate.silent[item_id] = silence.works
        for rule in self.drifts:
            if rule.chosen(item_id):
                change = drift_change(item_id, rule.changes, seed=rule.seed)
                fate.drifts.append(Drift(item_id, change, rule.after_ms))


NO_EFFECTS = Effects()


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """Why the batch's result refuses an item."""

    message: str
    code: int
    attribute: str


@dataclass(frozen=True, slots=True)
class Fate:
    """What was decided about a batch when it was accepted; it does not change any more and survives a restart."""

    handle_lost: bool = False
    stuck_until_ms: int = 0
    final_status: str | None = None
    works: bool = True
    refused: dict[str, RefusedItem] = field(default_factory=dict)
    silent: dict[str, bool] = field(default_factory=dict)
    drifts: list[Drift] = field(default_factory=list)

    def skips(self, item_id: str) -> bool:
        """Whether the item is left as it is although nobody is told."""
        return not self.works or self.final_status is not None or not self.silent.get(item_id, True)


def fate_stuck(fate: Fate | None, *, now_ms: int) -> bool:
    """Whether the batch still pretends to be at work."""
    return fate is not None and fate.stuck_until_ms > now_ms


def drifted(fields: dict[str, Any], change: str) -> dict[str, Any] | None:
    """The fields after the change; None when the item disappears. An item without the field stays as it is."""
    if change == DELETE:
        return None
    if change == AVAILABILITY:
        shown = "in stock" if fields.get(AVAILABILITY) == "out of stock" else "out of stock"
        return fields | {AVAILABILITY: shown}
    price = fields.get(PRICE)
    found = NUMBER.search(price) if isinstance(price, str) else None
    if found is None or not isinstance(price, str):
        return fields
    return fields | {PRICE: f"{price[: found.start()]}{Decimal(found[0]) + 1}{price[found.end() :]}"}
