"""Shops are connected like platforms: which there are, and what signs their webhooks."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import brand_table, role

revision = "accounts_shops"
down_revision = "accounts_attention"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "alter table connections drop constraint connections_state_check",
    "alter table connections add constraint connections_state_check check (state in"
    " ('active', 'token_expired', 'refused', 'deleted', 'choose_assets', 'uninstalled'))",
    "create unique index connections_one_per_shop on connections"
    " (platform, mode, base_url, coalesce(external_ids ->> 'shop', external_ids ->> 'store'))"
    " where deleted_at is null and platform in ('shopify', 'woocommerce')",
    "alter table oauth_attempts add column external_ids jsonb not null default '{}'",
    """
    create table connected_shops (
        connection_id uuid primary key,
        brand_id uuid not null,
        platform text not null,
        mode text not null,
        external_ids jsonb not null
    )
    """,
    "create index connected_shops_of on connected_shops (brand_id, connection_id)",
    """
    create table shop_secrets (
        connection_id uuid not null,
        secret_id uuid not null,
        brand_id uuid not null,
        secret_key_id text not null,
        secret_nonce bytea not null,
        secret_ciphertext bytea not null,
        created_at timestamptz not null,
        expires_at timestamptz,
        primary key (connection_id, secret_id)
    )
    """,
    "create index shop_secrets_of on shop_secrets (brand_id, connection_id)",
)


def upgrade() -> None:
    operations = Operations(op.get_context())
    for statement in _STATEMENTS:
        operations.execute(statement)
    brand_table(operations, "connected_shops", worker="none")
    brand_table(operations, "shop_secrets", worker="none")
    operations.execute(
        f"create policy lookup on connected_shops for select to {role(operations, 'app')}"
        " using (current_setting('app.lookup_shops', true) = 'all')"
    )


def downgrade() -> None:
    op.execute("drop table shop_secrets")
    op.execute("drop table connected_shops")
    op.execute("alter table oauth_attempts drop column external_ids")
    op.execute("drop index connections_one_per_shop")
