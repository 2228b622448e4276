"""What a platform holds: catalogs of items, each field with the time of its last change.

Items are kept as encoded JSON, so that 100,000 of them fit comfortably; the counts that the page shows are kept
up to date on every write and never computed by a scan.
"""

from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from vitrin.sandbox.changes import Changes
from vitrin.sandbox.history import History

Fields = dict[str, Any]
Facts = Callable[[Fields], tuple[str, ...]]

RECENT_KEYS_MAX = 12
"""Most recently changed items that a catalog can name, for the page."""


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One item as the platform stores it. ``changed_ms`` names only fields that changed after the creation.

    A change stores another value, so that whoever holds this one (the saving thread) sees one state of the item.
    """

    key: str
    seq: int
    blob: bytes
    created_ms: int
    updated_ms: int
    changed_ms: dict[str, int] | None = None

    def fields(self) -> Fields:
        """The item's fields, decoded; the caller owns the result."""
        decoded: Fields = orjson.loads(self.blob)
        return decoded

    def field_times_ms(self) -> dict[str, int]:
        """Per field that is set, or was removed, the time of its last change."""
        times = dict.fromkeys(self.fields(), self.created_ms)
        times.update(self.changed_ms or {})
        return times


def _compact(encoded: bytes) -> bytes:
    """A copy of exact size: what orjson returns keeps a buffer of 4 kB behind it (measured)."""
    return bytes(memoryview(encoded))


class CatalogState:
    """The items of one catalog on one platform, in the order of their creation."""

    def __init__(
        self,
        *,
        platform: str,
        catalog_id: str,
        name: str,
        created_ms: int,
        facts: Facts,
        changes: Changes,
    ) -> None:
        self.platform = platform
        self.catalog_id = catalog_id
        self.name = name
        self.created_ms = created_ms
        self.last_change_ms: int | None = None
        self.counts: Counter[str] = Counter()
        self._facts = facts
        self._items: dict[str, StoredItem] = {}
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._next_seq = 1
        self._order: list[StoredItem] | None = None
        self._changes = changes
        self.groups: dict[str, dict[str, Any]] = {}
        self.history: History[StoredItem] | None = None
        changes.note()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: str) -> StoredItem | None:
        """The stored item, or None."""
        return self._items.get(key)

    def put(self, key: str, fields: Fields, *, at_ms: int) -> bool:
        """Store ``fields`` as the whole item; False when nothing differs from what was there."""
        old = self._items.get(key)
        blob = _compact(orjson.dumps(fields))
        if old is None:
            self._items[key] = StoredItem(
                key=key, seq=self._next_seq, blob=blob, created_ms=at_ms, updated_ms=at_ms
            )
            self._next_seq += 1
        else:
            before = old.fields()
            changed = [name for name in before.keys() | fields.keys() if before.get(name) != fields.get(name)]
            if not changed:
                return False
            self.counts.subtract(self._facts(before))
            self._items[key] = replace(
                old,
                blob=blob,
                updated_ms=at_ms,
                changed_ms={**(old.changed_ms or {}), **dict.fromkeys(changed, at_ms)},
            )
        self._remember(key, old, at_ms=at_ms)
        self._order = None
        self.counts.update(self._facts(fields))
        self._note(key, at_ms=at_ms)
        return True

    def remove(self, key: str, *, at_ms: int) -> bool:
        """Forget the item; False when there was none."""
        old = self._items.pop(key, None)
        if old is None:
            return False
        self._remember(key, old, at_ms=at_ms)
        self.counts.subtract(self._facts(old.fields()))
        self._order = None
        self._recent.pop(key, None)
        self.last_change_ms = at_ms
        self._changes.note()
        return True

    def clear(self) -> None:
        """Forget every item and group, and what was."""
        self._items.clear()
        self.groups.clear()
        self.history = None
        self._recent.clear()
        self.counts.clear()
        self._order = None
        self.last_change_ms = None
        self._changes.note()

    @property
    def next_seq(self) -> int:
        """The number that the next new item gets; numbers of removed items do not come again."""
        return self._next_seq

    def snapshot(self) -> list[StoredItem]:
        """All items in the order of their creation, in a list that stays as it is."""
        return list(self._items.values())

    def restore_item(self, item: StoredItem) -> None:
        """Take an item back as it was; items come in the order of their creation."""
        self._items[item.key] = item
        self._next_seq = max(self._next_seq, item.seq + 1)
        self._order = None
        self.counts.update(self._facts(item.fields()))
        self._changes.note()

    def restore_head(
        self, *, created_ms: int, last_change_ms: int | None, next_seq: int, recent: Iterable[str]
    ) -> None:
        """Take the rest back once all items are there; ``recent`` has the item changed last at its end."""
        self.created_ms, self.last_change_ms = created_ms, last_change_ms
        self._next_seq = max(self._next_seq, next_seq)
        self._recent = OrderedDict.fromkeys(key for key in recent if key in self._items)
        self._changes.note()

    def set_group(self, group_id: str, group: dict[str, Any] | None) -> None:
        """Store a named group of items, such as a product set; None removes it."""
        if group is None:
            del self.groups[group_id]
        else:
            self.groups[group_id] = group
        self._changes.note()

    def keep_history(self, *, for_ms: int) -> None:
        """From now on remember what changed within ``for_ms``; 0 forgets it."""
        if for_ms == 0:
            self.history = None
        elif self.history is None:
            self.history = History(for_ms=for_ms)
        else:
            self.history.for_ms = for_ms

    def as_of(self, at_ms: int) -> "CatalogState | PastCatalog":
        """The catalog as it was then, as far back as its history goes."""
        return self if self.history is None else PastCatalog(self, self.history.before(at_ms))

    def after(self, seq: int, *, limit: int) -> Sequence[StoredItem]:
        """Up to ``limit`` items created after the one numbered ``seq``."""
        order = self._ordered()
        start = bisect_right(order, seq, key=lambda item: item.seq)
        return order[start : start + limit]

    def slice(self, *, offset: int, limit: int) -> Sequence[StoredItem]:
        """Up to ``limit`` items from position ``offset``."""
        return self._ordered()[offset : offset + limit]

    def recent(self) -> Iterator[StoredItem]:
        """The items changed last, the newest first."""
        for key in reversed(self._recent):
            yield self._items[key]

    def _ordered(self) -> list[StoredItem]:
        if self._order is None:
            self._order = list(self._items.values())
        return self._order

    def _remember(self, key: str, old: StoredItem | None, *, at_ms: int) -> None:
        if self.history is not None:
            self.history.add(key, old, at_ms=at_ms)

    def _note(self, key: str, *, at_ms: int) -> None:
        self.last_change_ms = at_ms
        self._recent[key] = None
        self._recent.move_to_end(key)
        if len(self._recent) > RECENT_KEYS_MAX:
            self._recent.popitem(last=False)
        self._changes.note()


class PastCatalog:
    """A catalog with some of its items as they were. Made for one read: it looks through all items once."""

    def __init__(self, catalog: CatalogState, before: dict[str, StoredItem | None]) -> None:
        self.catalog_id = catalog.catalog_id
        self._catalog = catalog
        self._before = before

    def __len__(self) -> int:
        return len(self._ordered())

    def get(self, key: str) -> StoredItem | None:
        """The item as it was, or None."""
        return self._before[key] if key in self._before else self._catalog.get(key)

    def after(self, seq: int, *, limit: int) -> Sequence[StoredItem]:
        """Up to ``limit`` items created after the one numbered ``seq``."""
        return [item for item in self._ordered() if item.seq > seq][:limit]

    def _ordered(self) -> list[StoredItem]:
        now = [item for item in self._catalog.snapshot() if item.key not in self._before]
        then = [item for item in self._before.values() if item is not None]
        return sorted(now + then, key=lambda item: item.seq)
