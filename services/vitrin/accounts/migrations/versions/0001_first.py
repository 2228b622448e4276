"""Brands, keys, connections and the audit log; outbox."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.access.lookup import LOOKUP_KEY
from vitrin.kit.db.migration import brand_table, install_outbox, role

revision = "accounts_0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    """
    create table brands (
        brand_id uuid primary key,
        version bigint not null,
        name text not null,
        slug text not null constraint brands_slug_is_unique unique,
        storefront_url text not null,
        default_currency text not null,
        default_market text not null,
        language text not null,
        time_zone text not null,
        has_live_connection boolean not null default false,
        created_at timestamptz not null,
        updated_at timestamptz not null
    )
    """,
    """
    create table api_keys (
        key_id text primary key,
        brand_id uuid not null references brands,
        version bigint not null,
        name text not null,
        kind text not null check (kind in ('secret', 'publishable')),
        mode text not null check (mode in ('live', 'test')),
        role text not null,
        scopes text[] not null,
        secret_hash bytea not null check (length(secret_hash) = 32),
        secret_end text not null,
        created_at timestamptz not null,
        created_by text not null,
        expires_at timestamptz,
        revoked_at timestamptz
    )
    """,
    "create index api_keys_by_brand on api_keys (brand_id, key_id)",
    """
    create table connections (
        connection_id uuid primary key,
        brand_id uuid not null references brands,
        version bigint not null,
        platform text not null,
        mode text not null check (mode in ('sandbox', 'live')),
        base_url text not null,
        external_ids jsonb not null,
        token_key_id text,
        token_nonce bytea,
        token_ciphertext bytea,
        scopes text[] not null,
        market text not null,
        language text not null,
        currency text not null,
        id_template text not null,
        state text not null check (state in ('active', 'token_expired', 'refused', 'deleted')),
        last_error text not null default '',
        expires_at timestamptz,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        deleted_at timestamptz,
        check ((deleted_at is null) = (token_ciphertext is not null)),
        check ((deleted_at is null) = (state <> 'deleted'))
    )
    """,
    """
    create unique index connections_one_per_catalog
        on connections (brand_id, platform, mode, (external_ids ->> 'catalog_id')) where deleted_at is null
    """,
    "create index connections_by_brand on connections (brand_id, connection_id)",
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
    for statement in TABLES:
        operations.execute(statement)
    for table in ("brands", "api_keys", "connections"):
        brand_table(operations, table, worker="none", app_privileges="select, insert, update")
    brand_table(operations, "audit_entries", worker="none", app_privileges="select, insert")
    app = role(operations, "app")
    operations.execute(
        f"create policy lookup on api_keys for select to {app}"
        f" using (key_id = nullif(current_setting('{LOOKUP_KEY}', true), ''))"
    )
    operations.execute(
        f"create policy lookup on brands for select to {app} using (brand_id in"
        f" (select brand_id from api_keys where key_id = nullif(current_setting('{LOOKUP_KEY}', true), '')))"
    )
    install_outbox(operations)
