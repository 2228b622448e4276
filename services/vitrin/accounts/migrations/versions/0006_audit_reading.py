"""The audit log is read: newest first, or what happened to one thing."""

from alembic import op

revision = "accounts_audit_reading"
down_revision = "accounts_idempotency"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create index audit_entries_by_time on audit_entries (brand_id, at, audit_id)")
    op.execute("create index audit_entries_by_subject on audit_entries (brand_id, subject, at, audit_id)")
    op.execute("drop index audit_entries_by_brand")
