"""Keys from before webhooks: those with all scopes of their role gain the new ones, narrower and revoked ones none."""

import pytest
from alembic import command
from alembic.config import Config
from pydantic import SecretStr
from sqlalchemy import create_engine, pool, text

from vitrin.accounts.domain import ROLE_SCOPES
from vitrin.kit.db.migrate import migrations_folder, prepare_database
from vitrin.kit.db.urls import role_url
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.settings import DatabaseSettings

REVISION = "accounts_webhook_scopes"
HOOKS = {"webhooks:read", "webhooks:write"}
LATER = {"notifications:read", "notifications:write", "events:read"}
KEYS = {role: ROLE_SCOPES[role] - HOOKS - LATER for role in ("owner", "editor", "approver", "viewer")}


@pytest.fixture
def emptied(embedded_postgres: EmbeddedPostgres) -> DatabaseSettings:
    """A database of its own, so that the accounts of other tests stay as they are."""
    settings = DatabaseSettings(url=SecretStr(embedded_postgres.url))
    prepare_database(settings, "accounts_old")
    return settings


def test_keys_gain_what_their_role_gains(emptied: DatabaseSettings) -> None:
    url = role_url(emptied, "accounts_old", "owner")
    config = Config()
    config.set_main_option("script_location", str(migrations_folder("accounts")))
    config.attributes["url"] = url
    command.upgrade(config, "accounts_0004")
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.begin() as owner:
        owner.execute(text("alter table api_keys no force row level security"))
        owner.execute(text("alter table brands no force row level security"))
        owner.execute(
            text(
                "insert into brands (brand_id, version, name, slug, storefront_url, default_currency, default_market,"
                " language, time_zone, has_live_connection, created_at, updated_at) select gen_random_uuid(), 1, 'n',"
                " 's', 'u', 'EUR', 'DE', 'de', 'UTC', false, now(), now()"
            )
        )
        rows = [(role, role, sorted(scopes), None) for role, scopes in KEYS.items()]
        rows += [
            ("narrow", "owner", ["accounts:read"], None),
            ("revoked", "viewer", sorted(KEYS["viewer"]), "now"),
        ]
        for key, role, scopes, revoked in rows:
            owner.execute(
                text(
                    "insert into api_keys (key_id, brand_id, version, name, kind, mode, role, scopes, secret_hash,"
                    " secret_end, created_at, created_by, expires_at, revoked_at) select :key, brand_id, 1, 'k',"
                    " 'secret', 'live', :role, :scopes, sha256('x'), 'abcd', now(), 'test', null,"
                    " cast(:revoked as timestamptz) from brands"
                ),
                {"key": key, "role": role, "scopes": scopes, "revoked": revoked},
            )
        for table in ("api_keys", "brands"):
            owner.execute(text(f"alter table {table} force row level security"))
    command.upgrade(config, REVISION)
    with engine.begin() as owner:
        forced = "select relforcerowsecurity from pg_class where relname = 'api_keys'"
        assert owner.execute(text(forced)).scalar() is True
        owner.execute(text("alter table api_keys no force row level security"))
        found = {
            row.key_id: (frozenset(row.scopes), row.version)
            for row in owner.execute(text("select key_id, scopes, version from api_keys"))
        }
        jobs = owner.execute(text("select topic, state from republish_jobs")).all()
    engine.dispose()
    assert [tuple(job) for job in jobs] == [("accounts.api_key.v1", "running")]
    assert found == {
        **{role: (ROLE_SCOPES[role] - LATER, 2) for role in KEYS},
        "narrow": (frozenset({"accounts:read"}), 1),
        "revoked": (KEYS["viewer"], 1),
    }
