"""The rows of brands that have left are removed by a function of the owner's."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import install_purges

revision = "notify_purges"
down_revision = "notify_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    install_purges(Operations(op.get_context()))
