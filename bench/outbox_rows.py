"""Outbox rows as catalog writes them, made by the kit's own writer and copied in: for P11 and G6."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from vitrin.catalog.domain import ItemContent
from vitrin.catalog.events import content_message
from vitrin.events.envelope import Event
from vitrin.kit.outbox import writer
from vitrin.protos.catalog.v1 import events_pb2 as pb

_COLUMNS = ("created_at", "shard", "brand_id", "topic", "events", "payload")
_COPY = f"copy outbox ({', '.join(_COLUMNS)}) from stdin (format binary)"
_TYPES = ("timestamptz", "int2", "uuid", "text", "int4", "bytea")
DESCRIPTION = "Thrown by hand from stoneware, glazed inside, fired twice. Dishwasher safe. Holds 350 ml. " * 4


def item_event(brand: UUID, number: int, now: datetime) -> Event:
    """A change of content; record of about 600 bytes."""
    content = ItemContent(
        id=f"mug-{number:07d}",
        title=f"Mug number {number}",
        description=DESCRIPTION,
        link=f"https://shop.example/products/mug-{number}",
        image_link=f"https://cdn.shop.example/images/mug-{number}.jpg",
    )
    return Event.of(
        key=f"{brand}/{content.id}",
        type="catalog.item_changed",
        brand_id=brand,
        message=pb.ItemChanged(content_version=1, content=content_message(content), actor="key:bench"),
        occurred_at=now,
        received_at=now,
    )


def rows(
    brands: Sequence[UUID], *, count: int, events_per_row: int, now: datetime
) -> list[tuple[object, ...]]:
    made = []
    for number in range(count):
        brand = brands[number % len(brands)]
        first = number * events_per_row
        events = [item_event(brand, first + place, now) for place in range(events_per_row)]
        row = writer._row(events, now)
        made.append(tuple(row[name] for name in _COLUMNS))
    return made


def copy(admin: "psycopg.Connection[Any]", found: Sequence[tuple[object, ...]]) -> None:
    """In one transaction, so that a relay at work sees all of them or none."""
    with admin.transaction(), admin.cursor().copy(_COPY) as sink:
        sink.set_types(_TYPES)
        for row in found:
            sink.write_row(row)
