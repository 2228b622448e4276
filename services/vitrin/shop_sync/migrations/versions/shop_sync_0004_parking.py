"""Messages that wait are parked per key; dead letters can be replayed and dropped."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import install_parking

revision = "shop_sync_0004"
down_revision = "shop_sync_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    install_parking(Operations(op.get_context()))


def downgrade() -> None:
    raise RuntimeError("parked messages are not given up: let them be handled, then drop the table by hand")
