"""Use case of the audit log: reading it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from vitrin.accounts import repository_audit
from vitrin.accounts.repository_audit import AuditFilter
from vitrin.kit.access import Principal
from vitrin.kit.db.database import AppDatabase


class AuditLog:
    def __init__(self, database: AppDatabase) -> None:
        self._database = database

    async def page(
        self, caller: Principal, *, wanted: AuditFilter, before: tuple[datetime, UUID] | None, limit: int
    ) -> list[Any]:
        """A test key sees nothing of live keys and connections, here as elsewhere."""
        async with self._database.read(caller.brand_id) as session:
            return await repository_audit.page(
                session,
                caller.brand_id,
                wanted=wanted,
                hidden_mode="live" if caller.mode == "test" else None,
                before=before,
                limit=limit,
            )
