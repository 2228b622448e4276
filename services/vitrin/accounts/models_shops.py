"""Tables of connected shops: which there are, and what signs their webhooks."""

from sqlalchemy import Column, DateTime, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from vitrin.accounts.models import metadata

connected_shops = Table(
    "connected_shops",
    metadata,
    Column("connection_id", Uuid, primary_key=True),
    Column("brand_id", Uuid, nullable=False),
    Column("platform", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("external_ids", JSONB, nullable=False),
)
"""One row per living connection to a shop: the list that the door of the webhooks asks for."""

shop_secrets = Table(
    "shop_secrets",
    metadata,
    Column("connection_id", Uuid, primary_key=True),
    Column("secret_id", Uuid, primary_key=True),
    Column("brand_id", Uuid, nullable=False),
    Column("secret_key_id", Text, nullable=False),
    Column("secret_nonce", LargeBinary, nullable=False),
    Column("secret_ciphertext", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
)
"""Of shops that sign with a secret of their connection; a shop that was connected by consent signs with its app's.
`expires_at`: a newer one took its place, and it still holds until then."""
