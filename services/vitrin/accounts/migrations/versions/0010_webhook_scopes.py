"""Keys that may do all that their role allowed may use webhooks too, as new keys of the role may. Keys that were made
with fewer scopes keep those. The changed ones are published by a republish job, since nothing else says that they
changed."""

from alembic import op

revision = "accounts_webhook_scopes"
down_revision = "accounts_people"
branch_labels = None
depends_on = None

READ, BOTH = ("webhooks:read",), ("webhooks:read", "webhooks:write")
VIEWER = ("accounts:read", "catalog:read", "sync:read")
APPROVER = (*VIEWER, "sync:write", "sync:approve")
EDITOR = (*VIEWER, "catalog:write", "sync:write", "events:write")
OWNER = (*EDITOR, "accounts:write", "sync:approve")
GAINS = {
    "owner": (OWNER, BOTH),
    "editor": (EDITOR, BOTH),
    "approver": (APPROVER, READ),
    "viewer": (VIEWER, READ),
}


def _array(names: tuple[str, ...]) -> str:
    return "array[" + ", ".join(f"'{name}'" for name in names) + "]"


def upgrade() -> None:
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
