"""Connecting by consent: apps of brands, attempts, and what renews a token; the state of a connection without a choice.

The worker finds what is due (and what ends), and sees no secret and no token of it.
"""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import brand_table, role

revision = "accounts_oauth"
down_revision = "accounts_0004"
branch_labels = None
depends_on = None

TABLES = (
    """
    create table oauth_apps (
        brand_id uuid not null references brands,
        platform text not null,
        mode text not null check (mode in ('sandbox', 'live')),
        app_id text not null,
        secret_key_id text not null,
        secret_nonce bytea not null,
        secret_ciphertext bytea not null,
        changed_at timestamptz not null,
        changed_by text not null,
        primary key (brand_id, platform, mode)
    )
    """,
    """
    create table oauth_attempts (
        attempt_id uuid primary key,
        brand_id uuid not null references brands,
        state_hash bytea not null constraint oauth_attempts_state_is_unique unique check (length(state_hash) = 32),
        platform text not null,
        mode text not null check (mode in ('sandbox', 'live')),
        connection_id uuid,
        key_id text not null,
        actor text not null,
        app_id text not null,
        redirect_uri text not null,
        verifier_key_id text,
        verifier_nonce bytea,
        verifier_ciphertext bytea,
        created_at timestamptz not null,
        expires_at timestamptz not null,
        used_at timestamptz,
        outcome text not null check (outcome in ('waiting', 'connected', 'refused')),
        problem jsonb
    )
    """,
    "create index oauth_attempts_by_brand on oauth_attempts (brand_id, created_at)",
    """
    create table oauth_tokens (
        connection_id uuid primary key references connections,
        brand_id uuid not null references brands,
        platform text not null,
        mode text not null,
        app_id text not null,
        refresh_key_id text,
        refresh_nonce bytea,
        refresh_ciphertext bytea,
        refresh_expires_at timestamptz,
        renewal text not null check (renewal in ('automatic', 'by_consent')),
        refresh_at timestamptz,
        failures integer not null default 0,
        recoveries integer not null default 0,
        last_error text not null default '',
        claimed_until timestamptz,
        changed_at timestamptz not null
    )
    """,
    "create index oauth_tokens_due on oauth_tokens (refresh_at) where refresh_at is not null",
    "create index connections_ending on connections (expires_at) where expires_at is not null",
    "create index connections_without_choice on connections (created_at) where state = 'choose_assets'",
    "alter table connections drop constraint connections_state_check",
    "alter table connections add constraint connections_state_check"
    " check (state in ('active', 'token_expired', 'refused', 'deleted', 'choose_assets'))",
)
WORKER_READS = "connection_id, brand_id, platform, renewal, failures, refresh_at, claimed_until"


def upgrade() -> None:
    operations = Operations(op.get_context())
    for statement in TABLES:
        operations.execute(statement)
    for table in ("oauth_apps", "oauth_attempts", "oauth_tokens"):
        brand_table(operations, table, worker="none")
    app, worker = role(operations, "app"), role(operations, "worker")
    operations.execute(
        f"create policy lookup on oauth_attempts for select to {app} using (state_hash ="
        " decode(nullif(current_setting('app.lookup_state', true), ''), 'hex'))"
    )
    operations.execute(f"grant select ({WORKER_READS}) on oauth_tokens to {worker}")
    operations.execute(f"create policy {worker}_due on oauth_tokens for select to {worker} using (true)")
    operations.execute(
        f"create policy {worker}_ending on connections for select to {worker}"
        " using (expires_at is not null or state = 'choose_assets')"
    )


def downgrade() -> None:
    operations = Operations(op.get_context())
    for table in ("oauth_apps", "oauth_attempts", "oauth_tokens"):
        operations.execute(f"drop table {table}")
    operations.execute(f"drop policy {role(operations, 'worker')}_ending on connections")
    operations.execute("drop index connections_ending")
    operations.execute("drop index connections_without_choice")
    operations.execute("delete from connections where state = 'choose_assets'")
    operations.execute("alter table connections drop constraint connections_state_check")
    operations.execute(
        "alter table connections add constraint connections_state_check"
        " check (state in ('active', 'token_expired', 'refused', 'deleted'))"
    )
