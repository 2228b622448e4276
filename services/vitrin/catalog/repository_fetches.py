"""SQL of imports that are fetched from an address, until their file is staged like an upload."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, insert, select, text, update

from vitrin.catalog.models import import_chunks, imports
from vitrin.catalog.repository_imports import PAUSE_MAX_S, delete_chunks
from vitrin.kit.db.session import WriteSession
from vitrin.kit.ids import BrandId, ImportId

FETCHING: Final = "fetching"


@dataclass(frozen=True, slots=True)
class FetchLease:
    """A fetch that this worker holds. `url` is whole and may hold a secret: it is in no log line."""

    brand: BrandId
    import_id: ImportId
    owner: str
    url: str
    file_name: str
    sha256: bytes | None
    attempts: int

    def __repr__(self) -> str:
        return f"FetchLease({self.import_id}, attempt {self.attempts})"


_CLAIM: Final = text(
    """
    update imports set lease_owner = :owner, lease_until = :until, attempts = attempts + 1, updated_at = :now,
        bytes = 0, bytes_total = null
    where (brand_id, import_id) = (
        select brand_id, import_id from imports candidate
        where state = 'fetching'
          and (lease_until is null or lease_until < :now or lease_owner = :owner)
          and (attempts < 2 or updated_at + make_interval(
              secs => least(:pause_s * 2 ^ least(attempts - 2, 20), :pause_max_s)) <= :now)
          and not exists (
              select 1 from imports other
              where other.brand_id = candidate.brand_id and other.state = 'fetching'
                and other.import_id <> candidate.import_id
                and other.lease_until >= :now and other.lease_owner not in ('', :owner))
        order by import_id limit 1
        for update skip locked)
    returning brand_id, import_id, fetch_url, file_name, expected_sha256, attempts
    """
)


async def create(
    tx: WriteSession,
    *,
    brand: BrandId,
    import_id: ImportId,
    requested_format: str,
    actor: str,
    url: str,
    shown_url: str,
    file_name: str,
    sha256: bytes | None,
    now: datetime,
) -> None:
    await tx.execute(
        insert(imports).values(
            brand_id=brand,
            import_id=import_id,
            state=FETCHING,
            requested_format=requested_format,
            actor=actor,
            source_url=shown_url,
            fetch_url=url,
            file_name=file_name,
            expected_sha256=sha256,
            created_at=now,
            updated_at=now,
        )
    )


async def waiting(tx: WriteSession, *, brand: BrandId) -> int:
    """Addresses of the brand that are not fetched yet."""
    found = await tx.scalar(
        select(func.count()).where(imports.c.brand_id == brand, imports.c.state == FETCHING)
    )
    return int(found or 0)


async def claim(
    tx: WriteSession, *, owner: str, now: datetime, lease: timedelta, pause_s: float
) -> FetchLease | None:
    """The oldest address that nobody fetches, one of a brand at a time. One that failed rests: its lease belongs to
    nobody until then. One whose worker is gone rests as imports do."""
    row = await tx.one_or_none(
        _CLAIM,
        {
            "owner": owner,
            "now": now,
            "until": now + lease,
            "pause_s": pause_s,
            "pause_max_s": PAUSE_MAX_S,
        },
    )
    if row is None:
        return None
    return FetchLease(
        brand=BrandId(row.brand_id),
        import_id=ImportId(row.import_id),
        owner=owner,
        url=row.fetch_url,
        file_name=row.file_name,
        sha256=None if row.expected_sha256 is None else bytes(row.expected_sha256),
        attempts=row.attempts,
    )


async def clear(tx: WriteSession, lease: FetchLease) -> None:
    """What an earlier attempt left: a file is fetched from its beginning."""
    await delete_chunks(tx, brand=lease.brand, import_id=lease.import_id)


async def hold(tx: WriteSession, lease: FetchLease, values: Mapping[str, object]) -> bool:
    """Changes the import while this worker holds it; False when it does not any more."""
    changed = await tx.execute(
        update(imports)
        .where(
            imports.c.brand_id == lease.brand,
            imports.c.import_id == lease.import_id,
            imports.c.state == FETCHING,
            imports.c.lease_owner == lease.owner,
        )
        .values(**values)
    )
    return bool(changed.rowcount == 1)


async def add_chunk(tx: WriteSession, lease: FetchLease, *, seq: int, data: bytes) -> None:
    """After `hold` in the same transaction."""
    await tx.execute(
        insert(import_chunks).values(brand_id=lease.brand, import_id=lease.import_id, seq=seq, data=data)
    )
