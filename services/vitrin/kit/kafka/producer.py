"""Producing a list of records in order, each with its own outcome."""

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from kafka.errors import KafkaError

from vitrin.kit.kafka.client import DELIVERY_TIMEOUT_MS, drop_producer, make_producer
from vitrin.kit.settings import KafkaSettings

ACK_WAIT_S: Final = DELIVERY_TIMEOUT_MS / 1000 + 2


@dataclass(frozen=True, slots=True)
class Record:
    topic: str
    key: str
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """Where a record stands in the log."""

    topic: str
    partition: int
    offset: int


class OrderedProducer:
    """Sends on a thread of its own. After any failure the client is closed: InitProducerId of an old one fails
    for ever on a broker that came back empty. The next call builds a new one."""

    def __init__(self, settings: KafkaSettings, *, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-produce")
        self._client: Any = None

    async def produce(self, records: Sequence[Record], *, until_s: float = math.inf) -> list[Ack | None]:
        """Acks in the order of the records; None where the broker did not confirm. Never raises for the broker.

        Nothing is handed to the client after `until_s` (of time.monotonic()): whoever was stalled must not send what
        somebody else has sent meanwhile.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._produce, records, until_s)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, self._drop)
        self._executor.shutdown(wait=False)

    def _produce(self, records: Sequence[Record], until_s: float) -> list[Ack | None]:
        futures: list[Any] = []
        try:
            if self._client is None:
                self._client = make_producer(self._settings, client_id=self._client_id)
            for record in records:
                if time.monotonic() > until_s:
                    break
                futures.append(self._send(record))
        except (KafkaError, ValueError):  # ValueError: the topic has no such partition (any more)
            pass
        futures += [None] * (len(records) - len(futures))
        acks = [self._ack(record, future) for record, future in zip(records, futures, strict=True)]
        if any(ack is None for ack in acks):
            self._drop()
        return acks

    def _send(self, record: Record) -> Any:
        return self._client.send(
            self._settings.topic_prefix + record.topic,
            key=record.key.encode(),
            value=record.value,
            headers=list(record.headers),
            partition=record.partition,
        )

    def _ack(self, record: Record, future: Any) -> Ack | None:
        if future is None:
            return None
        try:
            metadata = future.get(timeout=ACK_WAIT_S)
        except KafkaError:
            return None
        return Ack(topic=record.topic, partition=metadata.partition, offset=metadata.offset)

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            drop_producer(client)
