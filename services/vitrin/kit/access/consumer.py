"""Follows accounts' brands, keys and switches: the newest version wins, whatever the order and number of deliveries."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import insert

from vitrin.events import topics
from vitrin.events.envelope import InvalidMessage, Message
from vitrin.kit.access import models
from vitrin.kit.access.outgoing import switch_row
from vitrin.kit.access.records import brand_row, key_row
from vitrin.kit.db.session import WriteSession
from vitrin.protos.accounts.v1 import events_pb2

ACCESS_TOPICS: Final = (topics.BRAND, topics.API_KEY, topics.OUTGOING)


async def access_handler(tx: WriteSession, messages: Sequence[Message]) -> None:
    """One micro-batch. Rows are written in key order, so that two writers never wait for each other in a ring."""
    brands: dict[object, dict[str, Any]] = {}
    keys: dict[object, dict[str, Any]] = {}
    switches: dict[object, dict[str, Any]] = {}
    for message in messages:
        match message.decode():
            case events_pb2.BrandChanged() as brand:
                _keep_newest(brands, ("brand_id",), _row(brand_row, brand))
            case events_pb2.ApiKeyChanged() as key:
                _keep_newest(keys, ("key_id",), _row(key_row, key))
            case events_pb2.OutgoingChanged() as switch:
                _keep_newest(switches, ("brand_id", "platform"), _row(switch_row, switch))
            case other:
                raise InvalidMessage(f"{type(other).__name__} is not about access")
    await _upsert(tx, models.brands, ("brand_id",), brands.values())
    await _upsert(tx, models.keys, ("key_id",), keys.values())
    await _upsert(tx, models.outgoing, ("brand_id", "platform"), switches.values())


def _row(build: Any, message: object) -> dict[str, Any]:
    try:
        row: dict[str, Any] = build(message)
    except ValueError as error:
        raise InvalidMessage(str(error)) from error
    return row


def _keep_newest(rows: dict[object, dict[str, Any]], names: tuple[str, ...], row: dict[str, Any]) -> None:
    key = tuple(row[name] for name in names)
    known = rows.get(key)
    if known is None or known["version"] < row["version"]:
        rows[key] = row


async def _upsert(
    tx: WriteSession, table: Table, key: tuple[str, ...], rows: Iterable[Mapping[str, Any]]
) -> None:
    ordered = sorted(rows, key=lambda row: tuple(str(row[name]) for name in key))
    if not ordered:
        return
    statement = insert(table).values(ordered)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=list(key),
            set_={
                column.name: statement.excluded[column.name] for column in table.c if column.name not in key
            },
            where=table.c.version < statement.excluded.version,
        )
    )
