"""Items by the id that their shop gives their variant: pages of a shop know no other."""

from alembic import op

revision = "retargeting_variants"
down_revision = "retargeting_collector"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table replica_items add shop_variant_id text collate \"C\" not null default ''")
    op.execute(
        "create index replica_items_by_variant on replica_items (brand_id, shop_variant_id) where shop_variant_id <> ''"
    )


def downgrade() -> None:
    op.execute("alter table replica_items drop shop_variant_id")
