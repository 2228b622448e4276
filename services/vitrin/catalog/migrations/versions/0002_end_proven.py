"""Whether the sender proved the whole file of an import with its SHA-256."""

from alembic import op

revision = "catalog_0002"
down_revision = "catalog_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table imports add column end_proven boolean not null default false")


def downgrade() -> None:
    op.execute("alter table imports drop column end_proven")
