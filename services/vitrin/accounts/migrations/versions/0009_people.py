"""Organisations, their members and invitations, and people's own keys.

Every row of a person belongs to a brand and is under its policy. Two narrow ones find what lies in other brands: the
invitation that a token names, and the brands of one member.
"""

from alembic import op
from alembic.operations import Operations

from vitrin.accounts.lookups import LOOKUP_INVITATION, LOOKUP_MEMBER
from vitrin.kit.db.migration import brand_table, role

revision = "accounts_people"
down_revision = "accounts_first_brand"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    create table organisations (
        organisation_id uuid primary key,
        name text not null,
        created_at timestamptz not null
    )
    """,
    "alter table brands no force row level security",
    """
    alter table brands
        add column organisation_id uuid references organisations,
        add column approval_needs_other_person boolean not null default false
    """,
    "insert into organisations select brand_id, name, created_at from brands",
    "update brands set organisation_id = brand_id",
    "alter table brands alter column organisation_id set not null",
    "alter table brands force row level security",
    "alter table api_keys add column member_id uuid",
    "create index api_keys_of_members on api_keys (brand_id, member_id) where member_id is not null",
    """
    create table members (
        brand_id uuid not null references brands,
        member_id uuid not null,
        version bigint not null,
        name text not null,
        email text not null,
        role text not null,
        joined_at timestamptz not null,
        changed_at timestamptz not null,
        removed_at timestamptz,
        primary key (brand_id, member_id)
    )
    """,
    "create unique index members_one_per_email on members (brand_id, lower(email)) where removed_at is null",
    "create index members_brands on members (member_id) where removed_at is null",
    """
    create table invitations (
        invitation_id uuid primary key,
        brand_id uuid not null references brands,
        email text not null,
        role text not null,
        secret_hash bytea not null check (length(secret_hash) = 32),
        created_at timestamptz not null,
        created_by text not null,
        expires_at timestamptz not null,
        ended_at timestamptz,
        outcome text not null default 'open' check (outcome in ('open', 'accepted', 'revoked')),
        check ((outcome = 'open') = (ended_at is null))
    )
    """,
    "create index invitations_by_brand on invitations (brand_id, invitation_id)",
    "alter table organisations enable row level security",
    "alter table organisations force row level security",
)


def upgrade() -> None:
    operations = Operations(op.get_context())
    for statement in STATEMENTS:
        operations.execute(statement)
    app, worker = role(operations, "app"), role(operations, "worker")
    brand_table(operations, "members", worker="none", app_privileges="select, insert, update")
    brand_table(operations, "invitations", worker="none")
    operations.execute(
        f"create policy own on organisations for select to {app}"
        " using (organisation_id in (select organisation_id from brands))"
    )
    operations.execute(f"create policy new on organisations for insert to {app} with check (true)")
    operations.execute(f"grant select, insert on organisations to {app}")
    operations.execute(
        f"create policy of_a_member on members for select to {app}"
        f" using (member_id = nullif(current_setting('{LOOKUP_MEMBER}', true), '')::uuid)"
    )
    operations.execute(
        f"create policy of_a_member on brands for select to {app} using (brand_id in (select brand_id from members"
        f" where member_id = nullif(current_setting('{LOOKUP_MEMBER}', true), '')::uuid and removed_at is null))"
    )
    operations.execute(
        f"create policy named on invitations for select to {app}"
        f" using (invitation_id = nullif(current_setting('{LOOKUP_INVITATION}', true), '')::uuid)"
    )
    operations.execute(f"grant select (member_id) on api_keys to {worker}")
    operations.execute(f"grant select (organisation_id, approval_needs_other_person) on brands to {worker}")
