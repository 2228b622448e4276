"""What is news: from the state of an object to a webhook event, or to nothing."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a message says of one object. `version`: only a later one counts; None: it has no versions, each source
    event counts once. `type` None: a state that nobody is told of. `told`: two sights with the same
    one are the same news."""

    brand_id: UUID
    source_id: UUID
    object_type: str
    object_id: str
    object_key: str
    version: int | None
    type: str | None
    told: str
    occurred_at: datetime
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """What was last seen and told of an object; version -1: nothing yet."""

    version: int = -1
    told: str = ""


def look(known: Told, sight: Sight) -> tuple[Told, bool]:
    """What is known afterwards, and whether it is news. An older version is no news, and neither is what was told
    last: an item whose price changes leaves `live` and comes back, and stays told as live."""
    assert sight.version is not None
    if sight.version <= known.version:
        return known, False
    if sight.type is None:
        return Told(sight.version, known.told), False
    return Told(sight.version, sight.told), sight.told != known.told


def wants(event_types: Collection[str], type_: str) -> bool:
    """An endpoint without a filter takes every type, those of later releases too."""
    return not event_types or type_ in event_types
