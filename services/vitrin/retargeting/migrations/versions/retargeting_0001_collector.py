"""Storefront events with their keys, counts and origins; the small replica of items."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.access.install import install_access, install_outgoing
from vitrin.kit.db.migration import (
    brand_table,
    install_consumer,
    install_incarnations,
    install_outbox,
    install_parking,
    install_purges,
    install_snapshots,
    partition_by_day,
    role,
)
from vitrin.kit.idempotency.install import install_idempotency

revision = "retargeting_collector"
down_revision = None
branch_labels = None
depends_on = None

KEEP_DAYS = 90
"""Of events and of what is known of their ids."""
COUNTS_KEEP_DAYS = 90

_EVENTS = (
    "create sequence events_arrival_seq",
    """
    create table events (
        stored_at timestamptz not null,
        arrival bigint not null,
        brand_id uuid not null,
        event_id text collate "C" not null,
        name text not null,
        custom_name text not null,
        occurred_at timestamptz not null,
        received_at timestamptz not null,
        visitor_id text collate "C" not null,
        customer_id text collate "C" not null,
        session_id text collate "C" not null,
        source text not null,
        test boolean not null,
        url text not null,
        referrer text not null,
        items jsonb not null,
        value_minor bigint,
        currency text not null,
        order_id text collate "C" not null,
        refund_id text collate "C" not null,
        lead_id text collate "C" not null,
        search_term text not null,
        click_ids jsonb not null,
        utm jsonb not null,
        consents jsonb not null,
        consent_proof text not null,
        gpc boolean not null,
        properties jsonb not null,
        personal bytea,
        whose text not null,
        primary key (stored_at, arrival)
    ) partition by range (stored_at)
    """,
    "create index events_by_arrival on events (brand_id, arrival)",
    "create index events_by_visitor on events (brand_id, visitor_id, arrival)",
    """
    create table event_ids (
        brand_id uuid not null,
        event_id text collate "C" not null,
        stored_at timestamptz not null,
        primary key (brand_id, event_id)
    )
    """,
    "create index event_ids_by_age on event_ids using brin (stored_at)",
    """
    create table event_business_keys (
        brand_id uuid not null,
        name text not null check (name in ('purchase', 'refund', 'lead')),
        business_key text collate "C" not null,
        event_id text collate "C" not null,
        occurred_at timestamptz not null,
        stored_at timestamptz not null,
        primary key (brand_id, name, business_key)
    )
    """,
)
_AROUND = (
    """
    create table event_counts (
        hour timestamptz not null,
        brand_id uuid not null,
        name text not null,
        source text not null,
        outcome text not null check (outcome in ('accepted', 'duplicate', 'refused', 'stored', 'repeated')),
        code text not null,
        events bigint not null,
        last_at timestamptz not null,
        primary key (hour, brand_id, name, source, outcome, code)
    ) partition by range (hour)
    """,
    "create index event_counts_by_brand on event_counts (brand_id, hour)",
    """
    create table event_unknown_items (
        brand_id uuid not null,
        item_id text collate "C" not null,
        events bigint not null,
        first_at timestamptz not null,
        last_at timestamptz not null,
        primary key (brand_id, item_id)
    )
    """,
    "create index event_unknown_items_by_age on event_unknown_items (last_at)",
    """
    create table event_origins (
        brand_id uuid not null,
        key_id text collate "C" not null,
        origin text collate "C" not null,
        created_at timestamptz not null,
        created_by text not null,
        primary key (brand_id, key_id, origin)
    )
    """,
)
_REPLICA = (
    """
    create table replica_items (
        brand_id uuid not null,
        item_id text collate "C" not null,
        content_version bigint not null,
        deleted boolean not null,
        offer_floor bigint not null,
        group_id text not null,
        brand text not null,
        category text not null,
        product_type text not null,
        primary key (brand_id, item_id)
    )
    """,
    """
    create table replica_offers (
        brand_id uuid not null,
        item_id text collate "C" not null,
        market text collate "C" not null,
        offer_version bigint not null,
        price_minor bigint not null,
        currency text not null,
        sale_minor bigint,
        sale_start timestamptz,
        sale_end timestamptz,
        availability text not null,
        primary key (brand_id, item_id, market)
    )
    """,
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
    for statement in (*_EVENTS, *_AROUND, *_REPLICA):
        operations.execute(statement)
    app, worker = role(operations, "app"), role(operations, "worker")
    operations.execute(f"grant usage on sequence events_arrival_seq to {app}, {worker}")
    for table, privileges in {
        "events": "select, insert",
        "event_ids": "select, insert, delete",
        "event_business_keys": "select, insert",
        "event_counts": "select, insert, update",
    }.items():
        brand_table(operations, table, app_privileges="select", worker_privileges=privileges)
    brand_table(
        operations,
        "event_unknown_items",
        app_privileges="select",
        worker_privileges="select, insert, update, delete",
    )
    brand_table(operations, "event_origins", worker_privileges="select")
    brand_table(operations, "replica_items", app_privileges="select")
    brand_table(operations, "replica_offers", app_privileges="select")
    ages = {"event_ids": f"stored_at < now() - interval '{KEEP_DAYS} days'"}
    ages["event_unknown_items"] = "last_at < now() - interval '25 days'"
    for table, rule in ages.items():
        for verb in ("select", "delete"):
            operations.execute(
                f"create policy {worker}_{verb}_ages on {table} for {verb} to {worker} using ({rule})"
            )
    partition_by_day(operations, "events", keep_days=KEEP_DAYS)
    partition_by_day(operations, "event_counts", keep_days=COUNTS_KEEP_DAYS)
    install_purges(operations)


def downgrade() -> None:
    raise RuntimeError("the first version has nothing before it: drop the database instead")
