"""What the batches of every platform have in common: taken in, waiting until they are due, kept for polling."""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Generic, Protocol, Self, TypeVar

import msgspec

from vitrin.sandbox.changes import Changes
from vitrin.sandbox.effects import Drift, Fate, drifted, fate_stuck
from vitrin.sandbox.state import CatalogState


class AnyBatch(Protocol):
    """A platform's batch."""

    due_ms: int
    polls: int
    done: bool
    catalog_id: str
    fate: Fate | None

    @property
    def key(self) -> str:
        """What the client polls with."""
        ...

    def frozen(self) -> Self:
        """A copy that later work on the batch does not change."""
        ...


B = TypeVar("B", bound=AnyBatch)


class Desk(Generic[B]):
    """Batches in the order in which they came.

    ``started_ms`` goes into every handle, so that no handle comes twice: after a crash the count may stand lower than
    a client has seen it, and that client must not be given another batch's result.
    """

    def __init__(self, batch_type: type[B], *, kept_max: int, changes: Changes, started_ms: int) -> None:
        self._batch_type = batch_type
        self._batches: OrderedDict[str, B] = OrderedDict()
        self._pending: deque[B] = deque()
        self._kept_max = kept_max
        self._changes = changes
        self._started_ms = started_ms
        self._number = 0
        self._drifts: list[tuple[int, str, str, Drift]] = []

    def count_poll(self, batch: B, *, enough: int) -> None:
        """Count a poll; beyond ``enough`` they make no difference and are not counted."""
        if batch.polls < enough:
            batch.polls += 1
            self._changes.note()

    def snapshot(self, *, since_ms: int, finished_max: int) -> Sequence[B]:
        """Copies of the batches still to be carried out and of the last finished ones due at ``since_ms`` or later."""
        kept: deque[B] = deque()
        finished = 0
        for batch in reversed(self._batches.values()):
            if batch.done:
                finished += 1
                if finished > finished_max or batch.due_ms < since_ms:
                    continue
            kept.appendleft(batch.frozen())
        return kept

    def restore(self, encoded: bytes | msgspec.Raw) -> B:
        """Take back a copy, encoded as JSON, in the order of ``snapshot``. Raises ``msgspec.ValidationError``."""
        batch = msgspec.json.decode(encoded, type=self._batch_type)
        self._keep(batch)
        return batch

    def clear(self) -> None:
        """Forget every batch."""
        self._batches.clear()
        self._pending.clear()
        self._drifts.clear()
        self._changes.note()

    def _next_name(self, catalog_id: str) -> bytes:
        self._number += 1
        return f"{catalog_id}/{self._started_ms}/{self._number}".encode()

    def _keep(self, batch: B) -> None:
        self._batches[batch.key] = batch
        if not batch.done:
            self._pending.append(batch)
        while len(self._batches) > self._kept_max and next(iter(self._batches.values())).done:
            self._batches.popitem(last=False)
        self._changes.note()

    def _carry_out_due(
        self, run: Callable[[B], None], catalogs: dict[str, CatalogState], *, now_ms: int
    ) -> None:
        while self._pending and self._pending[0].due_ms <= now_ms:
            batch = self._pending.popleft()
            self._drift(catalogs, now_ms=batch.due_ms)
            run(batch)
            batch.done = True
            self._plan_drifts(batch)
            self._changes.note()
        self._drift(catalogs, now_ms=now_ms)

    def _visible(self, batch: B | None) -> B | None:
        """The batch unless its handle is lost."""
        lost = batch is not None and batch.fate is not None and batch.fate.handle_lost
        return None if lost else batch

    def _finished(self, batch: B, *, enough: int, now_ms: int) -> bool:
        """Whether a poll says so: it is done, was polled often enough and is not stuck."""
        return batch.done and batch.polls >= enough and not fate_stuck(batch.fate, now_ms=now_ms)

    def _item_key(self, batch: B, item_id: str) -> str:
        """Where the catalog keeps an item of the batch."""
        return item_id

    def _plan_drifts(self, batch: B) -> None:
        for drift in batch.fate.drifts if batch.fate is not None else ():
            key = self._item_key(batch, drift.item_id)
            heappush(self._drifts, (batch.due_ms + drift.after_ms, batch.catalog_id, key, drift))

    def _drift(self, catalogs: dict[str, CatalogState], *, now_ms: int) -> None:
        """Change by themselves the items whose time has come. A restart forgets those that still wait."""
        while self._drifts and self._drifts[0][0] <= now_ms:
            at_ms, catalog_id, key, drift = heappop(self._drifts)
            let_drift(catalogs[catalog_id], key, drift.change, at_ms=at_ms)


def let_drift(catalog: CatalogState, key: str, change: str, *, at_ms: int) -> bool:
    """Change one item as nobody asked for; False when it is not there or stays as it is."""
    stored = catalog.get(key)
    if stored is None:
        return False
    fields = drifted(stored.fields(), change)
    return catalog.remove(key, at_ms=at_ms) if fields is None else catalog.put(key, fields, at_ms=at_ms)
