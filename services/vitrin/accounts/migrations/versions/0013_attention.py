"""What accounts has said that needs a person, and has not ended yet. Keys that may do all that their role allowed may
use notifications too, as new keys of the role may; keys that were made with fewer scopes keep those. The changed ones
are published by a republish job, since nothing else says that they changed."""

from alembic import op
from alembic.operations import Operations

from vitrin.kit.attention import install_attentions

revision = "accounts_attention"
down_revision = "accounts_offboarding"
branch_labels = None
depends_on = None

READ, BOTH = ("notifications:read",), ("notifications:read", "notifications:write")
VIEWER = ("accounts:read", "catalog:read", "sync:read", "webhooks:read")
APPROVER = (*VIEWER, "sync:write", "sync:approve")
EDITOR = (*VIEWER, "catalog:write", "sync:write", "events:write", "webhooks:write")
OWNER = (*EDITOR, "accounts:write", "sync:approve")
GAINS = {
    "owner": (OWNER, BOTH),
    "editor": (EDITOR, BOTH),
    "approver": (APPROVER, BOTH),
    "viewer": (VIEWER, READ),
}


def _array(names: tuple[str, ...]) -> str:
    return "array[" + ", ".join(f"'{name}'" for name in names) + "]"


def upgrade() -> None:
    install_attentions(Operations(op.get_context()))
    op.execute("alter table api_keys no force row level security")
    for role, (had, gained) in GAINS.items():
        op.execute(
            "update api_keys set version = version + 1, scopes ="
            f" (select array_agg(distinct one order by one) from unnest(scopes || {_array(gained)}) as one)"
            f" where kind = 'secret' and role = '{role}' and revoked_at is null and scopes @> {_array(had)}"
        )
    op.execute(
        "insert into republish_jobs (id, topic, reason, state, created_at, updated_at)"
        " select gen_random_uuid(), 'accounts.api_key.v1', 'asked', 'running', now(), now()"
        " where exists (select from api_keys) on conflict (topic) where state = 'running' do nothing"
    )
    op.execute("alter table api_keys force row level security")


def downgrade() -> None:
    op.execute("drop table attentions")
