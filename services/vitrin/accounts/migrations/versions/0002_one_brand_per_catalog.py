"""A catalog of a platform is fed by one brand: two would overwrite each other's prices and stock.

The one unique key that does not begin with the brand. What it tells a stranger is that somebody here feeds a catalog
whose id he already has.
"""

from alembic import op

revision = "accounts_0002"
down_revision = "accounts_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        create unique index connections_one_brand_per_catalog
            on connections (platform, mode, base_url, (external_ids ->> 'catalog_id')) where deleted_at is null
        """
    )


def downgrade() -> None:
    op.execute("drop index connections_one_brand_per_catalog")
