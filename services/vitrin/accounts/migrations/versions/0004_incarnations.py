"""Marker, ends and republish jobs of the outbox. The worker may read what it publishes again, and lock it, but no token
of a connection."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import install_incarnations, role

revision = "accounts_0004"
down_revision = "accounts_0003"
branch_labels = None
depends_on = None

READ = {
    "brands": "brand_id, version, name, slug, storefront_url, default_currency, default_market, language, time_zone,"
    " has_live_connection, created_at, updated_at",
    "api_keys": "key_id, brand_id, version, name, kind, mode, role, scopes, secret_hash, secret_end, created_at,"
    " created_by, expires_at, revoked_at",
    "connections": "connection_id, brand_id, version, platform, mode, base_url, external_ids, scopes, market, language,"
    " currency, id_template, state, last_error, expires_at, created_at, updated_at, deleted_at",
    "outgoing_switches": "brand_id, platform, version, stopped, reason, changed_at, changed_by",
}
BRANDS_RULE = "brand_id in (select unnest(nullif(current_setting('app.brands', true), '')::uuid[]))"


def upgrade() -> None:
    operations = Operations(op.get_context())
    install_incarnations(operations)
    worker = role(operations, "worker")
    for table, columns in READ.items():
        operations.execute(f"grant select ({columns}), update (version) on {table} to {worker}")
        operations.execute(
            f"create policy {worker}_rows on {table} to {worker} using ({BRANDS_RULE}) with check (false)"
        )
    for table in ("brands", "outgoing_switches"):
        operations.execute(f"create policy {worker}_list on {table} for select to {worker} using (true)")
