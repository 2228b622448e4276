"""Days on which an endpoint failed; the due queues of slow endpoints apart from the others."""

from alembic import op

revision = "notify_0002"
down_revision = "notify_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "alter table webhook_queues add column failing_days integer not null default 0, add column failed_on date"
    )
    op.execute(
        "create index webhook_queues_well_due on webhook_queues (due_at) where due_at is not null and not slow"
    )
    op.execute(
        "create index webhook_queues_slow_due on webhook_queues (due_at) where due_at is not null and slow"
    )


def downgrade() -> None:
    op.execute("drop index webhook_queues_slow_due")
    op.execute("drop index webhook_queues_well_due")
    op.execute("alter table webhook_queues drop column failing_days, drop column failed_on")
