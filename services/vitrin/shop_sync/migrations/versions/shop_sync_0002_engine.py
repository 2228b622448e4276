"""Switches, paused channels, hunts for the culprits of refused batches, and an index for what does not move."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.access.install import install_outgoing
from vitrin.kit.db.migration import brand_table

revision = "shop_sync_0002"
down_revision = "shop_sync_0001"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    alter table channels
        add column paused_at timestamptz,
        add column paused_by text not null default '',
        add column paused_reason text not null default ''
    """,
    """
    create table hunts (
        hunt_id uuid primary key,
        brand_id uuid not null,
        channel_id uuid not null,
        record jsonb not null,
        reasons jsonb not null,
        items integer not null,
        prices boolean not null,
        calls integer not null default 0,
        attempt_id uuid,
        created_at timestamptz not null,
        updated_at timestamptz not null
    )
    """,
    "create index hunts_by_channel on hunts (brand_id, channel_id, created_at)",
    "alter table channel_items add column hunt_id uuid",
    "create index channel_items_suspects on channel_items (hunt_id) where hunt_id is not null",
    "create index channel_items_flights on channel_items (channel_id, updated_at) where attempt_id is not null",
    "create index attempts_by_age on attempts (created_at)",
    "create index channel_work_claimed on channel_work (claimed_until) where claim_id is not null",
    "alter table channel_work add column claimed_at timestamptz, add column platform text not null default ''",
)
_NAME_PLATFORMS = (
    # The owner has no policy of its own: it sees rows only where security is not forced on it.
    "alter table channel_work no force row level security",
    "alter table channels no force row level security",
    "update channel_work w set platform = c.platform from channels c where c.channel_id = w.channel_id",
    "alter table channel_work force row level security",
    "alter table channels force row level security",
)


def upgrade() -> None:
    operations = Operations(op.get_context())
    install_outgoing(operations)
    for statement in (*_STATEMENTS, *_NAME_PLATFORMS):
        operations.execute(statement)
    brand_table(operations, "hunts", app_privileges="select")


def downgrade() -> None:
    raise RuntimeError("hunts under way would be forgotten: restore a backup instead")
