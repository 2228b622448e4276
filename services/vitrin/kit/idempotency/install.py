"""The table of answers, for the migrations of a service. Alembic is imported by migrations only (8 MB)."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from alembic.operations import Operations

KEEP_DAYS: Final = 1
"""Whole days in the database; a key is honoured for `once.KEEP`."""


def install_idempotency(op: "Operations") -> None:
    """One row per call that was carried out with a key. A day's partition goes when the day after it is over."""
    from vitrin.kit.db.migration import brand_table, partition_by_day  # noqa: PLC0415

    op.execute(
        """
        create table idempotency_keys (
            brand_id uuid not null,
            key_id text not null,
            name text collate "C" not null,
            created_at timestamptz not null,
            fingerprint bytea not null check (length(fingerprint) = 32),
            status smallint not null,
            media_type text not null,
            answer bytea not null,
            primary key (brand_id, key_id, name, created_at)
        ) partition by range (created_at)
        """
    )
    brand_table(op, "idempotency_keys", worker="none", app_privileges="select, insert")
    partition_by_day(op, "idempotency_keys", keep_days=KEEP_DAYS)
