"""Keys are rotated, and say when they were used last. The last use is a table of its own, so that it neither touches a
key's row nor its version."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import brand_table, role

revision = "accounts_key_rotation"
down_revision = "accounts_audit_reading"
branch_labels = None
depends_on = None


def upgrade() -> None:
    operations = Operations(op.get_context())
    operations.execute("alter table api_keys add column rotated_from text, add column rotated_to text")
    operations.execute(f"grant select (rotated_from, rotated_to) on api_keys to {role(operations, 'worker')}")
    operations.execute(
        """
        create table api_key_uses (
            key_id text primary key references api_keys,
            brand_id uuid not null,
            used_at timestamptz not null
        )
        """
    )
    brand_table(
        operations, "api_key_uses", app_privileges="select", worker_privileges="select, insert, update"
    )
