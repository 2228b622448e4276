"""Pinterest's asynchronous item batches, and the skipping of a batch that was just sent."""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from vitrin.sandbox.changes import Changes
from vitrin.sandbox.desk import Desk
from vitrin.sandbox.effects import Fate
from vitrin.sandbox.pinterest import vocabulary as words
from vitrin.sandbox.pinterest.requests import BatchRequest, Operation
from vitrin.sandbox.pinterest.rules import ITEM_EXISTS, ITEM_MISSING, Attributes, Verdict, check, normalised
from vitrin.sandbox.state import CatalogState

KEY_SEPARATOR = "\x1f"


def storage_key(item_id: str, *, country: str, language: str) -> str:
    """Items of one catalog are told apart by country and language too."""
    return KEY_SEPARATOR.join((country, language, item_id))


def stamp(at_ms: int) -> str:
    """A time as the batch object carries it: UTC, to the second, without an offset."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass(slots=True)
class Batch:
    """One batch. ``operations`` is emptied once they are carried out; ``verdicts`` holds only what has events.

    ``digest`` is that of the body, by which a repeated batch is known.
    """

    batch_id: str
    user_id: str
    catalog_id: str
    country: str
    language: str
    created_ms: int
    due_ms: int
    operations: list[Operation]
    item_ids: list[str]
    digest: bytes
    polls: int = 0
    done: bool = False
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    fate: Fate | None = None

    @property
    def key(self) -> str:
        """What the client polls with."""
        return self.batch_id

    def frozen(self) -> "Batch":
        """See ``AnyBatch``; what a finished batch says does not change any more."""
        return replace(self) if self.done else replace(self, verdicts=dict(self.verdicts))

    def as_json(self, *, finished: bool) -> dict[str, Any]:
        """The ``CatalogsRetailItemsBatch``; items about which it keeps silent have no record once it is finished."""
        silent = self.fate.silent if self.fate is not None and finished else {}
        status = "PROCESSING"
        if finished:
            status = "FAILED" if self._failed else "COMPLETED"
        return {
            "batch_id": self.batch_id,
            "catalog_type": "RETAIL",
            "created_time": stamp(self.created_ms),
            "completed_time": stamp(self.due_ms) if finished else None,
            "status": status,
            "items": [
                self._record(at, one, finished=finished)
                for at, one in enumerate(self.item_ids)
                if one not in silent
            ],
        }

    @property
    def _failed(self) -> bool:
        return self.fate is not None and self.fate.final_status is not None

    def _record(self, position: int, item_id: str, *, finished: bool) -> dict[str, Any]:
        verdict = self.verdicts.get(position) if finished else None
        status = "PROCESSING"
        if finished:
            failed = self._failed or (verdict is not None and verdict.errors)
            status = "FAILURE" if failed else "SUCCESS"
        return {
            "item_id": item_id,
            "status": status,
            "errors": verdict.errors if verdict else [],
            "warnings": verdict.warnings if verdict else [],
        }


class BatchDesk(Desk[Batch]):
    """The batches of all accounts, carried out in the order in which they came."""

    def __init__(self, *, kept_max: int, duplicate_window_ms: int, changes: Changes, started_ms: int) -> None:
        super().__init__(Batch, kept_max=kept_max, changes=changes, started_ms=started_ms)
        self._recent: OrderedDict[bytes, tuple[int, str]] = OrderedDict()
        self._duplicate_window_ms = duplicate_window_ms

    def duplicate_of(self, digest: bytes, *, now_ms: int) -> Batch | None:
        """The batch that had this very body within the window."""
        while self._recent:
            oldest = next(iter(self._recent))
            if self._recent[oldest][0] > now_ms - self._duplicate_window_ms:
                break
            del self._recent[oldest]
        found = self._recent.get(digest)
        return self._batches.get(found[1]) if found else None

    def accept(
        self,
        request: BatchRequest,
        *,
        user_id: str,
        catalog_id: str,
        digest: bytes,
        now_ms: int,
        latency_ms: int,
        fate: Fate | None = None,
    ) -> Batch:
        """Take a batch in."""
        batch = Batch(
            batch_id=blake2b(self._next_name(catalog_id), digest_size=16).hexdigest(),
            user_id=user_id,
            catalog_id=catalog_id,
            country=request.country,
            language=request.language,
            created_ms=now_ms,
            due_ms=now_ms + latency_ms,
            operations=request.operations,
            item_ids=[one.item_id for one in request.operations],
            digest=digest,
            fate=fate,
        )
        self._keep(batch)
        return batch

    def find(self, batch_id: str, *, user_id: str) -> Batch | None:
        """The user's batch of that id."""
        batch = self._visible(self._batches.get(batch_id))
        return batch if batch is not None and batch.user_id == user_id else None

    def finished(self, batch: Batch, *, enough: int, now_ms: int) -> bool:
        """Whether a poll says that it is finished."""
        return self._finished(batch, enough=enough, now_ms=now_ms)

    def settle(self, catalogs: dict[str, CatalogState], *, now_ms: int) -> None:
        """Carry out every batch that is due; its items change at the time at which it was due."""

        def run(batch: Batch) -> None:
            catalog = catalogs[batch.catalog_id]
            for position, operation in enumerate(batch.operations):
                verdict = _carry_out(batch, operation, catalog)
                if verdict.errors or verdict.warnings:
                    batch.verdicts[position] = verdict
            batch.operations = []

        self._carry_out_due(run, catalogs, now_ms=now_ms)

    def _item_key(self, batch: Batch, item_id: str) -> str:
        return storage_key(item_id, country=batch.country, language=batch.language)

    def clear(self) -> None:
        """Forget every batch, also as the one that another repeats."""
        super().clear()
        self._recent.clear()

    def _keep(self, batch: Batch) -> None:
        super()._keep(batch)
        if batch.fate is not None:
            return  # who repeats a batch that went wrong on command is to meet the platform, not the skipping
        self._recent[batch.digest] = (batch.created_ms, batch.batch_id)


def _carry_out(batch: Batch, operation: Operation, catalog: CatalogState) -> Verdict:
    verdict = Verdict()
    if batch.fate is not None:
        refused = batch.fate.refused.get(operation.item_id)
        if refused is not None:
            verdict.error(refused.attribute, refused.code, refused.message)
        if refused is not None or batch.fate.skips(operation.item_id):
            return verdict
    key = storage_key(operation.item_id, country=batch.country, language=batch.language)
    stored = catalog.get(key)
    if operation.operation == "CREATE" and stored is not None:
        verdict.error("item_id", *ITEM_EXISTS)
    elif operation.operation in ("UPDATE", "DELETE", "DELETE_DISCONTINUED") and stored is None:
        verdict.error("item_id", *ITEM_MISSING)
    elif operation.operation == "DELETE":
        catalog.remove(key, at_ms=batch.due_ms)
    else:
        attributes = stored.fields() if stored is not None else {}
        ignored: list[str] = []
        if operation.operation == "UPDATE":
            ignored = _update(attributes, operation)
        elif operation.operation == "DELETE_DISCONTINUED":
            attributes["availability"] = "out of stock"
        else:
            attributes = operation.attributes
        kept = normalised(attributes)
        verdict = check(kept)
        for name in ignored:
            verdict.warning(name, 9060, "The attribute cannot be updated and was ignored.")
        if not verdict.errors:
            catalog.put(key, kept, at_ms=batch.due_ms)
    return verdict


def _update(attributes: Attributes, operation: Operation) -> list[str]:
    """Apply a partial update; the names that UPDATE does not have.

    With a mask only the masked attributes change, and a masked one without a value is deleted.
    """
    given = operation.attributes
    names = list(given) if operation.update_mask is None else operation.update_mask
    ignored = []
    for name in names:
        if name in words.CREATE_ONLY:
            ignored.append(name)
        else:
            attributes[name] = given.get(name)
    return ignored
