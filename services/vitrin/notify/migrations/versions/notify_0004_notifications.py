"""Notifications: the inbox, channels with their queues and deliveries, and the log of what was sent."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import brand_table, partition_by_day, role

revision = "notify_notifications"
down_revision = "notify_purges"
branch_labels = None
depends_on = None

LOG_KEEP_DAYS = 30
_INBOX = (
    """
    create table notices (
        brand_id uuid not null,
        notice_id uuid not null,
        kind text not null,
        cause text collate "C" not null,
        state text not null check (state in ('open', 'resolved')),
        severity text not null check (severity in ('info', 'warning', 'critical')),
        title text not null,
        detail text not null,
        fix text not null,
        subject text collate "C" not null,
        look_at text not null,
        opened_at timestamptz not null,
        seen_at timestamptz not null,
        occurrences integer not null default 1,
        resolved_at timestamptz,
        read_at timestamptz,
        read_by text not null default '',
        primary key (brand_id, notice_id),
        check ((state = 'resolved') = (resolved_at is not null))
    )
    """,
    "create unique index notices_one_per_cause on notices (brand_id, kind, cause) where state = 'open'",
    "create index notices_newest on notices (brand_id, opened_at, notice_id)",
    "create index notices_by_end on notices (resolved_at) where resolved_at is not null",
    """
    create table notice_sources (
        brand_id uuid not null,
        source_id uuid not null,
        told_at timestamptz not null,
        primary key (brand_id, source_id)
    )
    """,
    "create index notice_sources_by_age on notice_sources (told_at)",
)
_CHANNELS = (
    """
    create table notification_channels (
        brand_id uuid not null,
        channel_id uuid not null,
        type text not null check (type in ('email', 'slack')),
        name text not null,
        target_hint text not null,
        key_id text not null,
        nonce bytea not null,
        ciphertext bytea not null,
        rules jsonb not null,
        digest text not null check (digest in ('immediate', 'hourly', 'daily')),
        digest_at text not null default '',
        quiet_from text not null default '',
        quiet_until text not null default '',
        time_zone text not null,
        resolved boolean not null,
        enabled boolean not null,
        disabled_code text not null default '',
        disabled_reason text not null default '',
        disabled_at timestamptz,
        confirmed_at timestamptz,
        code_key_id text,
        code_nonce bytea,
        code_ciphertext bytea,
        code_expires_at timestamptz,
        code_tries integer not null default 0,
        created_at timestamptz not null,
        created_by text not null,
        updated_at timestamptz not null,
        primary key (brand_id, channel_id),
        check (enabled = (disabled_at is null))
    )
    """,
    """
    create table notification_queues (
        channel_id uuid primary key,
        brand_id uuid not null,
        due_at timestamptz,
        claim_id uuid,
        claimed_by text not null default '',
        claimed_until timestamptz,
        foreign key (brand_id, channel_id) references notification_channels on delete cascade
    )
    """,
    "create index notification_queues_due on notification_queues (due_at) where due_at is not null",
    """
    create table notification_deliveries (
        brand_id uuid not null,
        delivery_id uuid not null,
        channel_id uuid not null,
        notice_id uuid,
        what text not null check (what in ('opened', 'resolved', 'code')),
        state text not null check (state in ('pending', 'sent', 'failed', 'dropped')),
        planned_for timestamptz not null,
        due_at timestamptz,
        tries integer not null default 0,
        first_tried_at timestamptz,
        outcome text not null default '',
        detail text not null default '',
        fix text not null default '',
        created_at timestamptz not null,
        finished_at timestamptz,
        primary key (brand_id, delivery_id),
        foreign key (brand_id, channel_id) references notification_channels on delete cascade,
        foreign key (brand_id, notice_id) references notices on delete cascade,
        check ((what = 'code') = (notice_id is null)),
        check ((state = 'pending') = (due_at is not null))
    )
    """,
    "create unique index notification_deliveries_once"
    " on notification_deliveries (brand_id, notice_id, channel_id, what) where notice_id is not null",
    "create index notification_deliveries_due on notification_deliveries (channel_id, due_at) where state = 'pending'",
    "create index notification_deliveries_late on notification_deliveries (planned_for) where state = 'pending'",
    "create index notification_deliveries_by_end on notification_deliveries (finished_at)"
    " where finished_at is not null",
    """
    create table notification_attempts (
        at timestamptz not null,
        attempt_id uuid not null,
        brand_id uuid not null,
        channel_id uuid not null,
        purpose text not null check (purpose in ('notifications', 'code', 'test')),
        notice_ids uuid[] not null,
        outcome text not null,
        detail text not null,
        fix text not null,
        status integer,
        latency_ms integer not null,
        next_try_at timestamptz,
        primary key (at, attempt_id)
    ) partition by range (at)
    """,
    "create index notification_attempts_by_brand on notification_attempts (brand_id, at)",
    "create index notification_attempts_by_channel on notification_attempts (brand_id, channel_id, at, attempt_id)",
)


def upgrade() -> None:
    operations = Operations(op.get_context())
    for statement in (*_INBOX, *_CHANNELS):
        operations.execute(statement)
    brand_table(operations, "notices")
    brand_table(operations, "notice_sources", app="none")
    brand_table(operations, "notification_channels", worker_privileges="select, update")
    brand_table(operations, "notification_queues", worker="all")
    brand_table(operations, "notification_deliveries", worker="all")
    brand_table(
        operations,
        "notification_attempts",
        app_privileges="select, insert",
        worker_privileges="select, insert",
    )
    partition_by_day(operations, "notification_attempts", keep_days=LOG_KEEP_DAYS)
    worker = role(operations, "worker")
    old = {"notice_sources": "true", "notices": "resolved_at < now() - interval '80 days'"}
    for table, rule in old.items():
        for verb in ("select", "delete"):
            operations.execute(
                f"create policy {worker}_{verb}_ages on {table} for {verb} to {worker} using ({rule})"
            )


def downgrade() -> None:
    for table in (
        "notification_attempts",
        "notification_deliveries",
        "notification_queues",
        "notification_channels",
        "notice_sources",
        "notices",
    ):
        op.execute(f"drop table {table}")
    op.execute("delete from day_partitions where table_name = 'notification_attempts'")
