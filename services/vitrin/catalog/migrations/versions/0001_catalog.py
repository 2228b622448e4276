"""Items, offers, stock, imports. Ids are compared byte by byte (collation "C"), as Python sorts them.

Ages: import_chunks go when their import ends (a day after its last byte where the upload broke off), import_rows
30 days after theirs. A deleted item keeps its row, without content, so that its counters go on when it comes back.
"""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.access import install_access
from vitrin.kit.db.migration import brand_table, install_consumer, install_outbox

revision = "catalog_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    operations = Operations(op.get_context())
    install_outbox(operations)
    install_consumer(operations)
    install_access(operations)
    _places(operations)
    _items(operations)
    _imports(operations)


def _places(operations: Operations) -> None:
    op.execute(
        """
        create table markets (
            brand_id uuid not null,
            market text collate "C" not null,
            currency text not null check (length(currency) = 3),
            is_default boolean not null,
            created_at timestamptz not null,
            primary key (brand_id, market)
        )
        """
    )
    op.execute("create unique index markets_one_default on markets (brand_id) where is_default")
    op.execute(
        """
        create table locations (
            brand_id uuid not null,
            location text collate "C" not null,
            is_default boolean not null,
            created_at timestamptz not null,
            primary key (brand_id, location)
        )
        """
    )
    op.execute("create unique index locations_one_default on locations (brand_id) where is_default")
    brand_table(operations, "markets", worker="all")
    brand_table(operations, "locations")


def _items(operations: Operations) -> None:
    op.execute(
        """
        create table item_groups (
            brand_id uuid not null,
            item_group_id text collate "C" not null,
            created_at timestamptz not null,
            primary key (brand_id, item_group_id)
        )
        """
    )
    op.execute(
        """
        create table items (
            brand_id uuid not null,
            item_id text collate "C" not null,
            content_version bigint not null default 0,
            offer_version bigint not null default 0,
            content jsonb,
            status text not null default '',
            item_group_id text collate "C" not null default '',
            title_folded text collate "C" not null default '',
            sku text collate "C" not null default '',
            gtin text collate "C" not null default '',
            source text not null default '',
            product_id text collate "C" not null default '',
            variant_id text collate "C" not null default '',
            inventory_item_id text collate "C" not null default '',
            handle text collate "C" not null default '',
            options jsonb not null default '[]',
            created_at timestamptz not null,
            updated_at timestamptz not null,
            deleted_at timestamptz,
            primary key (brand_id, item_id),
            check (content is null or deleted_at is null)
        )
        """
    )
    op.execute("create index items_by_group on items (brand_id, item_group_id) where item_group_id <> ''")
    op.execute("create index items_by_sku on items (brand_id, left(sku, 100)) where sku <> ''")
    op.execute("create index items_by_gtin on items (brand_id, gtin) where gtin <> ''")
    op.execute("create index items_by_title on items (brand_id, title_folded)")
    op.execute("create index items_by_update on items (brand_id, updated_at)")
    op.execute(
        """
        create table offers (
            brand_id uuid not null,
            item_id text collate "C" not null,
            market text collate "C" not null,
            currency text not null,
            price_minor bigint not null check (price_minor >= 0),
            sale_price_minor bigint check (sale_price_minor >= 0),
            sale_starts_at timestamptz,
            sale_ends_at timestamptz,
            cost_minor bigint check (cost_minor >= 0),
            availability text,
            effective_availability text not null,
            inventory_policy text not null,
            offer_version bigint not null,
            updated_at timestamptz not null,
            primary key (brand_id, item_id, market)
        )
        """
    )
    op.execute(
        """
        create table stock_levels (
            brand_id uuid not null,
            item_id text collate "C" not null,
            location text collate "C" not null,
            quantity bigint not null check (quantity >= 0),
            updated_at timestamptz not null,
            primary key (brand_id, item_id, location)
        )
        """
    )
    for table in ("item_groups", "items", "offers", "stock_levels"):
        brand_table(operations, table)


def _imports(operations: Operations) -> None:
    op.execute(
        """
        create table imports (
            brand_id uuid not null,
            import_id uuid not null,
            state text not null check (state in ('uploading', 'staged', 'verifying', 'applying', 'done', 'refused',
                                                 'failed', 'aborted')),
            requested_format text not null,
            format text not null default '',
            file_name text not null default '',
            actor text not null,
            bytes bigint not null default 0,
            sha256 bytea,
            rows_total integer not null default 0,
            rows_done integer not null default 0,
            records_done integer not null default 0,
            created integer not null default 0,
            updated integer not null default 0,
            unchanged integer not null default 0,
            refused integer not null default 0,
            images integer not null default 0,
            attempts integer not null default 0,
            problem jsonb,
            lease_owner text not null default '',
            lease_until timestamptz,
            created_at timestamptz not null,
            updated_at timestamptz not null,
            started_at timestamptz,
            finished_at timestamptz,
            primary key (brand_id, import_id)
        )
        """
    )
    op.execute(
        "create index imports_open on imports (import_id)"
        " where state in ('uploading', 'staged', 'verifying', 'applying')"
    )
    op.execute("create index imports_finished on imports (finished_at) where finished_at is not null")
    op.execute(
        """
        create table import_chunks (
            brand_id uuid not null,
            import_id uuid not null,
            seq integer not null,
            data bytea not null,
            primary key (brand_id, import_id, seq)
        )
        """
    )
    op.execute("alter table import_chunks alter column data set storage external")
    op.execute(
        """
        create table import_rows (
            brand_id uuid not null,
            import_id uuid not null,
            row_number integer not null,
            item_id text collate "C" not null,
            outcome text not null,
            problems jsonb not null default '[]',
            primary key (brand_id, import_id, row_number)
        )
        """
    )
    op.execute("create index import_rows_by_item on import_rows (brand_id, import_id, item_id)")
    op.execute(
        "create index import_rows_refused on import_rows (brand_id, import_id, row_number) where outcome = 'refused'"
    )
    brand_table(operations, "imports", worker="all")
    brand_table(operations, "import_chunks")
    brand_table(operations, "import_rows")
