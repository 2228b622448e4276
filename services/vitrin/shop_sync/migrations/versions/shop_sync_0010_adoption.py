"""Adoption: what a platform's catalog held before us, and the keys of our items that it is matched by."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import brand_table, role

revision = "shop_sync_adoption"
down_revision = "shop_sync_purges"
branch_labels = None
depends_on = None

_TABLES = (
    "alter table channels add column stock text not null default 'none'",
    """
    create table stocks (
        brand_id uuid not null,
        channel_id uuid not null,
        state text not null,
        generation integer not null default 1,
        cursor text,
        listed bigint not null default 0,
        index_cursor text collate "C",
        indexed bigint not null default 0,
        recheck_cursor text collate "C",
        failures integer not null default 0,
        restarts integer not null default 0,
        trouble text not null default '',
        started_at timestamptz not null,
        finished_at timestamptz,
        due_at timestamptz,
        primary key (brand_id, channel_id)
    )
    """,
    """
    create table platform_items (
        brand_id uuid not null,
        channel_id uuid not null,
        platform_item_id text collate "C" not null,
        generation integer not null,
        title text not null,
        link text not null,
        gtin_key text not null,
        link_key text not null,
        state text not null,
        how text not null default '',
        item_id text collate "C",
        reason jsonb,
        listed_at timestamptz not null,
        decided_at timestamptz,
        decided_by text not null default '',
        tries smallint not null default 0,
        primary key (brand_id, channel_id, platform_item_id)
    )
    """,
    "create index platform_items_by_gtin on platform_items (channel_id, gtin_key) where gtin_key <> ''",
    "create index platform_items_by_link on platform_items (channel_id, link_key) where link_key <> ''",
    "create unique index platform_items_by_item on platform_items (brand_id, channel_id, item_id)"
    " where item_id is not null",
    "create index platform_items_by_state on platform_items (brand_id, channel_id, state, platform_item_id)",
    """
    create table adoption_keys (
        brand_id uuid not null,
        channel_id uuid not null,
        item_id text collate "C" not null,
        platform_id text collate "C" not null,
        gtin_key text not null,
        link_key text not null,
        primary key (brand_id, channel_id, item_id)
    )
    """,
    "create index adoption_keys_by_id on adoption_keys (channel_id, platform_id) where platform_id <> ''",
    "create index adoption_keys_by_gtin on adoption_keys (channel_id, gtin_key) where gtin_key <> ''",
    "create index adoption_keys_by_link on adoption_keys (channel_id, link_key) where link_key <> ''",
    "alter table removal_requests add column subject text not null default 'items'",
    "drop index removal_requests_open",
    "create unique index removal_requests_open on removal_requests (brand_id, channel_id, subject)"
    " where state = 'open'",
)


def upgrade() -> None:
    operations = Operations(op.get_context())
    for statement in _TABLES:
        op.execute(statement)
    for table in ("stocks", "platform_items", "adoption_keys"):
        brand_table(operations, table)
    # A person who asks for the removal of strangers opens the request.
    for table in ("removal_requests", "removal_items", "removal_work"):
        op.execute(f"grant insert on {table} to {role(operations, 'app')}")


def downgrade() -> None:
    for table in ("adoption_keys", "platform_items", "stocks"):
        op.execute(f"drop table {table}")
    op.execute("delete from removal_requests where subject <> 'items'")
    op.execute("drop index removal_requests_open")
    op.execute("alter table removal_requests drop column subject")
    op.execute(
        "create unique index removal_requests_open on removal_requests (brand_id, channel_id) where state = 'open'"
    )
    op.execute("alter table channels drop column stock")
