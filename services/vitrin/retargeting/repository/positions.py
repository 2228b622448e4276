"""How far consumer groups have stored a topic."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import text

from vitrin.kit.db.session import ReadSession

_STORED: Final = text(
    "select consumer_group, topic_id, partition, next_offset from consumer_offsets"
    " where consumer_group = any(:groups) and topic = :topic"
)


async def stored(
    session: ReadSession, groups: Sequence[str], topic: str
) -> Mapping[str, Mapping[tuple[UUID, int], int]]:
    """Next offsets of each group, by incarnation and partition."""
    found: dict[str, dict[tuple[UUID, int], int]] = {group: {} for group in groups}
    for row in await session.all(_STORED, {"groups": list(groups), "topic": topic}):
        found[row.consumer_group][row.topic_id, row.partition] = row.next_offset
    return found
