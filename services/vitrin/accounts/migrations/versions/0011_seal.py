"""Keys of personal data. The worker finds days that are over and keys under an old ring key; it sees no key."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import brand_table, role

revision = "accounts_seal"
down_revision = "accounts_webhook_scopes"
branch_labels = None
depends_on = None

WORKER_READS = "seal_key_id, brand_id, kind, day, wrap_key_id"
TABLE = """
    create table seal_keys (
        seal_key_id uuid primary key,
        brand_id uuid not null references brands,
        kind text not null check (kind in ('person', 'day', 'index')),
        subject_mac bytea check (length(subject_mac) = 32),
        generation integer not null default 1,
        day date,
        wrap_key_id text,
        wrap_nonce bytea,
        wrap_ciphertext bytea,
        created_at timestamptz not null,
        came_after timestamptz,
        destroyed_at timestamptz,
        last_at timestamptz,
        check ((kind = 'person') = (subject_mac is not null)),
        check ((kind = 'day') = (day is not null)),
        check ((wrap_key_id is null) = (destroyed_at is not null)),
        check ((wrap_key_id is null) = (wrap_nonce is null) and (wrap_key_id is null) = (wrap_ciphertext is null))
    )
"""


def upgrade() -> None:
    operations = Operations(op.get_context())
    operations.execute(TABLE)
    for name, columns, rows in (
        ("seal_keys_of_people", "brand_id, subject_mac, generation", "kind = 'person'"),
        ("seal_keys_of_days", "brand_id, day", "kind = 'day'"),
        ("seal_keys_of_brands", "brand_id", "kind = 'index'"),
    ):
        operations.execute(f"create unique index {name} on seal_keys ({columns}) where {rows}")
    operations.execute(
        "create index seal_keys_days_over on seal_keys (day) where kind = 'day' and wrap_key_id is not null"
    )
    operations.execute(
        "create index seal_keys_by_ring on seal_keys (wrap_key_id, brand_id) where wrap_key_id is not null"
    )
    brand_table(operations, "seal_keys", worker="none")
    worker = role(operations, "worker")
    operations.execute(f"grant select ({WORKER_READS}) on seal_keys to {worker}")
    operations.execute(f"create policy {worker}_due on seal_keys for select to {worker} using (true)")


def downgrade() -> None:
    Operations(op.get_context()).execute("drop table seal_keys")
