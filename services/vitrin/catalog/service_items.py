"""Use cases of items and offers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from vitrin.catalog import repository_read, requests
from vitrin.catalog.changes import Change, Decision, Outcome, Verb
from vitrin.catalog.domain import FieldProblem, check_item_id
from vitrin.catalog.errors import ItemExists, ItemInvalid, ItemUnknown
from vitrin.catalog.repository_read import ItemFilter, ItemRow
from vitrin.catalog.requests import Parsed
from vitrin.catalog.service_places import Place, Places
from vitrin.catalog.service_write import CHANGES_PER_TRANSACTION_MAX, write_changes
from vitrin.catalog.shop import repository_products
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.repeat import repeated
from vitrin.kit.ids import BrandId

_NOT_FOUND: Final = "item_unknown"


@dataclass(frozen=True, slots=True)
class Written:
    """A decision and the place it was made in."""

    decision: Decision
    place: Place


@dataclass(frozen=True, slots=True)
class EntryResult:
    """What became of one entry of a batch."""

    index: int
    item_id: str | None
    outcome: Outcome
    content_version: int | None
    offer_version: int | None
    problems: tuple[FieldProblem, ...]


class ItemService:
    """Every method is one transaction, except batches: one per `CHANGES_PER_TRANSACTION_MAX` entries."""

    def __init__(self, *, database: AppDatabase, places: Places, clock: Clock) -> None:
        self._database = database
        self._places = places
        self._clock = clock

    async def create(self, brand: BrandId, actor: str, body: dict[str, Any]) -> Written:
        """Raises ItemInvalid, ItemExists."""
        received_at = self._clock()
        return await self._write_one(
            brand, actor, requests.change_of(body, Verb.CREATE, received_at=received_at), received_at
        )

    async def patch(self, brand: BrandId, actor: str, item_id: str, body: dict[str, Any]) -> Written:
        """Raises ItemInvalid, ItemUnknown."""
        self._possible(item_id)
        received_at = self._clock()
        parsed = requests.change_of(body, Verb.PATCH, received_at=received_at, item_id=item_id)
        return await self._write_one(brand, actor, parsed, received_at)

    async def delete(self, brand: BrandId, actor: str, item_id: str, occurred_at: str | None) -> Written:
        """Raises ItemInvalid, ItemUnknown, also for an item that is deleted already."""
        self._possible(item_id)
        received_at = self._clock()
        body = {"occurred_at": occurred_at}
        parsed = requests.change_of(body, Verb.DELETE, received_at=received_at, item_id=item_id)
        written = await self._write_one(brand, actor, parsed, received_at)
        if written.decision.outcome is Outcome.UNCHANGED:
            raise ItemUnknown(f"Item {item_id!r} is deleted already.", field="id")
        return written

    async def get(self, brand: BrandId, item_id: str) -> ItemRow:
        """Raises ItemUnknown."""
        self._possible(item_id)
        async with self._database.read(brand) as tx:
            row = await repository_read.get_item(tx, brand=brand, item_id=item_id)
        if row is None:
            raise ItemUnknown(f"There is no item {item_id!r}.", field="id")
        return row

    async def warnings(self, brand: BrandId, item_id: str) -> list[dict[str, str]]:
        """What a shop told of it and could not be read."""
        async with self._database.read(brand) as tx:
            return await repository_products.warnings_of_item(tx, brand, item_id)

    async def page(
        self, brand: BrandId, *, wanted: ItemFilter, after: str | None, limit: int
    ) -> tuple[list[ItemRow], bool]:
        """A page, and whether there is more behind it."""
        async with self._database.read(brand) as tx:
            rows = await repository_read.list_items(
                tx, brand=brand, wanted=wanted, after=after, limit=limit + 1
            )
        return rows[:limit], len(rows) > limit

    async def batch_items(self, brand: BrandId, actor: str, entries: Sequence[object]) -> list[EntryResult]:
        return await self._batch(brand, actor, entries, requests.item_entry)

    async def batch_offers(self, brand: BrandId, actor: str, entries: Sequence[object]) -> list[EntryResult]:
        return await self._batch(brand, actor, entries, requests.offer_entry)

    def _possible(self, item_id: str) -> None:
        if check_item_id(item_id) is not None:
            raise ItemUnknown("There is no item with such an id.", field="id")

    async def _write_one(self, brand: BrandId, actor: str, parsed: Parsed, received_at: datetime) -> Written:
        if not isinstance(parsed, Change):
            raise ItemInvalid.of(parsed)
        [decision], place = await self._save(brand, actor, [parsed], received_at)
        if decision.outcome is Outcome.REFUSED:
            raise _refusal(decision)
        return Written(decision, place)

    async def _save(
        self, brand: BrandId, actor: str, changes: Sequence[Change], received_at: datetime
    ) -> tuple[list[Decision], Place]:
        async def transaction() -> tuple[list[Decision], Place]:
            async with self._database.write(brand) as tx:
                place = await self._places.of(tx, brand)
                decisions = await write_changes(
                    tx, changes, place=place, actor=actor, received_at=received_at
                )
            return decisions, place

        return await repeated(transaction)

    async def _batch(
        self,
        brand: BrandId,
        actor: str,
        entries: Sequence[object],
        parse: Callable[..., Parsed],
    ) -> list[EntryResult]:
        results: list[EntryResult] = []
        first_index: dict[str, int] = {}
        for start in range(0, len(entries), CHANGES_PER_TRANSACTION_MAX):
            part = entries[start : start + CHANGES_PER_TRANSACTION_MAX]
            results += await self._batch_part(
                brand, actor, part, start=start, parse=parse, first_index=first_index
            )
        return results

    async def _batch_part(
        self,
        brand: BrandId,
        actor: str,
        entries: Sequence[object],
        *,
        start: int,
        parse: Callable[..., Parsed],
        first_index: dict[str, int],
    ) -> list[EntryResult]:
        """One transaction. A refused entry does not hold up the others."""
        received_at = self._clock()
        results: dict[int, EntryResult] = {}
        changes: dict[int, Change] = {}
        for index, entry in enumerate(entries, start):
            parsed = parse(entry, received_at=received_at)
            if isinstance(parsed, Change):
                first = first_index.setdefault(parsed.item_id, index)
                if first == index:
                    changes[index] = parsed
                    continue
                parsed = (_duplicate(parsed.item_id, first),)
            item_id = entry.get("id") if isinstance(entry, dict) else None
            named = item_id if isinstance(item_id, str) else None
            results[index] = EntryResult(index, named, Outcome.REFUSED, None, None, parsed)
        if changes:
            decisions, _ = await self._save(brand, actor, list(changes.values()), received_at)
            for index, decision in zip(changes, decisions, strict=True):
                results[index] = _entry_result(index, decision)
        return [results[index] for index in sorted(results)]


def _entry_result(index: int, decision: Decision) -> EntryResult:
    known = decision.content_version > 0
    return EntryResult(
        index=index,
        item_id=decision.change.item_id,
        outcome=decision.outcome,
        content_version=decision.content_version if known else None,
        offer_version=decision.offer_version if known else None,
        problems=decision.problems,
    )


def _duplicate(item_id: str, first: int) -> FieldProblem:
    return FieldProblem(
        "id",
        "duplicate_id",
        f"entry {first} already has the id {item_id!r}",
        "Send every id once per request; only the first one was taken.",
    )


def _refusal(decision: Decision) -> Exception:
    codes = {problem.code for problem in decision.problems}
    item_id = decision.change.item_id
    if "item_exists" in codes:
        return ItemExists(f"There is already an item {item_id!r}.", field="id")
    if _NOT_FOUND in codes:
        return ItemUnknown(f"There is no item {item_id!r}.", field="id")
    return ItemInvalid.of(decision.problems)
