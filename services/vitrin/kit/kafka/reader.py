"""The Kafka side of a consumer: one client on a thread of its own, and who may read which partition."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from kafka import ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition

from vitrin.kit.kafka.client import Place, TopicInfo, make_consumer
from vitrin.kit.settings import KafkaSettings

T = TypeVar("T")

ASSIGN_WAIT_S: Final = 30

Seek = Callable[[Sequence[Place]], Awaitable[Mapping[Place, int]]]
"""Given the partitions that were assigned, where to start each."""


class LogReader:
    """Poll, seek, look at the ends. In a group the broker assigns; under a lock we read every partition."""

    def __init__(self, settings: KafkaSettings, *, group: str, topics: Mapping[str, TopicInfo]) -> None:
        self._settings = settings
        self._group = group
        self._topics = topics
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"kafka-{group}")
        self._client: Any = None
        self.places: list[Place] = []

    async def open(self, seek: Seek) -> None:
        loop = asyncio.get_running_loop()
        await self._run(self._open)
        if self._settings.membership == "lock":
            self.places = [
                Place(info.name, info.topic_id, partition)
                for info in self._topics.values()
                for partition in range(info.partitions)
            ]
            await self._run(lambda: self._client.assign([self._tp(place) for place in self.places]))
            await self.seek(await seek(self.places))
        else:
            listener = _Assignments(self, seek, loop)
            names = [self._settings.topic_prefix + name for name in self._topics]
            await self._run(lambda: self._client.subscribe(names, listener=listener))
            await self._run(lambda: [self._client.partitions_for_topic(name) for name in names])

    async def poll(self, *, timeout_ms: int) -> list[tuple[Place, Any]]:
        """Records in order per partition; empty when nothing came in time."""
        found = await self._run(lambda: self._client.poll(timeout_ms=timeout_ms))
        return [(self.place(tp), record) for tp, records in found.items() for record in records]

    async def seek(self, offsets: Mapping[Place, int]) -> None:
        await self._run(lambda: self.seek_now(offsets))

    def seek_now(self, offsets: Mapping[Place, int]) -> None:
        for place, offset in offsets.items():
            self._client.seek(self._tp(place), offset)

    async def committed(self, moves: Mapping[Place, tuple[int, int]]) -> None:
        """Tell the group where we are, for those who watch the lag; the truth stays in our database."""
        if self._settings.membership == "lock":
            return
        offsets = {self._tp(place): OffsetAndMetadata(next_, "", -1) for place, (_, next_) in moves.items()}
        await self._run(lambda: self._client.commit_async(offsets))

    async def close(self) -> None:
        await self._run(self._close)
        self._executor.shutdown(wait=False)

    def place(self, tp: Any) -> Place:
        name = tp.topic.removeprefix(self._settings.topic_prefix)
        return Place(name, self._topics[name].topic_id, tp.partition)

    def _tp(self, place: Place) -> Any:
        return TopicPartition(self._settings.topic_prefix + place.topic, place.partition)

    def _open(self) -> None:
        group = self._group if self._settings.membership == "group" else None
        self._client = make_consumer(self._settings, client_id=f"vitrin-{self._group}", group=group)

    def _close(self) -> None:
        if self._client is not None:
            self._client.close(timeout_ms=1_000)

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


class _Assignments(ConsumerRebalanceListener):  # type: ignore[misc]
    """Called inside poll(), on the client's thread: our loop says where each partition starts."""

    def __init__(self, reader: LogReader, seek: Seek, loop: asyncio.AbstractEventLoop) -> None:
        self._reader = reader
        self._seek = seek
        self._loop = loop

    def on_partitions_revoked(self, revoked: Any) -> None:
        self._reader.places = []

    def on_partitions_assigned(self, assigned: Any) -> None:
        places = [self._reader.place(tp) for tp in assigned]
        self._reader.places = places
        offsets = asyncio.run_coroutine_threadsafe(self._load(places), self._loop).result(ASSIGN_WAIT_S)
        self._reader.seek_now(offsets)

    async def _load(self, places: Sequence[Place]) -> Mapping[Place, int]:
        return await self._seek(places)
