"""Every service's migrations on the chosen PostgreSQL: up to the head, twice, with forced row-level security and
day partitions."""

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from vitrin.cli.supervisor.parts import SERVICES
from vitrin.kit.clock import system_clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.db.migrate import migrate
from vitrin.kit.db.urls import libpq_url, role_url
from vitrin.kit.settings import DatabaseSettings


@pytest.fixture
def settings(postgres_url: str) -> DatabaseSettings:
    return DatabaseSettings(url=SecretStr(postgres_url))


def test_the_server_is_the_chosen_one(settings: DatabaseSettings, pytestconfig: pytest.Config) -> None:
    with psycopg.connect(settings.url.get_secret_value()) as connection:
        (version,) = connection.execute("show server_version_num").fetchone() or ("",)
    assert str(version).startswith(pytestconfig.getoption("--postgres"))


@pytest.mark.parametrize("service", SERVICES)
async def test_every_migration_runs_and_again_changes_nothing(
    settings: DatabaseSettings, service: str
) -> None:
    head = migrate(settings, service)
    assert head
    assert migrate(settings, service) == head
    with psycopg.connect(libpq_url(role_url(settings, service, "owner"))) as owner:
        open_tables = owner.execute(
            """
            select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'brand_id'
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
              and not (c.relrowsecurity and c.relforcerowsecurity)
            """
        ).fetchall()
    assert open_tables == []
    worker = WorkerDatabase(settings=settings, service=service, clock=system_clock)
    async with worker.write() as tx:
        await tx.scalar(text("select vitrin_partitions(:moment)"), {"moment": system_clock()})
        days = await tx.scalar(text("select count(*) from pg_inherits where inhparent = 'outbox'::regclass"))
    await worker.close()
    assert days >= 8
