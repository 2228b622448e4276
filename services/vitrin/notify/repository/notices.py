"""SQL of the inbox: one open notice per brand, kind and cause."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.kit.db.session import ReadSession, WriteSession
from vitrin.kit.ids import BrandId

_COLUMNS: Final = (
    "brand_id, notice_id, kind, cause, state, severity, title, detail, fix, subject, look_at, opened_at, seen_at,"
    " occurrences, resolved_at, read_at, read_by"
)
_OPEN: Final = text(
    "insert into notices (brand_id, notice_id, kind, cause, state, severity, title, detail, fix, subject, look_at,"
    " opened_at, seen_at) values (:brand_id, :notice_id, :kind, :cause, 'open', :severity, :title, :detail, :fix,"
    " :subject, :look_at, :now, :now) on conflict (brand_id, kind, cause) where state = 'open' do update set"
    " severity = excluded.severity, title = excluded.title, detail = excluded.detail, fix = excluded.fix,"
    " subject = excluded.subject, look_at = excluded.look_at, seen_at = excluded.seen_at,"
    f" occurrences = notices.occurrences + 1 returning {_COLUMNS}"
)
_RESOLVE: Final = text(
    "update notices set state = 'resolved', resolved_at = :now where brand_id = :brand_id and kind = :kind"
    f" and cause = :cause and state = 'open' returning {_COLUMNS}"
)
_GET: Final = text(f"select {_COLUMNS} from notices where brand_id = :brand_id and notice_id = :notice_id")
_PAGE: Final = text(
    f"select {_COLUMNS} from notices where brand_id = :brand_id"
    " and (cast(:state as text) is null or state = :state)"
    " and (cast(:kind as text) is null or kind = :kind)"
    " and (cast(:severity as text) is null or severity = :severity)"
    " and (cast(:subject as text) is null or subject = :subject)"
    " and (cast(:unread as boolean) is null or (read_at is null) = :unread)"
    " and (cast(:at as timestamptz) is null or (opened_at, notice_id) < (:at, cast(:id as uuid)))"
    " order by opened_at desc, notice_id desc limit :limit"
)
_READ: Final = text(
    "update notices set read_at = coalesce(read_at, :now),"
    " read_by = case when read_at is null then :by else read_by end where brand_id = :brand_id and notice_id ="
    " :notice_id"
)
_UNREAD: Final = text(
    "update notices set read_at = null, read_by = '' where brand_id = :brand_id and notice_id = :notice_id"
)
_READ_ALL: Final = text(
    "update notices set read_at = :now, read_by = :by where brand_id = :brand_id and read_at is null"
    " and opened_at <= :until and (cast(:kind as text) is null or kind = :kind)"
)
_NEW_SOURCE: Final = text(
    "insert into notice_sources (brand_id, source_id, told_at) values (:brand_id, :source_id, :now)"
    " on conflict do nothing returning source_id"
)
_FORGET_SOURCES: Final = text("delete from notice_sources where told_at < :before")
_FORGET: Final = text("delete from notices where resolved_at < :before")


async def open_(tx: WriteSession, values: dict[str, Any]) -> Row[Any]:
    """The open notice of the cause; `occurrences` is 1 when it was opened now."""
    return (await tx.execute(_OPEN, values)).one()


async def resolve(tx: WriteSession, brand: UUID, kind: str, cause: str, now: datetime) -> Row[Any] | None:
    """None: nothing of that cause was open."""
    return await tx.one_or_none(_RESOLVE, {"brand_id": brand, "kind": kind, "cause": cause, "now": now})


async def get(tx: ReadSession, brand: BrandId, notice_id: UUID) -> Row[Any] | None:
    return await tx.one_or_none(_GET, {"brand_id": brand, "notice_id": notice_id})


async def page(
    tx: ReadSession,
    brand: BrandId,
    *,
    state: str | None,
    kind: str | None,
    severity: str | None,
    subject: str | None,
    unread: bool | None,
    position: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Row[Any]]:
    """The newest first."""
    params = {
        "brand_id": brand,
        "state": state,
        "kind": kind,
        "severity": severity,
        "subject": subject,
        "unread": unread,
        "at": position[0] if position else None,
        "id": position[1] if position else None,
        "limit": limit,
    }
    return await tx.all(_PAGE, params)


async def mark(tx: WriteSession, brand: BrandId, notice_id: UUID, *, by: str, now: datetime) -> bool:
    """Read; who read it first stays. False when there is no such notice."""
    params = {"brand_id": brand, "notice_id": notice_id, "by": by, "now": now}
    return (await tx.execute(_READ, params)).rowcount > 0


async def unmark(tx: WriteSession, brand: BrandId, notice_id: UUID) -> bool:
    return (await tx.execute(_UNREAD, {"brand_id": brand, "notice_id": notice_id})).rowcount > 0


async def mark_all(
    tx: WriteSession, brand: BrandId, *, kind: str | None, until: datetime, by: str, now: datetime
) -> int:
    params = {"brand_id": brand, "kind": kind, "until": until, "by": by, "now": now}
    return (await tx.execute(_READ_ALL, params)).rowcount


async def is_new(tx: WriteSession, brand: UUID, source: UUID, now: datetime) -> bool:
    """False for a message that was heard before."""
    params = {"brand_id": brand, "source_id": source, "now": now}
    return await tx.one_or_none(_NEW_SOURCE, params) is not None


async def forget(tx: WriteSession, *, sources_before: datetime, resolved_before: datetime) -> None:
    await tx.execute(_FORGET_SOURCES, {"before": sources_before})
    await tx.execute(_FORGET, {"before": resolved_before})
