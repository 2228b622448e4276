"""The replica's tables, for the migrations of a service; the first one of a new service calls both functions.

Alembic is imported by migrations only (8 MB).
"""

from typing import TYPE_CHECKING

from vitrin.kit.access.lookup import LOOKUP_KEY

if TYPE_CHECKING:
    from alembic.operations import Operations


def install_access(op: "Operations") -> None:
    """The worker follows the topics. The app role sees the brand of its transaction, and, to find a key's brand,
    exactly the key that the transaction names in `app.lookup_key`, with its brand: it cannot list any others."""
    from vitrin.kit.db.migration import brand_table, role  # noqa: PLC0415

    op.execute(
        """
        create table access_brands (
            brand_id uuid primary key,
            version bigint not null,
            name text not null,
            slug text not null,
            storefront_url text not null,
            default_currency text not null,
            default_market text not null,
            language text not null,
            time_zone text not null,
            has_live_connection boolean not null,
            deleted boolean not null,
            approval_needs_other_person boolean not null default false
        )
        """
    )
    op.execute(
        """
        create table access_keys (
            key_id text primary key,
            brand_id uuid not null,
            version bigint not null,
            kind text not null,
            mode text not null,
            secret_hash bytea not null,
            scopes text[] not null,
            role text not null,
            revoked_at timestamptz,
            expires_at timestamptz,
            member_id text not null default ''
        )
        """
    )
    for table in ("access_brands", "access_keys"):
        brand_table(op, table, app_privileges="select", worker_privileges="select, insert, update")
    app = role(op, "app")
    op.execute(
        f"create policy lookup on access_keys for select to {app}"
        f" using (key_id = nullif(current_setting('{LOOKUP_KEY}', true), ''))"
    )
    op.execute(
        f"create policy lookup on access_brands for select to {app}"
        " using (brand_id in (select brand_id from access_keys"
        f" where key_id = nullif(current_setting('{LOOKUP_KEY}', true), '')))"
    )


def install_people(op: "Operations") -> None:
    """What the replica knows of people, for a service whose replica is older than they are."""
    op.execute("alter table access_keys add column if not exists member_id text not null default ''")
    op.execute(
        "alter table access_brands"
        " add column if not exists approval_needs_other_person boolean not null default false"
    )


def install_outgoing(op: "Operations") -> None:
    """The replica of the switches that stop everything outgoing. Everybody sees the house's."""
    from vitrin.kit.access.outgoing import HOUSE  # noqa: PLC0415
    from vitrin.kit.db.migration import brand_table, role  # noqa: PLC0415

    op.execute(
        """
        create table access_outgoing (
            brand_id uuid not null,
            platform text not null,
            version bigint not null,
            stopped boolean not null,
            reason text not null,
            actor text not null,
            changed_at timestamptz not null,
            primary key (brand_id, platform)
        )
        """
    )
    brand_table(op, "access_outgoing", app_privileges="select", worker_privileges="select, insert, update")
    for name in (role(op, "app"), role(op, "worker")):
        op.execute(
            f"create policy {name}_of_the_house on access_outgoing for select to {name}"
            f" using (brand_id = '{HOUSE}')"
        )
