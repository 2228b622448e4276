"""Audiences of all networks: rows of hashes, kept with the time when they came; sizes are shown late."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from vitrin.sandbox.ads.matching import Matching
from vitrin.sandbox.changes import Changes

PERSON = "EXTERN_ID"
STRONG = (PERSON, "EMAIL", "PHONE", "MADID", "APPUID")
"""Cells that stand for one person; a removal takes every row that shares one of them."""


class Row(msgspec.Struct, frozen=True):
    """One row as it was sent."""

    cells: dict[str, str]
    added_ms: int


class Audience(msgspec.Struct):
    """One audience (at Pinterest a customer list). ``sizes`` are times and matched people, the oldest first."""

    audience_id: str
    account: str
    name: str
    description: str
    created_ms: int
    changed_ms: int
    rows: dict[str, Row] = {}
    sizes: list[tuple[int, int]] = []
    uploaded: int = 0
    removed: int = 0
    batches: int = 0
    flagged: bool = False
    deleted: bool = False
    extra: dict[str, Any] = {}

    def copy(self) -> "Audience":
        """A snapshot that later changes leave as it is."""
        return msgspec.structs.replace(self, rows=dict(self.rows), sizes=list(self.sizes))


def row_key(cells: Mapping[str, str]) -> str:
    """What makes two rows the same."""
    return "|".join(f"{name}={cells[name]}" for name in STRONG if cells.get(name))


class AudienceBook:
    """The audiences of one network."""

    def __init__(
        self, *, matching: Matching, changes: Changes, latency_ms: int, now_ms: Callable[[], int]
    ) -> None:
        self.audiences: dict[str, Audience] = {}
        self._matching = matching
        self._changes = changes
        self._latency_ms = latency_ms
        self._now_ms = now_ms
        self._by_value: dict[str, dict[str, set[str]]] = {}
        self._matched: dict[str, dict[str, int]] = {}

    def create(self, audience: Audience) -> Audience:
        """Keep a new audience."""
        self.audiences[audience.audience_id] = audience
        audience.sizes.append((audience.created_ms, 0))
        self._changes.note()
        return audience

    def restore(self, audience: Audience) -> None:
        """Take one back as it was."""
        self.audiences[audience.audience_id] = audience
        for key, row in audience.rows.items():
            self._index(audience, key, row)

    def find(self, audience_id: str, *, account: str) -> Audience | None:
        """The account's audience, unless it was deleted or forgotten."""
        found = self.audiences.get(audience_id)
        return found if found is not None and found.account == account and not found.deleted else None

    def of(self, account: str) -> list[Audience]:
        """The account's audiences, the oldest first."""
        return [one for one in self.audiences.values() if one.account == account and not one.deleted]

    def add(self, audience: Audience, rows: Sequence[Mapping[str, str]]) -> None:
        """Put rows in; those that are in stay as they are."""
        at_ms = self._now_ms()
        for cells in rows:
            key = row_key(cells)
            if key not in audience.rows:
                audience.rows[key] = Row({name: value for name, value in cells.items() if value}, at_ms)
                self._index(audience, key, audience.rows[key])
        audience.uploaded += len(rows)
        self._changed(audience, at_ms)

    def remove(self, audience: Audience, rows: Sequence[Mapping[str, str]]) -> None:
        """Take out every row that shares a strong cell with one of these."""
        at_ms = self._now_ms()
        for key in self._sharing(audience, rows):
            self._unindex(audience, key, audience.rows.pop(key))
        audience.removed += len(rows)
        self._changed(audience, at_ms)

    def replace(self, audience: Audience, rows: Iterable[Mapping[str, str]]) -> None:
        """These rows and no others."""
        audience.rows.clear()
        self._by_value.pop(audience.audience_id, None)
        self._matched.pop(audience.audience_id, None)
        self.add(audience, list(rows))

    def people_after_removal(self, audience: Audience, rows: Sequence[Mapping[str, str]]) -> int:
        """Matched people that would be left."""
        matched = self._matched.get(audience.audience_id, {})
        going: dict[str, int] = {}
        for key in self._sharing(audience, rows):
            person = _person(key, audience.rows[key])
            if person in matched and self._matching.knows(_hashes(audience.rows[key])):
                going[person] = going.get(person, 0) + 1
        return len(matched) - sum(1 for person, count in going.items() if count >= matched[person])

    def people(self, audience: Audience) -> int:
        """Matched people now."""
        return len(self._matched.get(audience.audience_id, ()))

    def shown(self, audience: Audience, *, match_share: float | None = None) -> int:
        """Matched people as the network shows them, which is late; ``match_share`` of them, where a fault says so."""
        until = self._now_ms() - self._latency_ms
        shown = next((people for at, people in reversed(audience.sizes) if at <= until), 0)
        return shown if match_share is None else int(len(audience.rows) * match_share)

    def is_settled(self, audience: Audience) -> bool:
        """Whether what is shown is what is there."""
        return self._now_ms() - self._latency_ms >= audience.changed_ms

    def held(self, ad_account_id: str) -> list[Audience]:
        """What holds members in an ad account: audiences, at Pinterest its customer lists."""
        names = (ad_account_id, f"{ad_account_id}/lists")
        found = [one for name in names for one in self.of(name)]
        return [one for one in found if "customer_list_id" not in one.extra]

    def clear(self) -> None:
        """Forget everything."""
        self.audiences.clear()
        self._by_value.clear()
        self._matched.clear()

    def note(self) -> None:
        """An audience was changed otherwise than by its rows."""
        self._changes.note()

    def _sharing(self, audience: Audience, rows: Sequence[Mapping[str, str]]) -> set[str]:
        by_value = self._by_value.get(audience.audience_id, {})
        return {
            key
            for cells in rows
            for name in STRONG
            if cells.get(name)
            for key in by_value.get(f"{name}={cells[name]}", ())
        }

    def _index(self, audience: Audience, key: str, row: Row) -> None:
        by_value = self._by_value.setdefault(audience.audience_id, {})
        for part in key.split("|"):
            by_value.setdefault(part, set()).add(key)
        if self._matching.knows(_hashes(row)):
            matched = self._matched.setdefault(audience.audience_id, {})
            matched[_person(key, row)] = matched.get(_person(key, row), 0) + 1

    def _unindex(self, audience: Audience, key: str, row: Row) -> None:
        by_value = self._by_value[audience.audience_id]
        for part in key.split("|"):
            by_value[part].discard(key)
            if not by_value[part]:
                del by_value[part]
        matched = self._matched.get(audience.audience_id, {})
        person = _person(key, row)
        if not self._matching.knows(_hashes(row)):
            return
        if matched.get(person, 0) > 1:
            matched[person] -= 1
        else:
            matched.pop(person, None)

    def _changed(self, audience: Audience, at_ms: int) -> None:
        audience.changed_ms = at_ms
        audience.batches += 1
        audience.sizes.append((at_ms, self.people(audience)))
        oldest = at_ms - self._latency_ms
        while len(audience.sizes) > 1 and audience.sizes[1][0] <= oldest:
            audience.sizes.pop(0)
        self._changes.note()


def _person(key: str, row: Row) -> str:
    return row.cells.get(PERSON) or key


def _hashes(row: Row) -> list[str]:
    return [value for name, value in row.cells.items() if name in STRONG and name != PERSON]
