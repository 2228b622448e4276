"""Table of the keys of personal data."""

from sqlalchemy import Column, Date, DateTime, Integer, LargeBinary, Table, Text, Uuid

from vitrin.accounts.models import metadata

seal_keys = Table(
    "seal_keys",
    metadata,
    Column("seal_key_id", Uuid, primary_key=True),
    Column("brand_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject_mac", LargeBinary),
    Column("generation", Integer, nullable=False),
    Column("day", Date),
    Column("wrap_key_id", Text),
    Column("wrap_nonce", LargeBinary),
    Column("wrap_ciphertext", LargeBinary),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("came_after", DateTime(timezone=True)),
    Column("destroyed_at", DateTime(timezone=True)),
    Column("last_at", DateTime(timezone=True)),
)
"""`kind` index: the key of the brand that turns subjects into `subject_mac`. Destroyed: the row stays, without its key.
A person that came back has a row of the next `generation`; 0 is a person that was
erased before there was a key. `came_after`: when the key before it was destroyed."""
