"""Table of brands that leave."""

from sqlalchemy import BigInteger, Column, DateTime, Integer, Table, Text, Uuid

from vitrin.accounts.models import metadata

offboardings = Table(
    "offboardings",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("state", Text, nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("approved_by", Text),
    Column("due_at", DateTime(timezone=True)),
    Column("closed_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("keys_revoked", Integer, nullable=False),
    Column("connections_ended", Integer, nullable=False),
    Column("seal_keys_destroyed", BigInteger, nullable=False),
    Column("last_at", DateTime(timezone=True)),
)
"""asked: waits for another person; waiting: for `due_at`, can be taken back; ending: keys and connections have ended,
keys of personal data are being destroyed; ended."""
