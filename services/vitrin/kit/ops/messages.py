"""/v1/ops/dead-letters and /v1/ops/parked: the operator's door to messages that were put aside.

A service that consumes topics adds `router` to its application and a `MessageDesk` as `app.state.message_desk`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from google.protobuf.json_format import MessageToDict
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row

from vitrin.events.envelope import InvalidMessage
from vitrin.kit.consumer.records import stored_message
from vitrin.kit.http.paging import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.ops.access import operator_only
from vitrin.kit.ops.desk import Filters, MessageDesk

PAGE_MESSAGES_MAX: Final = 500
PAYLOAD_JSON_BYTES_MAX: Final = 65_536
"""A larger payload is not decoded but shown as the beginning of its bytes."""
PAYLOAD_HEX_BYTES_MAX: Final = 4_096
POSITION_MAX: Final = 2**63 - 1

_EXAMPLE_ID: Final = "019a9d5e-0c1b-7d07-8a2f-6b0e3f1c2d4e"
_EXAMPLE: Final[dict[str, Any]] = {
    "id": _EXAMPLE_ID,
    "group": "shop_sync.replica",
    "topic": "catalog.item.v1",
    "topic_id": "019a9d5d-1111-7000-8000-000000000001",
    "partition": 3,
    "offset": 1042,
    "key": "019a9d00-aaaa-7000-8000-000000000002/apron-denim",
    "brand": "019a9d00-aaaa-7000-8000-000000000002",
    "type": "catalog.item_changed",
    "payload_bytes": 412,
}

router = APIRouter(prefix="/v1/ops", tags=["operator"], dependencies=[Depends(operator_only)])


class LetterState(StrEnum):
    DEAD = "dead"
    REPLAYING = "replaying"
    REPLAYED = "replayed"
    DROPPED = "dropped"


class Payload(BaseModel):
    """`json` where the bytes are the message that their type names, else the beginning as hexadecimal digits."""

    encoding: str = Field(description="json, hex, or none when there is no payload (any more).")
    message: dict[str, Any] | None = Field(None, description="The Protobuf message as JSON.")
    hex: str | None = Field(None, description=f"At most {PAYLOAD_HEX_BYTES_MAX:,} bytes.")
    truncated: bool = Field(False, description="There are more bytes than are shown.")


class Aside(BaseModel):
    """A message that was put aside: where it came from."""

    id: UUID
    group: str = Field(description="Consumer group, such as shop_sync.replica.")
    topic: str
    topic_id: UUID = Field(description="Incarnation of the topic.")
    partition: int
    offset: int
    key: str | None = Field(description="What it must stay in order with.")
    brand: UUID | None = Field(description="null where the record does not say.")
    type: str = Field(description="Event type; empty where the record does not say.")
    payload_bytes: int


class DeadLetter(Aside):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_EXAMPLE,
                "reason": "ValueError: price below zero",
                "state": "dead",
                "tries": 0,
                "due_at": None,
                "outcome": "",
                "changed_at": None,
                "changed_by": "",
                "created_at": "2026-03-01T09:00:00Z",
            }
        }
    )
    reason: str = Field(description="Why it could not be handled. A list shows the first 300 characters.")
    state: LetterState = Field(
        description="dead: nobody did anything yet, or a replay failed; replaying: a worker handles it again, now or"
        " at due_at; replayed: handled; dropped: given up by an operator, its payload is deleted."
    )
    tries: int = Field(description="Of the replay that runs: how often it was told to wait.")
    due_at: datetime | None
    outcome: str = Field(description="How the last replay ended or why it waits, or the reason of the drop.")
    changed_at: datetime | None
    changed_by: str = Field(description="The operator who asked last.")
    created_at: datetime


class DeadLetterDetail(DeadLetter):
    headers: dict[str, str] = Field(description="As text where they are text, else hexadecimal.")
    payload: Payload


class ParkedMessage(Aside):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_EXAMPLE,
                "reason": "this release does not know the platform 'tiktok'",
                "tries": 4,
                "parked_at": "2026-03-01T09:00:00Z",
                "due_at": "2026-03-01T09:00:31Z",
            }
        }
    )
    reason: str = Field(description="What it waits for, or that it is behind an earlier message of its key.")
    tries: int
    parked_at: datetime
    due_at: datetime = Field(description="Next try, once it is the first of its key.")


class ParkedMessageDetail(ParkedMessage):
    headers: dict[str, str]
    payload: Payload


class DeadLetterPage(BaseModel):
    data: list[DeadLetter]
    next_cursor: str | None


class ParkedPage(BaseModel):
    data: list[ParkedMessage]
    next_cursor: str | None


Operator = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        description="Who asks, for the log: a name or an address.",
        examples=["ada"],
    ),
]


class Replay(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"operator": "ada"}})
    operator: Operator = "operator"


class Drop(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"operator": "ada", "reason": "test data of a retired brand, see incident 12"}
        },
    )
    operator: Operator = "operator"
    reason: str = Field(min_length=3, max_length=500, description="Why it may be given up; kept and logged.")


def _desk(request: Request) -> MessageDesk:
    desk: MessageDesk = request.app.state.message_desk
    return desk


Desk = Annotated[MessageDesk, Depends(_desk)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MESSAGES_MAX, description="Messages per page.")]
Cursor = Annotated[str | None, Query(max_length=1024, description="'next_cursor' of the page before.")]
LetterId = Annotated[UUID, Path(description="Id of the dead letter.")]
_WORD: Final = r"^[^\x00]*$"


def _filters(
    group: Annotated[
        str | None, Query(max_length=200, pattern=_WORD, description="Only this consumer group.")
    ] = None,
    topic: Annotated[str | None, Query(max_length=200, pattern=_WORD, description="Only this topic.")] = None,
    brand: Annotated[UUID | None, Query(description="Only messages of this brand.")] = None,
    reason: Annotated[
        str | None,
        Query(max_length=200, pattern=_WORD, description="Only where the reason contains this text."),
    ] = None,
) -> Filters:
    return Filters(group=group, topic=topic, brand=brand, reason=reason)


Chosen = Annotated[Filters, Depends(_filters)]


@router.get("/dead-letters", summary="Messages that could not be handled, oldest first")
async def list_dead_letters(
    *,
    desk: Desk,
    filters: Chosen,
    state: Annotated[LetterState | None, Query(description="Only letters in this state.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> DeadLetterPage:
    """Kept for 90 days after they came; those in state 'dead' are what somebody has to look at."""
    chosen = Filters(
        group=filters.group,
        topic=filters.topic,
        brand=filters.brand,
        reason=filters.reason,
        state=state.value if state else None,
    )
    rows = await desk.letters(chosen, after=_moment(cursor), limit=limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return DeadLetterPage(
        data=[DeadLetter.model_validate(_letter(row)) for row in rows[:limit]],
        next_cursor=encode_cursor({"at": last.created_at.isoformat(), "id": str(last.id)}) if last else None,
    )


@router.get("/dead-letters/{letter_id}", summary="One dead letter with headers and payload")
async def show_dead_letter(desk: Desk, letter_id: LetterId) -> DeadLetterDetail:
    return _letter_detail(await desk.letter(letter_id))


@router.post("/dead-letters/{letter_id}/replay", status_code=202, summary="Handle a dead letter again")
async def replay_dead_letter(desk: Desk, letter_id: LetterId, body: Replay) -> DeadLetterDetail:
    """A worker of the service takes it within seconds, the older letters of its key first; its effects and its end are
    saved together. Look again until 'state' is no longer 'replaying': 'replayed', or 'dead' with the 'outcome'.

    Later messages of the key may have been handled since: handlers keep the newer version.
    """
    return _letter_detail(await desk.replay(letter_id, operator=body.operator))


@router.post("/dead-letters/{letter_id}/drop", summary="Give a dead letter up")
async def drop_dead_letter(desk: Desk, letter_id: LetterId, body: Drop) -> DeadLetterDetail:
    """Its payload is deleted at once and for good; who did it and why stays, here and in the log."""
    return _letter_detail(await desk.drop(letter_id, reason=body.reason, operator=body.operator))


@router.get("/parked", summary="Messages that wait for something, in their order")
async def list_parked(
    *, desk: Desk, filters: Chosen, limit: Limit = 100, cursor: Cursor = None
) -> ParkedPage:
    """The first of a key waits for what its reason says and is tried again at due_at; the others wait behind it."""
    rows = await desk.parked(filters, after=_place(cursor), limit=limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return ParkedPage(
        data=[ParkedMessage.model_validate(_parked(row)) for row in rows[:limit]],
        next_cursor=encode_cursor({"position": last.position}) if last else None,
    )


@router.get("/parked/{message_id}", summary="One parked message with headers and payload")
async def show_parked(
    desk: Desk, message_id: Annotated[UUID, Path(description="Id of the parked message.")]
) -> ParkedMessageDetail:
    row = await desk.parked_message(message_id)
    return ParkedMessageDetail.model_validate(
        _parked(row) | {"headers": row.headers, "payload": payload_shown(row)}
    )


def payload_shown(row: Any) -> Payload:
    """Decoded where that works and is not too large; nothing here is guessed."""
    if row.payload is None:
        return Payload(encoding="none")
    data = bytes(row.payload)
    if len(data) <= PAYLOAD_JSON_BYTES_MAX:
        try:
            message = stored_message(row).decode()
            decoded = MessageToDict(message, preserving_proto_field_name=True)
            return Payload(encoding="json", message=decoded)
        except (InvalidMessage, ValueError):
            pass
    return Payload(
        encoding="hex", hex=data[:PAYLOAD_HEX_BYTES_MAX].hex(), truncated=len(data) > PAYLOAD_HEX_BYTES_MAX
    )


def _letter_detail(row: Row[Any]) -> DeadLetterDetail:
    return DeadLetterDetail.model_validate(
        _letter(row) | {"headers": row.headers, "payload": payload_shown(row)}
    )


def _letter(row: Row[Any]) -> dict[str, Any]:
    names = ("reason", "state", "tries", "due_at", "outcome", "changed_at", "changed_by", "created_at")
    return _aside(row) | {name: getattr(row, name) for name in names}


def _parked(row: Row[Any]) -> dict[str, Any]:
    return _aside(row) | {name: getattr(row, name) for name in ("reason", "tries", "parked_at", "due_at")}


def _aside(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "group": row.consumer_group,
        "topic": row.topic,
        "topic_id": row.topic_id,
        "partition": row.partition,
        "offset": row.record_offset,
        "key": row.key,
        "brand": row.brand_id,
        "type": row.event_type,
        "payload_bytes": row.payload_bytes,
    }


def _moment(cursor: str | None) -> tuple[datetime, UUID] | None:
    position = decode_cursor(cursor, ["at", "id"])
    if position is None:
        return None
    try:
        at, letter = datetime.fromisoformat(str(position["at"])), UUID(str(position["id"]))
    except ValueError:
        raise CursorInvalid("The cursor belongs to another list.", field="cursor") from None
    if at.tzinfo is None:
        raise CursorInvalid("The cursor belongs to another list.", field="cursor")
    return at, letter


def _place(cursor: str | None) -> int | None:
    position = decode_cursor(cursor, ["position"])
    if position is None:
        return None
    value = position["position"]
    if not isinstance(value, int) or not 0 <= value <= POSITION_MAX:
        raise CursorInvalid("The cursor belongs to another list.", field="cursor")
    return value
