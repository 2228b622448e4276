"""Draining the outbox to nowhere: what the database alone allows a relay. Two forms, both psycopg with binary results.

`delete_all`: DELETE .. SKIP LOCKED RETURNING of 1,000 rows a time, as queues do. `mark_all`: claim 1,000 rows and mark
them as sent, as ours must, since it keeps its rows for a broker that comes back empty. Marks are not flushed
(`synchronous_commit = off`), which is what the relay may do as well.
"""

from typing import Any
from uuid import UUID

import psycopg

ROWS = 1_000
_DELETE = """
delete from outbox using (
    select created_at, id from outbox where sent_at is null order by id limit %s for update skip locked) as old
where outbox.created_at = old.created_at and outbox.id = old.id
returning outbox.id, outbox.topic, outbox.payload
"""
_MARK = """
with old as (
    select created_at, id from outbox where sent_at is null order by id limit %s for update skip locked)
update outbox set sent_at = now(), sent_topic_id = %s from old
where outbox.created_at = old.created_at and outbox.id = old.id
returning outbox.id, outbox.topic, outbox.payload
"""


def delete_all(connection: "psycopg.Connection[Any]") -> int:
    """Rows and their payloads, read and forgotten. Answers how many."""
    return _drain(connection, _DELETE, (ROWS,))


def mark_all(connection: "psycopg.Connection[Any]", topic_id: UUID) -> int:
    return _drain(connection, _MARK, (ROWS, topic_id))


def _drain(connection: "psycopg.Connection[Any]", statement: str, values: tuple[object, ...]) -> int:
    total = 0
    connection.execute("set synchronous_commit = off")
    while rows := connection.execute(statement, values, binary=True).fetchall():
        total += len(rows)
    return total
