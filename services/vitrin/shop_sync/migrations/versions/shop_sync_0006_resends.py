"""What was accepted and is not shown is sent again, so often; a hunt may have to wait."""

from alembic import op

revision = "shop_sync_0006_resends"
down_revision = "shop_sync_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table channel_items add column resends smallint not null default 0")
    op.execute("alter table hunts add column due_at timestamptz")


def downgrade() -> None:
    op.execute("alter table hunts drop column due_at")
    op.execute("alter table channel_items drop column resends")
