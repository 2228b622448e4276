"""Answers of calls that came with an idempotency key."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.idempotency.install import install_idempotency

revision = "shop_sync_idempotency"
down_revision = "shop_sync_0006_resends"
branch_labels = None
depends_on = None


def upgrade() -> None:
    install_idempotency(Operations(op.get_context()))
