"""Asynchronous item batches: accepted now, carried out when due, reported after the configured polls."""

from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from vitrin.sandbox.changes import Changes
from vitrin.sandbox.desk import Desk
from vitrin.sandbox.effects import NO_EFFECTS, Effects, Fate
from vitrin.sandbox.meta.rules import Findings, check_data, is_empty, missing_fields
from vitrin.sandbox.state import CatalogState

METHODS = frozenset({"CREATE", "UPDATE", "DELETE"})


@dataclass(slots=True)
class ItemRequest:
    """One element of ``requests``; ``position`` counts from 0."""

    position: int
    method: str
    retailer_id: str
    data: dict[str, Any]


@dataclass(slots=True)
class Batch:
    """One handle. ``requests`` is emptied once they are carried out."""

    handle: str
    catalog_id: str
    due_ms: int
    allow_upsert: bool
    requests: list[ItemRequest]
    polls: int = 0
    done: bool = False
    errors: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    invalid_ids: dict[str, None] = field(default_factory=dict)
    fate: Fate | None = None

    @property
    def key(self) -> str:
        """What the client polls with."""
        return self.handle

    def frozen(self) -> "Batch":
        """See ``AnyBatch``; what a finished batch says does not change any more."""
        if self.done:
            return replace(self)
        return replace(
            self, errors=list(self.errors), warnings=list(self.warnings), invalid_ids=dict(self.invalid_ids)
        )

    def refuse(self, request: ItemRequest, message: str) -> None:
        """Note why a request was not carried out, in the words of Meta's own batch status."""
        quoted = (
            f"Invalid value: Value passed at position {request.position} (id={request.retailer_id}) is invalid: "
            f'"{message}"'
        )
        self.errors.append({"line": request.position, "id": request.retailer_id, "message": quoted})
        self.invalid_ids[request.retailer_id] = None

    def warn(self, request: ItemRequest, message: str) -> None:
        """Note what was lost although the request was carried out."""
        self.warnings.append({"line": request.position, "id": request.retailer_id, "message": message})


def validation_status(request: ItemRequest, findings: Findings) -> dict[str, Any]:
    """The entry of an offending item in the immediate response."""
    return {
        "retailer_id": request.retailer_id,
        "errors": [{"message": message} for message in findings.errors],
        "warnings": [{"message": message} for message in findings.warnings],
    }


def _api_name(name: str) -> str:
    """``image_link`` as the error of a missing field names it: ``ImageLink``."""
    return "".join(word.capitalize() for word in name.split("_"))


class BatchDesk(Desk[Batch]):
    """The batches of all of Meta's catalogs, carried out in the order in which they came."""

    def __init__(self, *, kept_max: int, changes: Changes, started_ms: int) -> None:
        super().__init__(Batch, kept_max=kept_max, changes=changes, started_ms=started_ms)

    def accept(
        self,
        catalog_id: str,
        requests: list[ItemRequest],
        *,
        allow_upsert: bool,
        due_ms: int,
        fate: Fate | None = None,
    ) -> Batch:
        """Take a batch in and give it its handle."""
        digest = blake2b(self._next_name(catalog_id), digest_size=24).hexdigest()
        batch = Batch(f"Ac{digest}", catalog_id, due_ms, allow_upsert, requests, fate=fate)
        self._keep(batch)
        return batch

    def find(self, handle: str, *, catalog_id: str) -> Batch | None:
        """The catalog's batch of that handle."""
        batch = self._visible(self._batches.get(handle))
        return batch if batch is not None and batch.catalog_id == catalog_id else None

    def status(self, batch: Batch, *, polls_before_finished: int, now_ms: int) -> str:
        """What a poll says; a batch that is still scheduled or started has no result yet."""
        if self._finished(batch, enough=polls_before_finished + 1, now_ms=now_ms):
            return (batch.fate.final_status if batch.fate is not None else None) or "finished"
        return "scheduled" if batch.polls < polls_before_finished else "started"

    def settle(self, catalogs: dict[str, CatalogState], *, now_ms: int) -> None:
        """Carry out every batch that is due; its items change at the time at which it was due."""

        def run(batch: Batch) -> None:
            for request in batch.requests:
                _carry_out(batch, request, catalogs[batch.catalog_id])
            batch.requests = []

        self._carry_out_due(run, catalogs, now_ms=now_ms)


def _carry_out(batch: Batch, request: ItemRequest, catalog: CatalogState) -> None:
    if batch.fate is not None:
        refused = batch.fate.refused.get(request.retailer_id)
        if refused is not None:
            batch.refuse(request, refused.message)
        if refused is not None or batch.fate.skips(request.retailer_id):
            return
    stored = catalog.get(request.retailer_id)
    if request.method == "DELETE":
        if not catalog.remove(request.retailer_id, at_ms=batch.due_ms):
            batch.warn(request, f"Item with id {request.retailer_id} does not exist and was not deleted")
        return
    if stored is None and request.method == "UPDATE" and not batch.allow_upsert:
        batch.refuse(request, "The item to update does not exist and allow_upsert is false")
        return
    if stored is not None and request.method == "CREATE" and not batch.allow_upsert:
        batch.refuse(request, "An item with this id already exists and allow_upsert is false")
        return
    fields = stored.fields() if stored is not None else {}
    for name, value in request.data.items():
        if name == "id":
            continue
        if is_empty(value):
            fields.pop(name, None)
        else:
            fields[name] = value
    missing = missing_fields(fields)
    for name in missing:
        batch.refuse(request, f"You cannot create a EntProductItem without required field {_api_name(name)}")
    if not missing:
        catalog.put(request.retailer_id, fields, at_ms=batch.due_ms)


@dataclass(slots=True)
class Screened:
    """The requests of one call after the checks that need no catalog."""

    accepted: list[ItemRequest] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    refused: list[tuple[ItemRequest, list[str]]] = field(default_factory=list)
    warned: list[tuple[ItemRequest, list[str]]] = field(default_factory=list)
    operations: Counter[str] = field(default_factory=Counter)


def screen(requests: list[ItemRequest], *, effects: Effects = NO_EFFECTS) -> Screened:
    """Sort the requests into those that go on and those that are malformed, or refused on command."""
    screened = Screened()
    for request in requests:
        screened.operations[request.method] += 1
        findings = Findings() if request.method == "DELETE" else check_data(request.data)
        on_command = effects.refusal_of(request.retailer_id, in_answer=True)
        if on_command is not None:
            findings.errors.append(on_command.message)
        if findings.errors or findings.warnings:
            screened.statuses.append(validation_status(request, findings))
        if findings.warnings:
            screened.warned.append((request, findings.warnings))
        if findings.errors:
            screened.refused.append((request, findings.errors))
        else:
            screened.accepted.append(request)
    return screened
