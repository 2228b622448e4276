"""Which item a shop's variant is, and the stock that lies at a shop's locations.

Ages: rows of products that are gone and stock without an item are deleted by `shop.keeping`.
"""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import brand_table

revision = "catalog_shop_products"
down_revision = "catalog_attention"
branch_labels = None
depends_on = None

_TABLES = ("shop_products", "shop_variants", "shop_inventory", "shop_stock", "shop_locations")


def upgrade() -> None:
    op.execute(
        """
        create table shop_products (
            brand_id uuid not null,
            connection_id uuid not null,
            product_id text collate "C" not null,
            source_at timestamptz,
            gone_at timestamptz,
            seen_at timestamptz not null,
            primary key (brand_id, connection_id, product_id)
        )
        """
    )
    op.execute(
        "create index shop_products_gone on shop_products (brand_id, seen_at) where gone_at is not null"
    )
    op.execute(
        """
        create table shop_variants (
            brand_id uuid not null,
            connection_id uuid not null,
            variant_id text collate "C" not null,
            product_id text collate "C" not null,
            item_id text collate "C" not null,
            inventory_item_id text collate "C" not null default '',
            primary key (brand_id, connection_id, variant_id),
            unique (brand_id, item_id)
        )
        """
    )
    op.execute("create index shop_variants_by_product on shop_variants (brand_id, connection_id, product_id)")
    op.execute(
        """
        create table shop_inventory (
            brand_id uuid not null,
            connection_id uuid not null,
            inventory_item_id text collate "C" not null,
            item_id text collate "C" not null default '',
            tracked boolean not null default true,
            payload_quantity bigint,
            payload_at timestamptz,
            seen_at timestamptz not null,
            primary key (brand_id, connection_id, inventory_item_id)
        )
        """
    )
    op.execute(
        "create index shop_inventory_by_item on shop_inventory (brand_id, item_id) where item_id <> ''"
    )
    op.execute("create index shop_inventory_parked on shop_inventory (brand_id, seen_at) where item_id = ''")
    op.execute(
        """
        create table shop_stock (
            brand_id uuid not null,
            connection_id uuid not null,
            inventory_item_id text collate "C" not null,
            location_id text collate "C" not null,
            available bigint,
            source_at timestamptz not null,
            primary key (brand_id, connection_id, inventory_item_id, location_id)
        )
        """
    )
    op.execute(
        """
        create table shop_locations (
            brand_id uuid not null,
            connection_id uuid not null,
            location_id text collate "C" not null,
            name text not null default '',
            active boolean not null default true,
            counted boolean,
            primary key (brand_id, connection_id, location_id)
        )
        """
    )
    op.execute("create index items_by_handle on items (brand_id, left(handle, 100)) where handle <> ''")
    operations = Operations(op.get_context())
    for table in _TABLES:
        brand_table(operations, table)


def downgrade() -> None:
    op.execute("drop index items_by_handle")
    for table in _TABLES:
        op.execute(f"drop table {table}")
