"""The removal guard: policies, what left lately, requests that wait for an approval, and who decided what."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import brand_table

revision = "shop_sync_0003"
down_revision = "shop_sync_0002"
branch_labels = None
depends_on = None

_WINDOW = (
    """
    create table removal_policies (
        brand_id uuid primary key,
        percent smallint not null,
        at_least integer not null,
        guarded text[] not null,
        updated_at timestamptz not null,
        updated_by text not null
    )
    """,
    """
    create table removal_windows (
        brand_id uuid not null,
        channel_id uuid not null,
        slots jsonb not null default '{}',
        base_items bigint,
        base_complete boolean not null default false,
        base_at timestamptz,
        primary key (brand_id, channel_id)
    )
    """,
    """
    create table removal_charges (
        brand_id uuid not null,
        channel_id uuid not null,
        item_id text collate "C" not null,
        slot bigint not null,
        kind text not null,
        primary key (brand_id, channel_id, item_id)
    )
    """,
    "create index removal_charges_by_slot on removal_charges (channel_id, slot)",
    "create index channel_items_shown on channel_items (brand_id, channel_id) where exposed and want <> 'absent'",
)

_REQUESTS = (
    """
    create table removal_requests (
        brand_id uuid not null,
        request_id uuid not null,
        channel_id uuid not null,
        state text not null,
        opened_at timestamptz not null,
        updated_at timestamptz not null,
        limit_items bigint not null,
        shown_items bigint,
        passed_items bigint not null,
        waiting_removals bigint not null default 0,
        waiting_zeroings bigint not null default 0,
        items_gone bigint not null default 0,
        items_kept bigint not null default 0,
        items_back bigint not null default 0,
        causes jsonb not null default '{}',
        decided_at timestamptz,
        decided_by text,
        note text not null default '',
        finished_at timestamptz,
        alerted_at timestamptz,
        alerted_items bigint not null default 0,
        primary key (brand_id, request_id)
    )
    """,
    "create unique index removal_requests_open on removal_requests (brand_id, channel_id) where state = 'open'",
    "create index removal_requests_newest on removal_requests (brand_id, opened_at desc, request_id desc)",
    """
    create table removal_items (
        brand_id uuid not null,
        request_id uuid not null,
        item_id text collate "C" not null,
        channel_id uuid not null,
        kind text not null,
        state text not null,
        title text not null,
        reason jsonb not null,
        actor text not null,
        held_at timestamptz not null,
        settled_at timestamptz,
        primary key (brand_id, request_id, item_id)
    )
    """,
    "create index removal_items_waiting on removal_items (channel_id, item_id) where state = 'waiting'",
    """
    create table removal_work (
        request_id uuid primary key,
        brand_id uuid not null,
        waits boolean not null,
        opened_at timestamptz not null,
        due_at timestamptz not null
    )
    """,
    "create index removal_work_due on removal_work (due_at)",
    """
    create table audit_entries (
        audit_id uuid primary key,
        brand_id uuid not null,
        at timestamptz not null,
        actor text not null,
        action text not null,
        subject text not null,
        before jsonb,
        after jsonb
    )
    """,
    "create index audit_entries_by_brand on audit_entries (brand_id, at)",
)


def upgrade() -> None:
    operations = Operations(op.get_context())
    for statement in (*_WINDOW, *_REQUESTS):
        op.execute(statement)
    read_only, read_insert = "select", "select, insert"
    brand_table(operations, "removal_policies", worker_privileges=read_only)
    brand_table(operations, "removal_windows")
    brand_table(operations, "removal_charges", app_privileges=read_only)
    brand_table(operations, "removal_requests", app_privileges="select, update")
    brand_table(operations, "removal_items", app_privileges="select, update")
    brand_table(operations, "removal_work", app_privileges="select, update", worker="all")
    brand_table(operations, "audit_entries", app_privileges=read_insert, worker_privileges=read_insert)


def downgrade() -> None:
    op.execute("drop index channel_items_shown")
    for table in (
        "audit_entries",
        "removal_work",
        "removal_items",
        "removal_requests",
        "removal_charges",
        "removal_windows",
        "removal_policies",
    ):
        op.execute(f"drop table {table}")
