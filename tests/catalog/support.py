"""A migrated catalog database, brands with a place in it, and the outbox as events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from google.protobuf.message import Message as ProtobufMessage

from vitrin.events.registry import EVENT_TYPES
from vitrin.kit.db.migrate import migrate
from vitrin.kit.db.urls import database_name
from vitrin.kit.embedded.postgres import EmbeddedPostgres
from vitrin.kit.ids import BrandId, new_uuid
from vitrin.kit.settings import DatabaseSettings
from vitrin.protos.kit.v1.outbox_pb2 import OutboxBatch

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ACTOR = "key:test"


@dataclass(frozen=True)
class Words:
    default_currency: str = "EUR"
    default_market: str = "DE"
    storefront_url: str = "https://shop.example"


async def words_of_any_brand(_brand: BrandId) -> Words:
    return Words()


def new_brand() -> BrandId:
    return BrandId(new_uuid())


def migrated(postgres: EmbeddedPostgres) -> DatabaseSettings:
    settings = DatabaseSettings(VITRIN_DATABASE_URL=postgres.url)
    migrate(settings, "catalog")
    return settings


def admin_rows(settings: DatabaseSettings, query: str, *params: object) -> list[tuple[object, ...]]:
    """Rows as the superuser sees them: past row-level security."""
    url = settings.url.get_secret_value().replace("/postgres?", f"/{database_name('catalog')}?")
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query, params).fetchall()


@dataclass(frozen=True)
class Published:
    """One event of the outbox, decoded."""

    row: int
    type: str
    key: str
    message: ProtobufMessage


def published(settings: DatabaseSettings, brand: BrandId) -> list[Published]:
    """Events of a brand in the order of the outbox."""
    found: list[Published] = []
    rows: Sequence[tuple[object, ...]] = admin_rows(
        settings, "select id, payload from outbox where brand_id = %s order by id", brand
    )
    for row_id, payload in rows:
        assert isinstance(payload, bytes)
        assert isinstance(row_id, int)
        for event in OutboxBatch.FromString(payload).events:
            message = EVENT_TYPES[event.type].message.FromString(event.payload)
            found.append(Published(row_id, event.type, event.key, message))
    return found
