"""Every table of every database is declared: with its age, who removes its rows, and what of it an export has."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from vitrin.kit.brand_data.declared import Partitioned, Swept, Table
from vitrin.kit.brand_data.document import retention_document
from vitrin.kit.db.migrate import migrate
from vitrin.kit.db.urls import libpq_url, role_url
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.kafka.admin import load_topics
from vitrin.kit.settings import DatabaseSettings

SERVICES = ("accounts", "catalog", "shop_sync", "notify", "retargeting")
SECRET_WORDS = ("ciphertext", "nonce", "hash", "token", "secret")
FINE = {"access_token", "secret_end", "secret_id"}
"""Names that sound secret and are none: the end that a list of keys shows, ids."""
ROOT = Path(__file__).parents[3]


def tables_of(service: str) -> tuple[Table, ...]:
    found: tuple[Table, ...] = importlib.import_module(f"vitrin.{service}.tables").TABLES
    return found


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def owner(
    service: str, embedded_postgres: EmbeddedPostgres
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    settings = DatabaseSettings(url=SecretStr(embedded_postgres.url))
    migrate(settings, service)
    with psycopg.connect(libpq_url(role_url(settings, service, "owner"))) as connection:
        yield connection


def test_every_table_is_declared_as_it_is(
    service: str, owner: psycopg.Connection[tuple[object, ...]]
) -> None:
    declared = {table.name: table.brand for table in tables_of(service)}
    assert len(declared) == len(tables_of(service))
    found = owner.execute(
        "select t.relname, exists (select from pg_attribute a where a.attrelid = t.oid and a.attname = 'brand_id')"
        " from pg_class t where t.relnamespace = 'public'::regnamespace and t.relkind in ('r', 'p')"
        " and not t.relispartition"
    )
    assert declared == {str(name): bool(brand) for name, brand in found}, "say so in the service's tables.py"


def test_what_is_said_to_be_removed_is_removed(
    service: str, owner: psycopg.Connection[tuple[object, ...]]
) -> None:
    days = {
        table.name: table.kept.days for table in tables_of(service) if isinstance(table.kept, Partitioned)
    }
    assert days == dict(owner.execute("select table_name, keep_days from day_partitions").fetchall())
    for table in tables_of(service):
        if isinstance(table.kept, Swept):
            module, _, name = table.kept.by.partition(":")
            assert hasattr(importlib.import_module(module), name), table


def test_no_secret_column_is_exported(service: str, owner: psycopg.Connection[tuple[object, ...]]) -> None:
    for table in tables_of(service):
        columns = {
            str(row[0])
            for row in owner.execute(
                "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
                (table.name,),
            )
        }
        assert set(table.secret) | set(table.sealed) <= columns, table
        if table.brand and not table.left_out:
            shown = columns - set(table.secret) - set(table.sealed) - FINE
            assert not [name for name in shown if any(word in name for word in SECRET_WORDS)], table


def test_the_document_says_what_is_declared() -> None:
    written = (ROOT / "deploy" / "retention.md").read_text(encoding="utf-8")
    assert written == retention_document({name: tables_of(name) for name in SERVICES}), "run make docs"


def test_keys_of_days_outlive_all_that_they_seal() -> None:
    """Spool 3 days, outbox 7, and the longest topic: the least that ACCOUNTS_SEAL_DAY_KEEP_DAYS may be is above it."""
    topics = load_topics(ROOT / "deploy" / "kafka" / "topics.yaml")
    longest = max(int(spec.config.get("retention.ms", 0)) for spec in topics) / 86_400_000
    assert 3 + 7 + longest < 41
