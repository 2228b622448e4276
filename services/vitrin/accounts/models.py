"""Tables of accounts."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, LargeBinary, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()

brands = Table(
    "brands",
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
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("organisation_id", Uuid, nullable=False),
    Column("approval_needs_other_person", Boolean, nullable=False),
    Column("deleted_at", DateTime(timezone=True)),
)

organisations = Table(
    "organisations",
    metadata,
    Column("organisation_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

members = Table(
    "members",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("member_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("joined_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("removed_at", DateTime(timezone=True)),
)
"""A person in a brand; the same `member_id` in each brand of the organisation. Name and e-mail go at the removal."""

invitations = Table(
    "invitations",
    metadata,
    Column("invitation_id", Uuid, primary_key=True),
    Column("brand_id", Uuid, nullable=False),
    Column("email", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("outcome", Text, nullable=False),
)

first_brand = Table(
    "first_brand",
    metadata,
    Column("one", Boolean, primary_key=True),
    Column("made_at", DateTime(timezone=True), nullable=False),
)
"""A row once there has been a brand."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("brand_id", Uuid, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("secret_end", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("rotated_from", Text),
    Column("rotated_to", Text),
    Column("member_id", Uuid),
)

api_key_uses = Table(
    "api_key_uses",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("brand_id", Uuid, nullable=False),
    Column("used_at", DateTime(timezone=True), nullable=False),
)

connections = Table(
    "connections",
    metadata,
    Column("connection_id", Uuid, primary_key=True),
    Column("brand_id", Uuid, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("platform", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("base_url", Text, nullable=False),
    Column("external_ids", JSONB, nullable=False),
    Column("token_key_id", Text),
    Column("token_nonce", LargeBinary),
    Column("token_ciphertext", LargeBinary),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("market", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("id_template", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("deleted_at", DateTime(timezone=True)),
)

outgoing_switches = Table(
    "outgoing_switches",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("platform", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("stopped", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("changed_by", Text, nullable=False),
)
"""`brand_id` HOUSE: the whole house. `platform` "": every platform."""

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("audit_id", Uuid, primary_key=True),
    Column("brand_id", Uuid, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", JSONB),
    Column("after", JSONB),
)
