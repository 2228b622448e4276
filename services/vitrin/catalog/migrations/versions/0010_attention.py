"""What the service has said that needs a person, and has not ended yet."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.attention import install_attentions

revision = "catalog_attention"
down_revision = "catalog_purges"
branch_labels = None
depends_on = None


def upgrade() -> None:
    install_attentions(Operations(op.get_context()))


def downgrade() -> None:
    op.execute("drop table attentions")
