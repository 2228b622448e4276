"""Database, roles and schema of a service: what `vitrin migrate` does, and nothing else does."""

import importlib.util
from contextlib import suppress
from pathlib import Path

from alembic import command
from alembic.config import Config
from psycopg import Connection, connect, errors, sql

from vitrin.kit.db.urls import (
    HINT_DATABASE,
    Role,
    database_name,
    libpq_url,
    role_name,
    role_url,
    server_url,
)
from vitrin.kit.settings import DatabaseSettings


def migrate(settings: DatabaseSettings, service: str) -> str:
    """Create database and roles where they are missing, then upgrade the schema as the owner role.

    Needs a server URL whose user may create databases and roles, unless both are there already. Returns the revision.
    """
    prepare_database(settings, service)
    config = Config()
    config.set_main_option("script_location", str(migrations_folder(service)))
    config.attributes["url"] = role_url(settings, service, "owner")
    command.upgrade(config, "head")
    with connect(libpq_url(role_url(settings, service, "owner"))) as owner:
        row = owner.execute("select version_num from alembic_version").fetchone()
        return str(row[0]) if row else ""


def prepare_database(settings: DatabaseSettings, service: str) -> None:
    """Database and the three roles, where they are missing."""
    with connect(libpq_url(server_url(settings)), autocommit=True) as admin:
        _create_roles(admin, settings, service)
        _create_database(admin, database_name(service), role_name(service, "owner"))


def create_hint_database(settings: DatabaseSettings) -> None:
    """The extra database of the embedded profile, where relays wake consumers."""
    with connect(libpq_url(server_url(settings)), autocommit=True) as admin:
        _create_database(admin, HINT_DATABASE, None)


def migrations_folder(service: str) -> Path:
    spec = importlib.util.find_spec(f"vitrin.{service}")
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(f"there is no service {service!r}")
    return Path(spec.submodule_search_locations[0]) / "migrations"


def _create_roles(admin: Connection[tuple[object, ...]], settings: DatabaseSettings, service: str) -> None:
    password = settings.role_password.get_secret_value() if settings.role_password else None
    kinds: tuple[Role, ...] = ("owner", "app", "worker")
    for kind in kinds:
        name = sql.Identifier(role_name(service, kind))
        statement = sql.SQL("create role {} login nosuperuser nocreatedb nocreaterole nobypassrls").format(
            name
        )
        with suppress(errors.DuplicateObject, errors.UniqueViolation):
            admin.execute(statement)
        if password is not None:
            admin.execute(sql.SQL("alter role {} password {}").format(name, sql.Literal(password)))


def _create_database(admin: Connection[tuple[object, ...]], name: str, owner: str | None) -> None:
    if admin.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
        return
    statement = sql.SQL("create database {}").format(sql.Identifier(name))
    if owner is not None:
        statement += sql.SQL(" owner {}").format(sql.Identifier(owner))
    with suppress(errors.DuplicateDatabase, errors.UniqueViolation):
        admin.execute(statement)
