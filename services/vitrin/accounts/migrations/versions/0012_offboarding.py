"""Brands leave: who asked, when it is carried out, and what then was; the rows of those that have left are removed."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import brand_table, install_purges, role

revision = "accounts_offboarding"
down_revision = "accounts_seal"
branch_labels = None
depends_on = None

TABLE = """
    create table offboardings (
        brand_id uuid primary key references brands,
        state text not null check (state in ('asked', 'waiting', 'ending', 'ended')),
        asked_at timestamptz not null,
        asked_by text not null,
        approved_by text,
        due_at timestamptz,
        closed_at timestamptz,
        ended_at timestamptz,
        keys_revoked integer not null default 0,
        connections_ended integer not null default 0,
        seal_keys_destroyed bigint not null default 0,
        last_at timestamptz,
        check ((state = 'asked') = (due_at is null))
    )
"""


def upgrade() -> None:
    operations = Operations(op.get_context())
    operations.execute("alter table brands add column deleted_at timestamptz")
    operations.execute(TABLE)
    brand_table(operations, "offboardings", worker="none")
    worker = role(operations, "worker")
    operations.execute(f"grant select (brand_id, state, due_at) on offboardings to {worker}")
    operations.execute(f"create policy {worker}_due on offboardings for select to {worker} using (true)")
    operations.execute(f"grant select (deleted_at) on brands to {worker}")
    operations.execute("create index brands_that_left on brands (deleted_at) where deleted_at is not null")
    install_purges(operations)
