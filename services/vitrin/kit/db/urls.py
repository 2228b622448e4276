"""Database addresses: one server URL, from which each service's database and roles follow.

`VITRIN_DATABASE_URL` names the server (user and database in it are replaced), so that one setting serves every
service and no service ever knows another's database.
"""

from typing import Final, Literal

from sqlalchemy import URL, make_url

from vitrin.kit.settings import DatabaseSettings

Role = Literal["owner", "app", "worker"]
HINT_DATABASE: Final = "vitrin_hint"


def database_name(service: str) -> str:
    return f"vitrin_{service}"


def role_name(service: str, role: Role) -> str:
    return f"vitrin_{service}_{role}"


def role_url(settings: DatabaseSettings, service: str, role: Role) -> URL:
    """URL of the service's database under one of its three roles."""
    password = settings.role_password.get_secret_value() if settings.role_password else None
    return server_url(settings).set(
        username=role_name(service, role), password=password, database=database_name(service)
    )


def server_url(settings: DatabaseSettings) -> URL:
    """The configured server URL with our driver."""
    return make_url(settings.url.get_secret_value()).set(drivername="postgresql+psycopg")


def libpq_url(url: URL) -> str:
    """The same address for a bare psycopg connection (LISTEN, advisory locks)."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
