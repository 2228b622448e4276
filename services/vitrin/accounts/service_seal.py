"""Use cases of the keys of personal data: lend them, destroy those of a person, look after them by the loop."""

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from vitrin.accounts import audit, domain_seal, repository, repository_seal
from vitrin.accounts.domain_seal import ASKED_MAX, SUBJECT_LENGTH_MAX, Ends, SealRules
from vitrin.accounts.errors import BrandNotFound
from vitrin.accounts.errors_seal import DayGetsNoKey, SubjectInvalid, TooManyAsked
from vitrin.accounts.metrics_seal import DESTROYED, LEASED
from vitrin.kit.clock import EPOCH, Clock
from vitrin.kit.crypto import KEY_BYTES, Sealed, TokenCipher
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId

State = Literal["live", "destroyed", "unknown"]


@dataclass(frozen=True, slots=True)
class SubjectAsked:
    subject: str = field(repr=False)
    create: bool = False
    happened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DayAsked:
    day: date
    create: bool = False


@dataclass(frozen=True, slots=True)
class Lent:
    """`destroyed_at` of a live one: when the person's key before it was."""

    state: State
    key_id: UUID | None = None
    key: bytes = field(default=b"", repr=False)
    destroyed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LentAll:
    subjects: list[Lent]
    days: list[Lent]
    key_ids: list[Lent]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """`last_at`: after it no lease, no backup and no key of a day opens anything of the person."""

    destroyed_at: datetime
    leases_end_at: datetime
    last_at: datetime
    keys: int


class SealKeys:
    def __init__(self, database: AppDatabase, clock: Clock, cipher: TokenCipher, rules: SealRules) -> None:
        self._database = database
        self._clock = clock
        self._cipher = cipher
        self.rules = rules

    async def lend(
        self,
        brand_id: BrandId,
        *,
        subjects: Sequence[SubjectAsked] = (),
        days: Sequence[DayAsked] = (),
        key_ids: Sequence[UUID] = (),
    ) -> LentAll:
        """In the order of what was asked. BrandNotFound, TooManyAsked, SubjectInvalid, DayGetsNoKey."""
        _check(len(subjects) + len(days) + len(key_ids), (one.subject for one in subjects))
        now = self._clock()
        async with self._database.read(brand_id) as session:
            await _lives(session, brand_id)
            index = await self._index_of(session, brand_id)
            found = await self._found(session, brand_id, index, subjects=subjects, days=days, key_ids=key_ids)
        missing_subjects = [one for one in subjects if _wants_key(one, found.person(one.subject))]
        missing_days = [one for one in days if one.create and one.day not in found.days]
        for one in missing_days:
            if not domain_seal.gets_key(one.day, now):
                raise DayGetsNoKey(f"{one.day.isoformat()} is not the day of today.")
        made: frozenset[UUID] = frozenset()
        if missing_subjects or missing_days:
            async with self._database.write(brand_id) as tx:
                found, made = await self._make(
                    tx, brand_id, subjects=missing_subjects, days=missing_days, before=found, now=now
                )
        lent = LentAll(
            subjects=[self._lent(found.person(one.subject)) for one in subjects],
            days=[self._lent(found.days.get(one.day)) for one in days],
            key_ids=[self._lent(found.ids.get(key_id)) for key_id in key_ids],
        )
        _count(lent, made)
        return lent

    async def destroy(self, brand_id: BrandId, subjects: Sequence[str], *, actor: str) -> list[Receipt]:
        """In the order of the subjects. The same again gives the same receipts. A person who never had a key gets none
        from then on. BrandNotFound, TooManyAsked, SubjectInvalid."""
        _check(len(subjects), subjects)
        now = self._clock()
        async with self._database.write(brand_id) as tx:
            await repository_seal.lock(tx, brand_id)
            await _lives(tx, brand_id)
            index = await self._index_of(tx, brand_id) or await self._make_index(tx, brand_id, now)
            macs = {subject: _mac(index, subject) for subject in subjects}
            there = await _people(tx, brand_id, macs.values())
            ends = domain_seal.ends(
                now,
                newest_day=await repository_seal.newest_living_day(tx, brand_id),
                rules=self.rules,
            )
            living = [row.seal_key_id for row in there.values() if row.wrap_key_id is not None]
            await repository_seal.destroy(tx, brand_id, living, at=now, last_at=ends.last)
            unknown = [mac for mac in dict.fromkeys(macs.values()) if mac not in there]
            await repository_seal.insert_keys(tx, [_tombstone(brand_id, mac, now, ends) for mac in unknown])
            after = await _people(tx, brand_id, macs.values())
            had = await repository_seal.generations(tx, brand_id, macs.values())
            for mac in (mac for mac, row in after.items() if mac in unknown or row.seal_key_id in living):
                await audit.record(
                    tx,
                    brand_id=brand_id,
                    at=now,
                    actor=actor,
                    action="person.erase",
                    subject=f"person:{after[mac].seal_key_id}",
                    before=None,
                    after=None,
                )
        DESTROYED.labels("person").inc(len(living))
        return [self._receipt(after[macs[subject]], had.get(macs[subject], 0)) for subject in subjects]

    async def destroy_days(self, brand_id: BrandId) -> int:
        """Those whose time is over; how many."""
        now = self._clock()
        before = domain_seal.days_over_before(now, self.rules)
        async with self._database.write(brand_id) as tx:
            await repository_seal.lock(tx, brand_id)
            over = await repository_seal.living_days_before(tx, brand_id, before)
            last = now + max(self.rules.backup_kept, self.rules.lease)
            await repository_seal.destroy(tx, brand_id, over, at=now, last_at=last)
        DESTROYED.labels("day").inc(len(over))
        return len(over)

    async def destroy_of_brand(self, brand_id: BrandId, *, at_most: int) -> int:
        """Of a brand that has left, whoever they are of; how many."""
        now = self._clock()
        async with self._database.write(brand_id) as tx:
            await repository_seal.lock(tx, brand_id)
            some = await repository_seal.living(tx, brand_id, at_most)
            last = now + max(self.rules.backup_kept, self.rules.lease)
            await repository_seal.destroy(tx, brand_id, some, at=now, last_at=last)
        DESTROYED.labels("brand").inc(len(some))
        return len(some)

    async def rewrap(self, brand_id: BrandId, *, at_most: int) -> int:
        """Keys under another key of the ring than the current one come under that; how many. CannotOpen."""
        async with self._database.write(brand_id) as tx:
            rows = await repository_seal.under_other_ring_keys(tx, brand_id, self._cipher.current, at_most)
            for row in rows:
                columns = self._wrapped(brand_id, row.seal_key_id, self._opened(row))
                await repository_seal.rewrap(tx, brand_id, row.seal_key_id, columns)
        return len(rows)

    async def _make(
        self,
        tx: WriteSession,
        brand_id: BrandId,
        *,
        subjects: Sequence[SubjectAsked],
        days: Sequence[DayAsked],
        before: "_Found",
        now: datetime,
    ) -> "tuple[_Found, frozenset[UUID]]":
        """Looked at again under the lock: another may have made the key, or erased the person, meanwhile."""
        await repository_seal.lock(tx, brand_id)
        await _lives(tx, brand_id)
        index = await self._index_of(tx, brand_id) or await self._make_index(tx, brand_id, now)
        there = await self._found(tx, brand_id, index, subjects=subjects, days=days)
        rows = []
        for mac, one in _newest_of_each(index, subjects).items():
            newest = there.people.get(mac)
            if _wants_key(one, newest):
                rows.append(
                    self._key_row(
                        brand_id,
                        now,
                        kind="person",
                        subject_mac=mac,
                        generation=1 if newest is None else newest.generation + 1,
                        came_after=None if newest is None else newest.destroyed_at,
                    )
                )
        for day in {one.day for one in days}:
            if day not in there.days:
                rows.append(self._key_row(brand_id, now, kind="day", day=day))
        await repository_seal.insert_keys(tx, rows)
        fresh = await self._found(tx, brand_id, index, subjects=subjects, days=days)
        people = {**_people_of(before, index), **fresh.people}
        found = _Found(index, people, {**before.days, **fresh.days}, before.ids)
        return found, frozenset(row["seal_key_id"] for row in rows)

    async def _found(
        self,
        session: ReadSession,
        brand_id: BrandId,
        index: bytes | None,
        *,
        subjects: Sequence[SubjectAsked],
        days: Sequence[DayAsked],
        key_ids: Sequence[UUID] = (),
    ) -> "_Found":
        people: Mapping[bytes, Any] = {}
        if index is not None and subjects:
            people = await _people(session, brand_id, [_mac(index, one.subject) for one in subjects])
        day_rows = await repository_seal.days(session, brand_id, [one.day for one in days]) if days else ()
        id_rows = await repository_seal.by_ids(session, brand_id, key_ids) if key_ids else ()
        return _Found(
            index, people, {row.day: row for row in day_rows}, {row.seal_key_id: row for row in id_rows}
        )

    async def _index_of(self, session: ReadSession, brand_id: BrandId) -> bytes | None:
        row = await repository_seal.index_key(session, brand_id)
        return None if row is None else self._opened(row)

    async def _make_index(self, tx: WriteSession, brand_id: BrandId, now: datetime) -> bytes:
        """Of its own, not the ring's key: a ring that is rotated must not lose who is who."""
        row = self._key_row(brand_id, now, kind="index")
        await repository_seal.insert_keys(tx, [row])
        made = await self._index_of(tx, brand_id)
        assert made is not None
        return made

    def _key_row(
        self,
        brand_id: BrandId,
        now: datetime,
        *,
        kind: str,
        subject_mac: bytes | None = None,
        generation: int = 1,
        day: date | None = None,
        came_after: datetime | None = None,
    ) -> dict[str, Any]:
        key_id = uuid4()  # no time in it: when a person came is nobody's business
        return {
            "seal_key_id": key_id,
            "brand_id": brand_id,
            "kind": kind,
            "subject_mac": subject_mac,
            "generation": generation,
            "day": day,
            "created_at": now,
            "came_after": came_after,
            "destroyed_at": None,
            "last_at": None,
            **self._wrapped(brand_id, key_id, os.urandom(KEY_BYTES)),
        }

    def _wrapped(self, brand_id: BrandId, key_id: UUID, key: bytes) -> dict[str, Any]:
        sealed = self._cipher.seal(base64.b64encode(key).decode(), _binding(brand_id, key_id))
        return {
            "wrap_key_id": sealed.key_id,
            "wrap_nonce": sealed.nonce,
            "wrap_ciphertext": sealed.ciphertext,
        }

    def _opened(self, row: Any) -> bytes:
        sealed = Sealed(row.wrap_key_id, bytes(row.wrap_nonce), bytes(row.wrap_ciphertext))
        return base64.b64decode(self._cipher.open(sealed, _binding(row.brand_id, row.seal_key_id)))

    def _lent(self, row: Any | None) -> Lent:
        if row is None:
            return Lent("unknown")
        if row.wrap_key_id is None:
            return Lent("destroyed", row.seal_key_id, destroyed_at=row.destroyed_at)
        return Lent("live", row.seal_key_id, self._opened(row), row.came_after)

    def _receipt(self, row: Any, keys: int) -> Receipt:
        return Receipt(
            destroyed_at=row.destroyed_at,
            leases_end_at=row.destroyed_at + self.rules.lease,
            last_at=row.last_at,
            keys=keys,
        )


@dataclass(frozen=True, slots=True)
class _Found:
    index: bytes | None = field(repr=False)
    people: Mapping[bytes, Any]
    days: Mapping[date, Any]
    ids: Mapping[UUID, Any]

    def person(self, subject: str) -> Any | None:
        return None if self.index is None else self.people.get(_mac(self.index, subject))


def _people_of(found: _Found, index: bytes) -> dict[bytes, Any]:
    """Without an index key nobody was known."""
    return dict(found.people) if found.index == index else {}


async def _people(session: ReadSession, brand_id: BrandId, macs: Iterable[bytes]) -> dict[bytes, Any]:
    rows = await repository_seal.people(session, brand_id, sorted(set(macs)))
    return {bytes(row.subject_mac): row for row in rows}


def _newest_of_each(index: bytes, subjects: Sequence[SubjectAsked]) -> dict[bytes, SubjectAsked]:
    """The same person may be asked for twice, for two things."""
    ordered = sorted(subjects, key=lambda one: one.happened_at or EPOCH)
    return {_mac(index, one.subject): one for one in ordered}


def _wants_key(asked: SubjectAsked, newest: Any | None) -> bool:
    if newest is None:
        return asked.create
    if newest.wrap_key_id is not None:
        return False
    return asked.create and domain_seal.came_back(newest.destroyed_at, asked.happened_at)


def _tombstone(brand_id: BrandId, mac: bytes, now: datetime, ends: Ends) -> dict[str, Any]:
    return {
        "seal_key_id": uuid4(),
        "brand_id": brand_id,
        "kind": "person",
        "subject_mac": mac,
        "generation": 0,
        "day": None,
        "came_after": None,
        "wrap_key_id": None,
        "wrap_nonce": None,
        "wrap_ciphertext": None,
        "created_at": now,
        "destroyed_at": now,
        "last_at": ends.last,
    }


async def _lives(session: ReadSession, brand_id: BrandId) -> None:
    brand = await repository.brand(session, brand_id)
    if brand is None or brand.deleted_at is not None:
        raise BrandNotFound


def _check(asked: int, subjects: Iterable[str]) -> None:
    if asked > ASKED_MAX:
        raise TooManyAsked(f"{asked} at once; at most {ASKED_MAX}.", fix="Ask in smaller batches.")
    if not all(1 <= len(subject) <= SUBJECT_LENGTH_MAX for subject in subjects):
        raise SubjectInvalid(f"A subject has 1 to {SUBJECT_LENGTH_MAX} characters.")


def _mac(index: bytes, subject: str) -> bytes:
    return hmac.digest(index, subject.encode(), hashlib.sha256)


def _binding(brand_id: UUID, key_id: UUID) -> bytes:
    return b"vitrin seal key\0" + brand_id.bytes + key_id.bytes


def _count(lent: LentAll, made: frozenset[UUID]) -> None:
    for kind, answers in (("person", lent.subjects), ("day", lent.days), ("id", lent.key_ids)):
        for answer in answers:
            LEASED.labels(kind, "created" if answer.key_id in made else answer.state).inc()
