"""Wake-up hints of the embedded profile: its broker does not wake a waiting fetch, PostgreSQL's NOTIFY does.

After the acks the relay names the topics' new ends on one common database, where all consumers listen. A hint is
never needed for correctness: consumers look again every `FALLBACK_S`. In production (no hint database) Apache Kafka
wakes its fetches itself.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from psycopg import AsyncConnection, Error
from sqlalchemy import make_url

from vitrin.kit.db.listen import notifications
from vitrin.kit.db.urls import libpq_url
from vitrin.kit.kafka.producer import Ack
from vitrin.kit.logs import get_logger
from vitrin.kit.settings import DatabaseSettings

CHANNEL: Final = "vitrin_hint"
FALLBACK_S: Final = 5.0
RECONNECT_S: Final = 1.0
SEND_S: Final = 0.5
"""More is not spent on a hint, its connection included."""

log = get_logger(__name__)


def _address(settings: DatabaseSettings) -> str:
    assert settings.hint_url is not None
    return libpq_url(make_url(settings.hint_url.get_secret_value()))


class HintSender:
    """Says which topics grew. One direct connection, autocommit; a failure is forgotten, it was only a hint."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._connection: AsyncConnection[Any] | None = None
        self._lock = asyncio.Lock()

    async def sent(self, acks: Iterable[Ack]) -> None:
        if self._settings.hint_url is None:
            return
        topics = ",".join(sorted({ack.topic for ack in acks}))
        async with self._lock:
            try:
                async with asyncio.timeout(SEND_S):
                    if self._connection is None:
                        self._connection = await AsyncConnection.connect(
                            _address(self._settings), autocommit=True
                        )
                    await self._connection.execute("select pg_notify(%s, %s)", (CHANNEL, topics))
            except (Error, TimeoutError):
                await self.close()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Error):
                await connection.close()


class HintListener:
    """Wakes the consumers of this process. One connection for all of them."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._events: dict[str, list[asyncio.Event]] = {}

    @property
    def enabled(self) -> bool:
        return self._settings.hint_url is not None

    def subscribe(self, topics: Iterable[str]) -> asyncio.Event:
        """An event that is set whenever one of the topics grew; its owner clears it before it looks."""
        event = asyncio.Event()
        for topic in topics:
            self._events.setdefault(topic, []).append(event)
        return event

    async def run(self) -> None:
        """Listens until cancelled; connects again after a failure. Returns at once when there is nothing to hear."""
        while self.enabled and self._events:
            try:
                async for payload in notifications(_address(self._settings), CHANNEL):
                    self._wake(self._events if payload is None else payload.split(","))
            except (Error, OSError) as error:
                log.info("hints_lost", reason=str(error))
            await asyncio.sleep(RECONNECT_S)

    def _wake(self, topics: Iterable[str]) -> None:
        for topic in topics:
            for event in self._events.get(topic, ()):
                event.set()
