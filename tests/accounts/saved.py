"""What accounts has saved for a brand, read by the superuser: audit rows and outbox events."""

from typing import Any

import psycopg

from vitrin.accounts.settings import AccountsSettings
from vitrin.events.registry import EVENT_TYPES
from vitrin.protos.kit.v1.outbox_pb2 import OutboxBatch


def _connect(settings: AccountsSettings) -> psycopg.Connection[Any]:
    url = settings.database.url.get_secret_value().replace("/postgres?", "/vitrin_accounts?")
    return psycopg.connect(url)


def audit_of(settings: AccountsSettings, brand_id: str) -> list[Any]:
    """(actor, action, subject, before, after) in order."""
    with _connect(settings) as connection:
        return connection.execute(
            "select actor, action, subject, before, after from audit_entries where brand_id = %s order by at, audit_id",
            (brand_id,),
        ).fetchall()


def events_of(settings: AccountsSettings, brand_id: str) -> list[Any]:
    """The decoded messages in the order of the outbox."""
    with _connect(settings) as connection:
        rows = connection.execute(
            "select payload from outbox where brand_id = %s order by id", (brand_id,)
        ).fetchall()
    found = []
    for (payload,) in rows:
        for record in OutboxBatch.FromString(bytes(payload)).events:
            found.append(EVENT_TYPES[record.type].message.FromString(record.payload))
    return found


def whole_text(settings: AccountsSettings) -> str:
    """Every row of every table as text, to look for what must not be there."""
    with _connect(settings) as connection:
        text = ""
        tables = connection.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
            " and not relispartition order by relname"
        ).fetchall()
        assert len(tables) > 10
        for (table,) in tables:
            for (row,) in connection.execute(f"select t::text from {table} t").fetchall():
                text += row + "\n"
    return text


def rows_of(settings: AccountsSettings, table: str, connection_id: str) -> list[Any]:
    """Rows of a table that belong to a connection."""
    with _connect(settings) as connection:
        statement = f"select * from {table} where connection_id = %s"
        return connection.execute(statement, (connection_id,)).fetchall()


def set_of(settings: AccountsSettings, table: str, connection_id: str, **columns: object) -> None:
    """Changes a row behind the service's back, as a fault would."""
    names = ", ".join(f"{name} = %s" for name in columns)
    with _connect(settings) as connection:
        statement = f"update {table} set {names} where connection_id = %s"
        connection.execute(statement, (*columns.values(), connection_id))


def forget_tokens(settings: AccountsSettings) -> None:
    """Nothing of a sandbox that is gone is due any more."""
    with _connect(settings) as connection:
        connection.execute("delete from oauth_tokens")
        connection.execute("update connections set expires_at = null")
