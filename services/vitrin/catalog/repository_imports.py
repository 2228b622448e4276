"""SQL of imports: the upload in chunks, the leased work of the loop, and the report per row."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Row, delete, insert, select, text, update

from vitrin.catalog.models import import_chunks, import_rows, imports
from vitrin.kit.db.rows import row_source
from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId, ImportId

OPEN_STATES: Final = ("staged", "verifying", "applying")


@dataclass(frozen=True, slots=True)
class Lease:
    """An import that this worker holds, as it stood when it was taken."""

    brand: BrandId
    import_id: ImportId
    owner: str
    state: str
    requested_format: str
    actor: str
    bytes: int
    end_proven: bool
    attempts: int
    created_at: datetime
    started_at: datetime


@dataclass(frozen=True, slots=True)
class RowReport:
    row_number: int
    item_id: str
    outcome: str
    problems: Sequence[Mapping[str, str]]


PAUSE_MAX_S: Final = 60.0
_CLAIM: Final = text(
    """
    update imports set lease_owner = :owner, lease_until = :until, attempts = attempts + 1, updated_at = :now,
        started_at = coalesce(started_at, :now), state = case when state = 'staged' then 'verifying' else state end
    where (brand_id, import_id) = (
        select brand_id, import_id from imports candidate
        where state in ('staged', 'verifying', 'applying')
          and (lease_until is null or lease_until < :now or lease_owner = :owner)
          and (attempts < 2 or updated_at + make_interval(
              secs => least(:pause_s * 2 ^ least(attempts - 2, 20), :pause_max_s)) <= :now)
          and not exists (
              select 1 from imports older
              where older.brand_id = candidate.brand_id and older.import_id < candidate.import_id
                and older.state in ('staged', 'verifying', 'applying'))
        order by import_id limit 1
        for update skip locked)
    returning brand_id, import_id, state, requested_format, actor, bytes, end_proven, attempts, created_at, started_at
    """
)
_ABORT_SILENT: Final = text(
    """
    update imports set state = 'aborted', finished_at = :now, updated_at = :now, problem = cast(:problem as jsonb)
    where state = 'uploading' and updated_at < :silent_since
    returning brand_id, import_id
    """
)
_INSERT_ROWS: Final = """
    insert into import_rows (brand_id, import_id, row_number, item_id, outcome, problems)
    select :brand, :import_id, new.row_number, new.item_id, new.outcome, cast(new.problems as jsonb) from {source}
"""
_SEEN: Final = text(
    """
    select id.id as item_id, earlier.row_number from unnest(cast(:ids as text[])) as id(id)
    cross join lateral (
        select row_number from import_rows one
        where one.brand_id = :brand and one.import_id = :import_id and one.item_id = id.id
        offset 0) earlier
    """
)
"""OFFSET 0 holds the planner to one index probe per id: a table that grew a moment ago has no statistics, and it
would read the whole import again for every transaction."""

_ROW_TYPES: Final = {"row_number": "integer", "item_id": "text", "outcome": "text", "problems": "text"}


async def create(
    tx: WriteSession,
    *,
    brand: BrandId,
    import_id: ImportId,
    requested_format: str,
    actor: str,
    now: datetime,
) -> None:
    await tx.execute(
        insert(imports).values(
            brand_id=brand,
            import_id=import_id,
            state="uploading",
            requested_format=requested_format,
            actor=actor,
            created_at=now,
            updated_at=now,
        )
    )


async def add_chunk(
    tx: WriteSession, *, brand: BrandId, import_id: ImportId, seq: int, data: bytes, now: datetime
) -> bool:
    """False when the upload is not open any more."""
    changed = await tx.execute(
        update(imports)
        .where(imports.c.brand_id == brand, imports.c.import_id == import_id, imports.c.state == "uploading")
        .values(bytes=imports.c.bytes + len(data), updated_at=now)
    )
    if changed.rowcount != 1:
        return False
    await tx.execute(insert(import_chunks).values(brand_id=brand, import_id=import_id, seq=seq, data=data))
    return True


async def stage(
    tx: WriteSession,
    *,
    brand: BrandId,
    import_id: ImportId,
    sha256: bytes,
    end_proven: bool,
    file_name: str,
    now: datetime,
) -> bool:
    """`end_proven`: the sender named the digest of the whole file, and this is it. False when it is not open."""
    changed = await tx.execute(
        update(imports)
        .where(imports.c.brand_id == brand, imports.c.import_id == import_id, imports.c.state == "uploading")
        .values(state="staged", sha256=sha256, end_proven=end_proven, file_name=file_name, updated_at=now)
    )
    return bool(changed.rowcount == 1)


async def finish(
    tx: WriteSession,
    *,
    brand: BrandId,
    import_id: ImportId,
    state: str,
    problem: Mapping[str, object] | None,
    now: datetime,
    only_from: str | None = None,
) -> None:
    """An end state; the file's bytes go with it. `only_from`: unless the import has left that state meanwhile."""
    where = [imports.c.brand_id == brand, imports.c.import_id == import_id]
    if only_from is not None:
        where.append(imports.c.state == only_from)
    result = await tx.execute(
        update(imports)
        .where(*where)
        .values(
            state=state,
            problem=None if problem is None else dict(problem),
            finished_at=now,
            updated_at=now,
            lease_until=None,
            fetch_url="",
        )
    )
    if result.rowcount:
        await delete_chunks(tx, brand=brand, import_id=import_id)


async def delete_chunks(tx: WriteSession, *, brand: BrandId, import_id: ImportId) -> None:
    await tx.execute(
        delete(import_chunks).where(import_chunks.c.brand_id == brand, import_chunks.c.import_id == import_id)
    )


async def get(tx: ReadSession, *, brand: BrandId, import_id: ImportId) -> Row[Any] | None:
    return await tx.one_or_none(
        select(imports).where(imports.c.brand_id == brand, imports.c.import_id == import_id)
    )


async def page(tx: ReadSession, *, brand: BrandId, before: ImportId | None, limit: int) -> Sequence[Row[Any]]:
    """The newest first."""
    statement = (
        select(imports).where(imports.c.brand_id == brand).order_by(imports.c.import_id.desc()).limit(limit)
    )
    if before is not None:
        statement = statement.where(imports.c.import_id < before)
    return await tx.all(statement)


async def rows_page(
    tx: ReadSession,
    *,
    brand: BrandId,
    import_id: ImportId,
    outcome: str | None,
    item_id: str | None,
    after: int,
    limit: int,
) -> Sequence[Row[Any]]:
    statement = (
        select(import_rows)
        .where(
            import_rows.c.brand_id == brand,
            import_rows.c.import_id == import_id,
            import_rows.c.row_number > after,
        )
        .order_by(import_rows.c.row_number)
        .limit(limit)
    )
    if outcome is not None:
        statement = statement.where(import_rows.c.outcome == outcome)
    if item_id is not None:
        statement = statement.where(import_rows.c.item_id == item_id)
    return await tx.all(statement)


async def claim(
    tx: WriteSession, *, owner: str, now: datetime, lease: timedelta, pause_s: float
) -> Lease | None:
    """The oldest import of a brand that nobody works on; a brand's imports are applied one after the other. One that
    was begun twice without a step forward rests for `pause_s`, and twice as long after each further time."""
    values = {
        "owner": owner,
        "now": now,
        "until": now + lease,
        "pause_s": pause_s,
        "pause_max_s": PAUSE_MAX_S,
    }
    row = await tx.one_or_none(_CLAIM, values)
    if row is None:
        return None
    return Lease(
        brand=BrandId(row.brand_id),
        import_id=ImportId(row.import_id),
        owner=owner,
        state=row.state,
        requested_format=row.requested_format,
        actor=row.actor,
        bytes=row.bytes,
        end_proven=row.end_proven,
        attempts=row.attempts,
        created_at=row.created_at,
        started_at=row.started_at,
    )


async def hold(tx: WriteSession, lease: Lease) -> Row[Any] | None:
    """The import under its row lock; None when the lease was lost to another worker."""
    row = await tx.one_or_none(
        select(imports)
        .where(imports.c.brand_id == lease.brand, imports.c.import_id == lease.import_id)
        .with_for_update()
    )
    if row is None or row.lease_owner != lease.owner or row.state not in OPEN_STATES:
        return None
    return row


async def advance(tx: WriteSession, lease: Lease, values: Mapping[str, object]) -> None:
    await tx.execute(
        update(imports)
        .where(imports.c.brand_id == lease.brand, imports.c.import_id == lease.import_id)
        .values(**values)
    )


async def chunk(tx: ReadSession, *, brand: BrandId, import_id: ImportId, seq: int) -> bytes | None:
    data = await tx.scalar(
        select(import_chunks.c.data).where(
            import_chunks.c.brand_id == brand,
            import_chunks.c.import_id == import_id,
            import_chunks.c.seq == seq,
        )
    )
    return None if data is None else bytes(data)


async def seen(tx: ReadSession, lease: Lease, ids: Collection[str]) -> dict[str, int]:
    """The first row of each id that earlier rows of this file had."""
    found = await tx.all(_SEEN, {"brand": lease.brand, "import_id": lease.import_id, "ids": sorted(ids)})
    first: dict[str, int] = {}
    for row in found:
        first[row.item_id] = min(row.row_number, first.get(row.item_id, row.row_number))
    return first


async def add_rows(tx: WriteSession, lease: Lease, reports: Sequence[RowReport]) -> None:
    rows = [
        (one.row_number, one.item_id, one.outcome, msgspec.json.encode(list(one.problems)).decode())
        for one in reports
    ]
    source = await row_source(tx, "import_rows_new", _ROW_TYPES, rows)
    await tx.execute(
        text(_INSERT_ROWS.format(source=source.sql)),
        {"brand": lease.brand, "import_id": lease.import_id, **source.params},
    )


async def abort_silent(
    tx: WriteSession, *, silent_since: datetime, problem: Mapping[str, object], now: datetime
) -> list[tuple[BrandId, ImportId]]:
    """Uploads without a byte since then; their chunks are left to `delete_chunks` in a transaction of the brand."""
    found = await tx.all(
        _ABORT_SILENT,
        {"now": now, "silent_since": silent_since, "problem": msgspec.json.encode(dict(problem)).decode()},
    )
    return [(BrandId(row.brand_id), ImportId(row.import_id)) for row in found]


async def finished_before(tx: ReadSession, *, moment: datetime, limit: int) -> list[tuple[BrandId, ImportId]]:
    found = await tx.all(
        select(imports.c.brand_id, imports.c.import_id)
        .where(imports.c.finished_at < moment)
        .order_by(imports.c.finished_at)
        .limit(limit)
    )
    return [(BrandId(row.brand_id), ImportId(row.import_id)) for row in found]


async def remove(tx: WriteSession, *, brand: BrandId, import_id: UUID) -> None:
    """An old import with its report."""
    for table in (import_rows, import_chunks, imports):
        await tx.execute(delete(table).where(table.c.brand_id == brand, table.c.import_id == import_id))
