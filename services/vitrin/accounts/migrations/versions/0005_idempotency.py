"""Answers of calls that came with an idempotency key."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.idempotency.install import install_idempotency

revision = "accounts_idempotency"
down_revision = "accounts_oauth"
branch_labels = None
depends_on = None


def upgrade() -> None:
    install_idempotency(Operations(op.get_context()))
