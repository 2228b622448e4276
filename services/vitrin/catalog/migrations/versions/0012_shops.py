"""Shops: the replica of their connections, what came from them, their loads, and the queue of who has work.

`shop_deliveries` is not partitioned by day: a delivery is known by its own id for as long as its row is there, which a
unique key over partitions cannot say."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import brand_table, role

revision = "catalog_shops"
down_revision = "catalog_shop_products"
branch_labels = None
depends_on = None

_SHOPS = """
    create table shops (
        brand_id uuid not null,
        connection_id uuid not null,
        version bigint not null,
        platform text not null,
        mode text not null,
        base_url text not null,
        external_ids jsonb not null,
        market text not null,
        connection_state text not null,
        deleted boolean not null,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        state text not null default 'new'
            check (state in ('new', 'ready', 'refused', 'needs_attention', 'uninstalled', 'closed')),
        problem jsonb,
        name text not null default '',
        currency text not null default '',
        storefront_url text not null default '',
        asked_at timestamptz,
        webhooks text not null default 'none'
            check (webhooks in ('none', 'ready', 'needs_public_url', 'failing')),
        webhooks_problem jsonb,
        webhooks_at timestamptz,
        last_delivery_at timestamptz,
        loaded_at timestamptz,
        products_since timestamptz,
        orders_since timestamptz,
        delta_at timestamptz,
        full_at timestamptz,
        primary key (brand_id, connection_id)
    )
"""
_QUEUES = (
    """
    create table shop_queues (
        connection_id uuid not null,
        work text not null check (work in ('deliveries', 'tending')),
        brand_id uuid not null,
        due_at timestamptz,
        claim_id uuid,
        claimed_by text not null default '',
        claimed_until timestamptz,
        served_at timestamptz,
        primary key (connection_id, work)
    )
    """,
    "create index shop_queues_due on shop_queues (work, coalesce(due_at, claimed_until))",
)
_DELIVERIES = (
    "create sequence shop_deliveries_seq",
    """
    create table shop_deliveries (
        brand_id uuid not null,
        connection_id uuid not null,
        delivery_id text collate "C" not null,
        seq bigint not null default nextval('shop_deliveries_seq'),
        platform text not null,
        topic text not null,
        kind text not null,
        subject text collate "C" not null,
        received_at timestamptz not null,
        state text not null check (state in
            ('pending', 'failed', 'dead', 'waiting', 'applied', 'stale', 'nothing')),
        tries integer not null default 0,
        due_at timestamptz,
        finished_at timestamptz,
        problem jsonb,
        body_bytes integer not null,
        key_id text,
        nonce bytea,
        ciphertext bytea,
        primary key (brand_id, connection_id, delivery_id),
        check ((state in ('pending', 'failed')) = (due_at is not null))
    )
    """,
    "create index shop_deliveries_open on shop_deliveries (connection_id, subject, seq)"
    " where state in ('pending', 'failed')",
    "create index shop_deliveries_due on shop_deliveries (connection_id, seq) where state in ('pending', 'failed')",
    "create index shop_deliveries_waiting on shop_deliveries (connection_id, seq) where state = 'waiting'",
    "create index shop_deliveries_by_shop on shop_deliveries (brand_id, connection_id, seq)",
    "create index shop_deliveries_by_age on shop_deliveries (brand_id, connection_id, received_at)",
)
_LOADS = (
    """
    create table shop_loads (
        brand_id uuid not null,
        load_id uuid not null,
        connection_id uuid not null,
        kind text not null check (kind in ('first', 'reconcile', 'manual')),
        state text not null check (state in ('asked', 'preparing', 'reading', 'checking', 'done', 'failed', 'stopped')),
        actor text not null,
        handle text not null default '',
        cursor text,
        objects integer not null default 0,
        pages integer not null default 0,
        products integer not null default 0,
        created integer not null default 0,
        updated integer not null default 0,
        unchanged integer not null default 0,
        deleted integer not null default 0,
        refused integer not null default 0,
        checked_after text not null default '',
        tries integer not null default 0,
        problem jsonb,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        finished_at timestamptz,
        primary key (brand_id, load_id)
    )
    """,
    "create unique index shop_loads_one_open on shop_loads (brand_id, connection_id)"
    " where state in ('asked', 'preparing', 'reading', 'checking')",
    "create index shop_loads_by_shop on shop_loads (brand_id, connection_id, created_at)",
    """
    create table shop_load_products (
        brand_id uuid not null,
        load_id uuid not null,
        product_id text collate "C" not null,
        primary key (brand_id, load_id, product_id),
        foreign key (brand_id, load_id) references shop_loads on delete cascade
    )
    """,
)


def upgrade() -> None:
    operations = Operations(op.get_context())
    for statement in (_SHOPS, *_QUEUES, *_DELIVERIES, *_LOADS):
        operations.execute(statement)
    app, worker = role(operations, "app"), role(operations, "worker")
    operations.execute(f"grant usage on sequence shop_deliveries_seq to {app}, {worker}")
    brand_table(operations, "shops", app_privileges="select")
    brand_table(operations, "shop_queues", worker="all", app_privileges="select, insert, update")
    brand_table(operations, "shop_deliveries", app_privileges="select, update")
    brand_table(operations, "shop_loads", app_privileges="select, insert, update")
    brand_table(operations, "shop_load_products", app="none")


def downgrade() -> None:
    for table in ("shop_load_products", "shop_loads", "shop_deliveries", "shop_queues", "shops"):
        op.execute(f"drop table {table}")
    op.execute("drop sequence shop_deliveries_seq")
