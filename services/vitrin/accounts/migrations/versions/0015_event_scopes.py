"""Keys that may do all that their role allowed may look at storefront events too, as new keys of the role may; keys
that were made with fewer scopes keep those. The changed ones are published by a republish job, since nothing else says
that they changed."""

from alembic import op

revision = "accounts_event_scopes"
down_revision = "accounts_shops"
branch_labels = None
depends_on = None

VIEWER = ("accounts:read", "catalog:read", "sync:read", "webhooks:read", "notifications:read")
APPROVER = (*VIEWER, "sync:write", "sync:approve", "notifications:write")
EDITOR = (*VIEWER, "catalog:write", "sync:write", "events:write", "webhooks:write", "notifications:write")
OWNER = (*EDITOR, "accounts:write", "sync:approve")
HAD = {"owner": OWNER, "editor": EDITOR, "approver": APPROVER, "viewer": VIEWER}


def _array(names: tuple[str, ...]) -> str:
    return "array[" + ", ".join(f"'{name}'" for name in names) + "]"


def upgrade() -> None:
    op.execute("alter table api_keys no force row level security")
    for role, had in HAD.items():
        op.execute(
            "update api_keys set version = version + 1, scopes ="
            " (select array_agg(distinct one order by one) from unnest(scopes || array['events:read']) as one)"
            f" where kind = 'secret' and role = '{role}' and revoked_at is null and scopes @> {_array(had)}"
        )
    op.execute(
        "insert into republish_jobs (id, topic, reason, state, created_at, updated_at)"
        " select gen_random_uuid(), 'accounts.api_key.v1', 'asked', 'running', now(), now()"
        " where exists (select from api_keys) on conflict (topic) where state = 'running' do nothing"
    )
    op.execute("alter table api_keys force row level security")


def downgrade() -> None:
    pass
