"""Reading the audit log."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, tuple_

from vitrin.accounts.models import audit_entries
from vitrin.kit.db.session import ReadSession
from vitrin.kit.ids import BrandId

_ENTRY = audit_entries.c


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """None: whatever it is. `action` is a whole name (`key.revoke`) or its first word (`key`)."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def page(
    session: ReadSession,
    brand_id: BrandId,
    *,
    wanted: AuditFilter,
    hidden_mode: str | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Any]:
    """Newest first. `hidden_mode`: entries of things in this mode are left out."""
    statement = select(audit_entries).where(_ENTRY.brand_id == brand_id)
    if wanted.actor is not None:
        statement = statement.where(_ENTRY.actor == wanted.actor)
    if wanted.action is not None:
        begins = func.starts_with(_ENTRY.action, f"{wanted.action}.")
        statement = statement.where(or_(_ENTRY.action == wanted.action, begins))
    if wanted.subject is not None:
        statement = statement.where(_ENTRY.subject == wanted.subject)
    if wanted.since is not None:
        statement = statement.where(_ENTRY.at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(_ENTRY.at < wanted.until)
    if hidden_mode is not None:
        mode = func.coalesce(_ENTRY.after.op("->>")("mode"), _ENTRY.before.op("->>")("mode"), "")
        statement = statement.where(mode != hidden_mode)
        if hidden_mode == "live":  # people are a matter of the live brand
            for people in ("member:", "invitation:"):
                statement = statement.where(~func.starts_with(_ENTRY.subject, people))
    if before is not None:
        statement = statement.where(tuple_(_ENTRY.at, _ENTRY.audit_id) < tuple_(*before))
    ordered = statement.order_by(_ENTRY.at.desc(), _ENTRY.audit_id.desc())
    return list(await session.all(ordered.limit(limit)))
