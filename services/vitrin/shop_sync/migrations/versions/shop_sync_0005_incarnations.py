"""Marker, ends and republish jobs of the outbox; snapshots of the consumer groups."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import install_incarnations, install_snapshots

revision = "shop_sync_0005"
down_revision = "shop_sync_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    operations = Operations(op.get_context())
    install_incarnations(operations)
    install_snapshots(operations)
