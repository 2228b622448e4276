"""The replica of keys says whose own key one is, and the replica of brands whether an approval needs another person."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.access.install import install_people

revision = "shop_sync_people"
down_revision = "shop_sync_idempotency"
branch_labels = None
depends_on = None


def upgrade() -> None:
    install_people(Operations(op.get_context()))
