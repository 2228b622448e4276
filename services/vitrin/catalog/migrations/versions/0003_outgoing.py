"""The replica of the switches that stop everything outgoing."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.access.install import install_outgoing

revision = "catalog_0003"
down_revision = "catalog_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    install_outgoing(Operations(op.get_context()))


def downgrade() -> None:
    op.execute("drop table access_outgoing")
