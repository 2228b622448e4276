"""Tables of the replica, in each service's own database."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, LargeBinary, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

metadata = MetaData()

brands = Table(
    "access_brands",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("storefront_url", Text, nullable=False),
    Column("default_currency", Text, nullable=False),
    Column("default_market", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("has_live_connection", Boolean, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("approval_needs_other_person", Boolean, nullable=False),
)

keys = Table(
    "access_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("brand_id", Uuid, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("role", Text, nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
    Column("expires_at", DateTime(timezone=True)),
    Column("member_id", Text, nullable=False),
)

outgoing = Table(
    "access_outgoing",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("platform", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("stopped", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)
