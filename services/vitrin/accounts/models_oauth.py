"""Tables of connecting by consent."""

from sqlalchemy import Column, DateTime, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from vitrin.accounts.models import metadata

oauth_apps = Table(
    "oauth_apps",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("platform", Text, primary_key=True),
    Column("mode", Text, primary_key=True),
    Column("app_id", Text, nullable=False),
    Column("secret_key_id", Text, nullable=False),
    Column("secret_nonce", LargeBinary, nullable=False),
    Column("secret_ciphertext", LargeBinary, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("changed_by", Text, nullable=False),
)

oauth_attempts = Table(
    "oauth_attempts",
    metadata,
    Column("attempt_id", Uuid, primary_key=True),
    Column("brand_id", Uuid, nullable=False),
    Column("state_hash", LargeBinary, nullable=False),
    Column("platform", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("connection_id", Uuid),
    Column("key_id", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("app_id", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("external_ids", JSONB, nullable=False),
    Column("verifier_key_id", Text),
    Column("verifier_nonce", LargeBinary),
    Column("verifier_ciphertext", LargeBinary),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used_at", DateTime(timezone=True)),
    Column("outcome", Text, nullable=False),
    Column("problem", JSONB),
)
"""`connection_id`: of the connection that is connected again, then of the one that came out of it."""

oauth_tokens = Table(
    "oauth_tokens",
    metadata,
    Column("connection_id", Uuid, primary_key=True),
    Column("brand_id", Uuid, nullable=False),
    Column("platform", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("app_id", Text, nullable=False),
    Column("refresh_key_id", Text),
    Column("refresh_nonce", LargeBinary),
    Column("refresh_ciphertext", LargeBinary),
    Column("refresh_expires_at", DateTime(timezone=True)),
    Column("renewal", Text, nullable=False),
    Column("refresh_at", DateTime(timezone=True)),
    Column("failures", Integer, nullable=False),
    Column("recoveries", Integer, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("claimed_until", DateTime(timezone=True)),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)
"""One row per connection by consent. `renewal` automatic: the platform gives new tokens without a person."""
