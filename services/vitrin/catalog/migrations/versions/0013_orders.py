"""Orders of the shops, refunds that came before theirs, what shops asked in the name of customers, and who looked at
personal data."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import brand_table

revision = "catalog_orders"
down_revision = "catalog_shops"
branch_labels = None
depends_on = None

_ORDERS = (
    """
    create table orders (
        brand_id uuid not null,
        connection_id uuid not null,
        order_id text collate "C" not null,
        version bigint not null default 0,
        state text not null default '',
        test boolean not null default false,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        changed_at timestamptz not null,
        document jsonb not null default '{}',
        timeline jsonb not null default '[]',
        person bytea,
        primary key (brand_id, connection_id, order_id)
    )
    """,
    "create index orders_by_creation on orders (brand_id, created_at, connection_id, order_id)",
    "create index orders_by_age on orders (brand_id, changed_at)",
    """
    create table order_refunds_parked (
        brand_id uuid not null,
        connection_id uuid not null,
        refund_id text collate "C" not null,
        order_id text collate "C" not null,
        document jsonb not null,
        received_at timestamptz not null,
        primary key (brand_id, connection_id, refund_id)
    )
    """,
    "create index order_refunds_parked_of on order_refunds_parked (brand_id, connection_id, order_id)",
    "create index order_refunds_parked_by_age on order_refunds_parked (brand_id, received_at)",
)
_PRIVACY = (
    """
    create table privacy_requests (
        brand_id uuid not null,
        request_id uuid not null,
        connection_id uuid not null,
        kind text not null check (kind in ('export', 'erase', 'shop_erase')),
        told text not null,
        state text not null check (state in ('open', 'running', 'done')),
        person bytea,
        order_ids text[] not null,
        received_at timestamptz not null,
        due_at timestamptz not null,
        done_at timestamptz,
        answered_at timestamptz,
        answered_by text,
        receipt jsonb,
        primary key (brand_id, request_id),
        unique (brand_id, connection_id, kind, told)
    )
    """,
    "create index privacy_requests_by_time on privacy_requests (brand_id, received_at)",
    """
    create table order_views (
        brand_id uuid not null,
        view_id uuid not null,
        at timestamptz not null,
        actor text not null,
        connection_id uuid not null,
        order_id text collate "C" not null,
        request_id uuid,
        primary key (brand_id, view_id)
    )
    """,
    "create index order_views_of on order_views (brand_id, connection_id, order_id, at)",
    "create index order_views_by_age on order_views (brand_id, at)",
)


def upgrade() -> None:
    operations = Operations(op.get_context())
    for statement in (*_ORDERS, *_PRIVACY):
        operations.execute(statement)
    brand_table(operations, "orders", app_privileges="select")
    brand_table(operations, "order_refunds_parked", app_privileges="select")
    brand_table(operations, "privacy_requests", app_privileges="select, update")
    brand_table(
        operations, "order_views", app_privileges="select, insert", worker_privileges="select, delete"
    )


def downgrade() -> None:
    for table in ("order_views", "privacy_requests", "order_refunds_parked", "orders"):
        op.execute(f"drop table {table}")
