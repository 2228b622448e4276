"""What was left out of a shop's variant, beside the item that it is; and items by the shop's own id of them."""

from alembic import op

revision = "catalog_shop_warnings"
down_revision = "catalog_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table shop_variants add column warnings jsonb")
    op.execute(
        "create index shop_variants_with_warnings on shop_variants (brand_id, connection_id, item_id)"
        " where warnings is not null"
    )
    op.execute("create index shop_variants_by_variant on shop_variants (brand_id, variant_id)")
    op.execute("create index items_by_variant on items (brand_id, variant_id) where variant_id <> ''")


def downgrade() -> None:
    op.execute("drop index items_by_variant")
    op.execute("drop index shop_variants_by_variant")
    op.execute("drop index shop_variants_with_warnings")
    op.execute("alter table shop_variants drop column warnings")
