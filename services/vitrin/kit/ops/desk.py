"""What the operator sees and does of parked messages and dead letters. Replaying itself is the workers' (`retry`).

Uses the worker role: the operator sees every brand's messages, which no API key may.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from vitrin.kit.clock import Clock
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.errors import Conflict, NotFound
from vitrin.kit.logs import get_logger

REASON_CHARS_SHOWN: Final = 300
_LETTER: Final = (
    "id, consumer_group, topic, topic_id, partition, record_offset, key, brand_id, event_type, left(reason, :chars)"
    " as reason, state, tries, due_at, left(outcome, :chars) as outcome, changed_at, changed_by, created_at,"
    " coalesce(length(payload), 0) as payload_bytes"
)
_PARKED: Final = (
    "id, consumer_group, topic, topic_id, partition, record_offset, key, brand_id, event_type, left(reason, :chars)"
    " as reason, tries, due_at, parked_at, position, length(payload) as payload_bytes"
)
_SHOW_LETTER = text(f"select {_LETTER}, headers, payload from dead_letters where id = :id")
_SHOW_PARKED = text(f"select {_PARKED}, headers, payload from parked_messages where id = :id")
_ASK = text(
    "update dead_letters set state = 'replaying', tries = 0, due_at = :now, outcome = '', changed_at = :now,"
    " changed_by = :operator where id = :id and state = 'dead'"
)
_DROP = text(
    "update dead_letters set state = 'dropped', payload = null, due_at = null, outcome = :reason, changed_at = :now,"
    " changed_by = :operator where id = :id and state = 'dead'"
)
_LOCK = text("select state from dead_letters where id = :id for update")
EVERYTHING: Final = 1_000_000

log = get_logger("vitrin.ops")


class MessageNotFound(NotFound):
    code, title = "message_not_found", "There is no such message in this service"
    fix = "List them: GET /v1/ops/dead-letters, GET /v1/ops/parked. Ids belong to one service."


class DeadLetterNotDead(Conflict):
    code, title = "dead_letter_not_dead", "Something was done with this dead letter already"
    fix = (
        "Look at its 'state' and 'outcome'. A replay that fails makes it 'dead' again; a dropped one is gone."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """None: all. `reason` is a part of the text, whatever its case."""

    group: str | None = None
    topic: str | None = None
    brand: UUID | None = None
    reason: str | None = None
    state: str | None = None


class MessageDesk:
    """Reads and marks; each method is one transaction."""

    def __init__(self, *, database: WorkerDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def letters(
        self, filters: Filters, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> Sequence[Row[Any]]:
        """Oldest first, from after a position."""
        where, params = _where(filters)
        if after is not None:
            where.append("(created_at, id) > (:at, :after)")
            params |= {"at": after[0], "after": after[1]}
        return await self._all(
            f"select {_LETTER} from dead_letters where {_and(where)} order by created_at, id limit :limit",
            {**params, "limit": limit},
        )

    async def parked(self, filters: Filters, *, after: int | None, limit: int) -> Sequence[Row[Any]]:
        """In the order in which they were parked."""
        where, params = _where(filters)
        if after is not None:
            where.append("position > :after")
            params["after"] = after
        return await self._all(
            f"select {_PARKED} from parked_messages where {_and(where)} order by position limit :limit",
            {**params, "limit": limit},
        )

    async def letter(self, letter: UUID) -> Row[Any]:
        return await self._one(_SHOW_LETTER, letter)

    async def parked_message(self, message: UUID) -> Row[Any]:
        return await self._one(_SHOW_PARKED, message)

    async def replay(self, letter: UUID, *, operator: str) -> Row[Any]:
        """Ask the workers to handle it again; they see it within seconds. Once at a time: a second one is refused."""
        await self._mark(_ASK, letter, {"operator": operator})
        row = await self.letter(letter)
        log.info("dead_letter_replay_asked", operator=operator, **_audit(row))
        return row

    async def drop(self, letter: UUID, *, reason: str, operator: str) -> Row[Any]:
        """Give it up for good: its payload is deleted, the row stays as a record until its age."""
        await self._mark(_DROP, letter, {"operator": operator, "reason": f"dropped: {reason}"})
        row = await self.letter(letter)
        log.warning("dead_letter_dropped", operator=operator, why=reason, **_audit(row))
        return row

    async def _mark(self, statement: Any, letter: UUID, params: Mapping[str, Any]) -> None:
        async with self._database.write() as tx:
            held = await tx.one_or_none(_LOCK, {"id": letter})
            if held is None:
                raise MessageNotFound
            if held.state != "dead":
                raise DeadLetterNotDead(f"The dead letter is {held.state!r}.", state=held.state)
            await tx.execute(statement, {"id": letter, "now": self._clock(), **params})

    async def _all(self, statement: str, params: Mapping[str, Any]) -> Sequence[Row[Any]]:
        async with self._database.read() as session:
            return await session.all(text(statement), {**params, "chars": REASON_CHARS_SHOWN})

    async def _one(self, statement: Any, message: UUID) -> Row[Any]:
        async with self._database.read() as session:
            row = await session.one_or_none(statement, {"id": message, "chars": EVERYTHING})
        if row is None:
            raise MessageNotFound
        return row


def _where(filters: Filters) -> tuple[list[str], dict[str, Any]]:
    conditions = {
        "consumer_group = :group": ("group", filters.group),
        "topic = :topic": ("topic", filters.topic),
        "brand_id = :brand": ("brand", filters.brand),
        "strpos(lower(reason), lower(:reason)) > 0": ("reason", filters.reason),
        "state = :state": ("state", filters.state),
    }
    chosen = {sql: pair for sql, pair in conditions.items() if pair[1] is not None}
    return list(chosen), dict(chosen.values())


def _and(conditions: Sequence[str]) -> str:
    return " and ".join(conditions) or "true"


def _audit(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "group": row.consumer_group,
        "topic": row.topic,
        "partition": row.partition,
        "offset": row.record_offset,
        "message_key": row.key,
        "brand": str(row.brand_id) if row.brand_id else None,
        "was": row.reason[:REASON_CHARS_SHOWN],
    }
