"""What the batches of every platform have in common: taken in, waiting until they are due, kept for polling."""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, Self, TypeVar

import msgspec

from vitrin.sandbox.changes import Changes


class AnyBatch(Protocol):
    """A platform's batch."""

    due_ms: int
    polls: int
    done: bool

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

    def _carry_out_due(self, run: Callable[[B], None], *, now_ms: int) -> None:
        while self._pending and self._pending[0].due_ms <= now_ms:
            batch = self._pending.popleft()
            run(batch)
            batch.done = True
            self._changes.note()
