"""Producing a list of records in order, each with its own outcome."""

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from kafka.errors import KafkaError

from vitrin.kit.kafka.batches import Batch, Record, hand_over, pack, require_partition, wake_up
from vitrin.kit.kafka.client import DELIVERY_TIMEOUT_MS, DROP_WAIT_S, drop_producer, make_producer
from vitrin.kit.settings import KafkaSettings

DELIVERY_S: Final = DELIVERY_TIMEOUT_MS / 1000


@dataclass(frozen=True, slots=True, eq=False)
class Ack:
    """Where the last record of an acknowledged batch stands in the log. One object per batch."""

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
        """For each record the ack of its batch; None where the broker did not confirm. Never raises for the broker.

        Nothing is handed to the client after `until_s` (of time.monotonic()): whoever was stalled must not send what
        somebody else has sent meanwhile. All acks together are waited for until the delivery time-out after the handing
        over, and where that was late, so that the client and what it still has are gone a delivery time-out after
        `until_s`: kafka-python's sender may send a batch that has expired when the broker comes back.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._produce, records, until_s)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, self._drop)
        self._executor.shutdown(wait=False)

    def _produce(self, records: Sequence[Record], until_s: float) -> list[Ack | None]:
        batches, placed = pack(
            records, topic_prefix=self._settings.topic_prefix, now_ms=int(time.time() * 1000)
        )
        handed_over = self._handed_over(batches, until_s)
        end_s = min(time.monotonic() + DELIVERY_S, until_s + DELIVERY_S - DROP_WAIT_S)
        acks = {id(batch): self._ack(batch, end_s) for batch in handed_over}
        found = [acks.get(id(batch)) for batch in placed]
        found += [None] * (len(records) - len(found))
        if any(ack is None for ack in found):
            self._drop()
        return found

    def _handed_over(self, batches: Sequence[Batch], until_s: float) -> Sequence[Batch]:
        """Those of the batches, the first ones, that the client has taken."""
        known = taken = 0
        with suppress(KafkaError, ValueError):
            if self._client is None:
                self._client = make_producer(self._settings, client_id=self._client_id)
            for batch in batches:
                require_partition(
                    self._client, batch.topic_partition
                )  # may wait, so nothing is under way before
                known += 1
        with suppress(KafkaError):
            for batch in batches[:known]:
                if time.monotonic() > until_s:
                    break
                hand_over(self._client, batch)
                taken += 1
        if taken:
            wake_up(self._client)
        return batches[:taken]

    def _ack(self, batch: Batch, end_s: float) -> Ack | None:
        try:
            offset = batch.last_offset(timeout_s=max(0.0, end_s - time.monotonic()))
        except KafkaError:
            return None
        place = batch.topic_partition
        return Ack(place.topic.removeprefix(self._settings.topic_prefix), place.partition, offset)

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            drop_producer(client)
