"""Response models of the audit log."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

NOT_A_CHANGE = frozenset({"version", "updated_at"})


class AuditEntry(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "019a9d5e-0c1b-7d07-8a2f-6b0e3f1c2d4e",
                "at": "2026-11-20T10:15:00Z",
                "actor": "key:rpoc7fhiivlenl4y",
                "action": "key.revoke",
                "object": "key:mfrggzdfmztwq2lk",
                "changed": ["revoked_at"],
                "before": {"revoked_at": None},
                "after": {"revoked_at": "2026-11-20T10:15:00+00:00"},
            }
        }
    )
    id: UUID
    at: datetime
    actor: str = Field(description="`key:<id>`, `operator`, or `service` for another part of the house.")
    action: str = Field(description="Such as `key.create`, `brand.change`, `outgoing.stop`.")
    object: str = Field(description="What it was done to: `key:<id>`, `connection:<id>`, `brand:<id>`, ...")
    changed: list[str] = Field(description="Fields that differ; all of them when it was made.")
    before: dict[str, Any] | None = Field(description="Without secrets and personal data; null when made.")
    after: dict[str, Any] | None

    @classmethod
    def of(cls, row: Any) -> "AuditEntry":
        before, after = row.before or {}, row.after or {}
        names = sorted((before.keys() | after.keys()) - NOT_A_CHANGE)
        return cls(
            id=row.audit_id,
            at=row.at,
            actor=row.actor,
            action=row.action,
            object=row.subject,
            changed=[name for name in names if before.get(name) != after.get(name)],
            before=row.before,
            after=row.after,
        )
