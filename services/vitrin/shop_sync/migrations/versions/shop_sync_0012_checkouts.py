"""Where a channel's carts go on, and what became of those that came."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import brand_table, partition_by_day, role

revision = "shop_sync_checkouts"
down_revision = "shop_sync_attention"
branch_labels = None
depends_on = None

HANDOFF_KEEP_DAYS = 30


def upgrade() -> None:
    operations = Operations(op.get_context())
    operations.execute(
        """
        create table checkouts (
            brand_id uuid not null,
            channel_id uuid not null,
            checkout_id uuid not null unique,
            connection_id uuid not null,
            storefront_url text not null,
            coupons jsonb,
            changed_at timestamptz not null,
            changed_by text not null,
            primary key (brand_id, channel_id)
        )
        """
    )
    brand_table(operations, "checkouts", worker="none")
    operations.execute(
        f"create policy lookup on checkouts for select to {role(operations, 'app')}"
        " using (checkout_id = nullif(current_setting('app.lookup_checkout', true), '')::uuid)"
    )
    operations.execute(
        """
        create table checkout_handoffs (
            at timestamptz not null,
            handoff_id uuid not null,
            brand_id uuid not null,
            channel_id uuid not null,
            outcome text not null,
            lines integer not null,
            troubles jsonb not null,
            primary key (at, handoff_id)
        ) partition by range (at)
        """
    )
    operations.execute(
        "create index checkout_handoffs_of on checkout_handoffs (brand_id, channel_id, at desc, handoff_id desc)"
    )
    brand_table(operations, "checkout_handoffs", worker="none", app_privileges="select, insert")
    partition_by_day(operations, "checkout_handoffs", keep_days=HANDOFF_KEEP_DAYS)


def downgrade() -> None:
    op.execute("delete from day_partitions where table_name = 'checkout_handoffs'")
    op.execute("drop table checkout_handoffs")
    op.execute("drop table checkouts")
