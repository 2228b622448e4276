"""Replicas, channels, items per channel, work, timeline and lag."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.access.install import install_access
from vitrin.kit.db.migration import brand_table, install_consumer, install_outbox, partition_by_day

revision = "shop_sync_0001"
down_revision = None
branch_labels = None
depends_on = None

TIMELINE_KEEP_DAYS = 90
LAG_KEEP_DAYS = 14

_REPLICAS = (
    """
    create table replica_items (
        brand_id uuid not null,
        item_id text collate "C" not null,
        content_version bigint not null default 0,
        deleted boolean not null default false,
        content bytea not null default '',
        sku text not null default '',
        offer_floor bigint not null default 0,
        occurred_at timestamptz not null default '1970-01-01 00:00:00+00',
        received_at timestamptz not null default '1970-01-01 00:00:00+00',
        actor text not null default '',
        primary key (brand_id, item_id)
    )
    """,
    "create index replica_items_by_sku on replica_items (brand_id, sku) where sku <> ''",
    """
    create table replica_offers (
        brand_id uuid not null,
        item_id text collate "C" not null,
        market text not null,
        offer_version bigint not null,
        offer bytea not null,
        occurred_at timestamptz not null,
        received_at timestamptz not null,
        actor text not null,
        primary key (brand_id, item_id, market)
    )
    """,
    """
    create table replica_connections (
        brand_id uuid not null,
        connection_id uuid not null,
        version bigint not null,
        deleted boolean not null,
        payload bytea not null,
        primary key (brand_id, connection_id)
    )
    """,
)

_CHANNELS = (
    """
    create table channels (
        brand_id uuid not null,
        channel_id uuid not null,
        connection_id uuid not null,
        platform text not null,
        mode text not null,
        base_url text not null,
        external_ids jsonb not null,
        market text not null,
        language text not null,
        currency text not null,
        id_template text not null,
        state text not null,
        state_reason text not null default '',
        created_at timestamptz not null,
        opened_occurred_at timestamptz not null,
        sync_cursor text collate "C",
        sync_started_at timestamptz,
        sync_total bigint not null default 0,
        sync_done bigint not null default 0,
        sync_finished_at timestamptz,
        primary key (brand_id, channel_id),
        unique (brand_id, connection_id)
    )
    """,
    """
    create table channel_ids (
        brand_id uuid not null,
        channel_id uuid not null,
        platform_item_id text collate "C" not null,
        item_id text collate "C" not null,
        primary key (brand_id, channel_id, platform_item_id),
        unique (brand_id, channel_id, item_id)
    )
    """,
    """
    create table channel_items (
        brand_id uuid not null,
        channel_id uuid not null,
        item_id text collate "C" not null,
        platform_item_id text,
        state text not null,
        reasons jsonb not null,
        lane smallint,
        version bigint not null,
        want text not null,
        causes jsonb not null,
        desired bytea,
        attempt_id uuid,
        flight bytea,
        flight_unknown boolean not null,
        confirmed bytea,
        refused bytea,
        seen boolean not null,
        exposed boolean not null,
        removed boolean not null,
        backlog boolean not null,
        content_version bigint not null,
        offer_version bigint not null,
        actor text not null,
        changed_occurred_at timestamptz,
        changed_received_at timestamptz,
        flight_occurred_at timestamptz,
        flight_received_at timestamptz,
        pending_at timestamptz,
        read_back_at timestamptz,
        read_back_tries smallint not null,
        updated_at timestamptz not null,
        attributes bytea,
        sent_attributes bytea,
        primary key (brand_id, channel_id, item_id)
    )
    """,
    "create index channel_items_pending on channel_items (channel_id, lane, pending_at) where lane is not null",
    "create index channel_items_in_flight on channel_items (attempt_id) where attempt_id is not null",
    "create index channel_items_read_back on channel_items (channel_id, read_back_at)"
    " where read_back_at is not null",
    "create index channel_items_by_item on channel_items (brand_id, item_id)",
    "create index channel_items_by_state on channel_items (brand_id, channel_id, state, item_id)",
)

_WORK = (
    """
    create table channel_work (
        channel_id uuid primary key,
        brand_id uuid not null,
        due_at timestamptz,
        send_after timestamptz,
        items_max integer,
        failures integer not null default 0,
        claim_id uuid,
        claimed_by text not null default '',
        claimed_until timestamptz
    )
    """,
    "create index channel_work_due on channel_work (due_at) where due_at is not null",
    "create index channel_work_claims on channel_work (claim_id) where claim_id is not null",
    """
    create table attempts (
        attempt_id uuid primary key,
        brand_id uuid not null,
        channel_id uuid not null,
        claim_id uuid not null,
        stage text not null,
        handle text,
        items integer not null,
        tries integer not null default 0,
        due_at timestamptz not null,
        created_at timestamptz not null
    )
    """,
    "create index attempts_due on attempts (channel_id, due_at)",
)

_RECORDS = (
    """
    create table timeline (
        at timestamptz not null,
        id uuid not null,
        brand_id uuid not null,
        item_id text collate "C" not null,
        channel_id uuid not null,
        platform text not null,
        step text not null,
        actor text not null,
        summary text not null,
        reasons jsonb not null,
        content_version bigint not null,
        offer_version bigint not null,
        attempt_id uuid,
        lag_ms bigint,
        primary key (at, id)
    ) partition by range (at)
    """,
    "create index timeline_by_item on timeline (brand_id, item_id, at desc, id desc)",
    """
    create table lag_samples (
        at timestamptz not null,
        id uuid not null,
        brand_id uuid not null,
        channel_id uuid not null,
        item_id text not null,
        kind text not null,
        occurred_ms bigint not null,
        received_ms bigint not null,
        primary key (at, id)
    ) partition by range (at)
    """,
    "create index lag_samples_by_channel on lag_samples (brand_id, channel_id, kind, at)",
)


def upgrade() -> None:
    operations = Operations(op.get_context())
    install_outbox(operations)
    install_consumer(operations)
    install_access(operations)
    for statement in (*_REPLICAS, *_CHANNELS, *_WORK, *_RECORDS):
        op.execute(statement)
    read_only = "select"
    for table in ("replica_items", "replica_offers", "replica_connections", "attempts"):
        brand_table(operations, table, app_privileges=read_only)
    for table in ("channels", "channel_ids", "channel_items"):
        brand_table(operations, table)
    for table in ("timeline", "lag_samples"):
        brand_table(operations, table, app_privileges=read_only, worker_privileges="select, insert")
    brand_table(operations, "channel_work", app_privileges="select, update", worker="all")
    partition_by_day(operations, "timeline", keep_days=TIMELINE_KEEP_DAYS)
    partition_by_day(operations, "lag_samples", keep_days=LAG_KEEP_DAYS)


def downgrade() -> None:
    raise RuntimeError("the first version has nothing before it: drop the database instead")
