"""What the service has said that needs a person, and has not ended yet."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.attention import install_attentions

revision = "shop_sync_attention"
down_revision = "shop_sync_adoption"
branch_labels = None
depends_on = None


def upgrade() -> None:
    install_attentions(Operations(op.get_context()))


def downgrade() -> None:
    op.execute("drop table attentions")
