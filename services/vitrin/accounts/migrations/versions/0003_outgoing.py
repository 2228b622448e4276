"""Switches that stop everything outgoing: of the house, of a brand, of a brand on one platform."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.access.outgoing import HOUSE
from vitrin.kit.db.migration import brand_table, role

revision = "accounts_0003"
down_revision = "accounts_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    operations = Operations(op.get_context())
    operations.execute(
        """
        create table outgoing_switches (
            brand_id uuid not null,
            platform text not null,
            version bigint not null,
            stopped boolean not null,
            reason text not null,
            changed_at timestamptz not null,
            changed_by text not null,
            primary key (brand_id, platform)
        )
        """
    )
    brand_table(operations, "outgoing_switches", worker="none", app_privileges="select, insert, update")
    operations.execute(
        f"create policy of_the_house on outgoing_switches for select to {role(operations, 'app')}"
        f" using (brand_id = '{HOUSE}')"
    )


def downgrade() -> None:
    op.execute("drop table outgoing_switches")
