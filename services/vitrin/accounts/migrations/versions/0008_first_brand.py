"""Whether this server has had a brand: the bootstrap token makes the first one and no other."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.db.migration import role

revision = "accounts_first_brand"
down_revision = "accounts_key_rotation"
branch_labels = None
depends_on = None


def upgrade() -> None:
    operations = Operations(op.get_context())
    operations.execute(
        "create table first_brand (one boolean primary key default true check (one), made_at timestamptz not null)"
    )
    operations.execute(
        "alter table brands no force row level security"
    )  # the owner has no policy, so sees nothing
    operations.execute(
        "insert into first_brand (made_at) select min(created_at) from brands having count(*) > 0"
    )
    operations.execute("alter table brands force row level security")
    operations.execute(f"grant select, insert on first_brand to {role(operations, 'app')}")
