"""Endpoints and their secrets, events, deliveries, attempts, queues; what was told of each object."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.access.install import install_access, install_outgoing
from vitrin.kit.db.migration import (
    brand_table,
    install_consumer,
    install_incarnations,
    install_outbox,
    install_parking,
    install_snapshots,
    partition_by_day,
    role,
)
from vitrin.kit.idempotency.install import install_idempotency

revision = "notify_0001"
down_revision = None
branch_labels = None
depends_on = None

KEEP_DAYS = 30
"""Of events, deliveries and attempts."""

_ENDPOINTS = (
    """
    create table webhook_endpoints (
        brand_id uuid not null,
        endpoint_id uuid not null,
        url text not null,
        description text not null,
        event_types text[] not null,
        ordered boolean not null,
        enabled boolean not null,
        disabled_code text not null default '',
        disabled_reason text not null default '',
        disabled_at timestamptz,
        created_at timestamptz not null,
        created_by text not null,
        updated_at timestamptz not null,
        primary key (brand_id, endpoint_id),
        check (enabled = (disabled_at is null))
    )
    """,
    """
    create table webhook_secrets (
        brand_id uuid not null,
        endpoint_id uuid not null,
        secret_id uuid not null,
        key_id text not null,
        nonce bytea not null,
        ciphertext bytea not null,
        hint text not null,
        created_at timestamptz not null,
        expires_at timestamptz,
        primary key (brand_id, endpoint_id, secret_id),
        foreign key (brand_id, endpoint_id) references webhook_endpoints on delete cascade
    )
    """,
    """
    create table webhook_queues (
        endpoint_id uuid primary key,
        brand_id uuid not null,
        due_at timestamptz,
        rest_until timestamptz,
        failures integer not null default 0,
        failing_since timestamptz,
        slow boolean not null default false,
        claim_id uuid,
        claimed_by text not null default '',
        claimed_until timestamptz,
        foreign key (brand_id, endpoint_id) references webhook_endpoints on delete cascade
    )
    """,
    "create index webhook_queues_due on webhook_queues (due_at) where due_at is not null",
)

_TOLD = (
    """
    create table told_states (
        brand_id uuid not null,
        object_key text collate "C" not null,
        version bigint not null,
        told text not null,
        primary key (brand_id, object_key)
    )
    """,
    """
    create table told_sources (
        brand_id uuid not null,
        source_id uuid not null,
        told_at timestamptz not null,
        primary key (brand_id, source_id)
    )
    """,
    "create index told_sources_by_age on told_sources (told_at)",
)

_EVENTS = (
    "create sequence webhook_deliveries_seq",
    """
    create table webhook_events (
        created_at timestamptz not null,
        event_id uuid not null,
        brand_id uuid not null,
        type text not null,
        object_type text not null,
        object_id text collate "C" not null,
        test boolean not null,
        payload text not null,
        primary key (created_at, event_id)
    ) partition by range (created_at)
    """,
    "create index webhook_events_by_brand on webhook_events (brand_id, created_at, event_id)",
    "create index webhook_events_by_id on webhook_events (event_id)",
    """
    create table webhook_deliveries (
        created_at timestamptz not null,
        delivery_id uuid not null,
        brand_id uuid not null,
        endpoint_id uuid not null,
        event_id uuid not null,
        event_created_at timestamptz not null,
        object_key text collate "C" not null,
        seq bigint not null default nextval('webhook_deliveries_seq'),
        state text not null check (state in ('pending', 'delivered', 'failed', 'dropped')),
        tries integer not null default 0,
        first_tried_at timestamptz,
        due_at timestamptz,
        last_outcome text not null default '',
        last_status integer,
        finished_at timestamptz,
        primary key (created_at, delivery_id),
        check ((state = 'pending') = (due_at is not null))
    ) partition by range (created_at)
    """,
    "create index webhook_deliveries_due on webhook_deliveries (endpoint_id, due_at, seq) where state = 'pending'",
    "create index webhook_deliveries_heads on webhook_deliveries (endpoint_id, object_key, seq)"
    " where state = 'pending'",
    "create index webhook_deliveries_by_event on webhook_deliveries (event_id)",
    """
    create table webhook_attempts (
        at timestamptz not null,
        attempt_id uuid not null,
        brand_id uuid not null,
        endpoint_id uuid not null,
        delivery_id uuid not null,
        event_id uuid not null,
        event_type text not null,
        number integer not null,
        outcome text not null,
        detail text not null,
        status integer,
        latency_ms integer not null,
        excerpt text not null,
        next_try_at timestamptz,
        primary key (at, attempt_id)
    ) partition by range (at)
    """,
    "create index webhook_attempts_by_endpoint on webhook_attempts (brand_id, endpoint_id, at, attempt_id)",
    "create index webhook_attempts_by_event on webhook_attempts (event_id)",
)


def upgrade() -> None:
    operations = Operations(op.get_context())
    install_outbox(operations)
    install_incarnations(operations)
    install_consumer(operations)
    install_parking(operations)
    install_snapshots(operations)
    install_access(operations)
    install_outgoing(operations)
    install_idempotency(operations)
    for statement in (*_ENDPOINTS, *_TOLD, *_EVENTS):
        operations.execute(statement)
    app, worker = role(operations, "app"), role(operations, "worker")
    operations.execute(f"grant usage on sequence webhook_deliveries_seq to {app}, {worker}")
    brand_table(operations, "webhook_endpoints", worker_privileges="select, update")
    brand_table(operations, "webhook_secrets", worker_privileges="select")
    brand_table(operations, "webhook_queues", worker="all")
    brand_table(operations, "told_states", app="none")
    brand_table(operations, "told_sources", app="none")
    operations.execute(f"create policy {worker}_ages on told_sources for delete to {worker} using (true)")
    operations.execute(
        f"create policy {worker}_sees_ages on told_sources for select to {worker} using (true)"
    )
    for table in ("webhook_events", "webhook_deliveries"):
        brand_table(
            operations,
            table,
            app_privileges="select, insert, update" if table == "webhook_deliveries" else "select, insert",
            worker_privileges="select, insert, update" if table == "webhook_deliveries" else "select, insert",
        )
    brand_table(operations, "webhook_attempts", app_privileges="select", worker_privileges="select, insert")
    for table in ("webhook_events", "webhook_deliveries", "webhook_attempts"):
        partition_by_day(operations, table, keep_days=KEEP_DAYS)


def downgrade() -> None:
    raise RuntimeError("the first version has nothing before it: drop the database instead")
