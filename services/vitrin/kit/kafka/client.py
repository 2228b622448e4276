"""kafka-python's clients with every setting that matters passed by name, and one error for 'not now'.

Two of its defaults are wrong for us (`enable_auto_commit`, `auto_offset_reset='latest'`), and both clients would
create a lost topic again with the wrong partitions (`allow_auto_create_topics`).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import OffsetSpec
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError

from vitrin.events.envelope import RECORD_BYTES_MAX
from vitrin.kit.kafka.declared import load_topics
from vitrin.kit.metrics import gauge
from vitrin.kit.settings import KafkaSettings

T = TypeVar("T")

REQUEST_TIMEOUT_MS: Final = 4_000
DELIVERY_TIMEOUT_MS: Final = 5_000
RECONNECT_MAX_MS: Final = 1_000
DROP_WAIT_S: Final = 2.0
REQUEST_BYTES_MAX: Final = RECORD_BYTES_MAX + 100_000
BOOTSTRAP_MS: Final = {"group": 5_000, "lock": 1_500}
"""A first contact that takes longer is begun anew: after a restart of the embedded broker a fresh client is there at
once, while one that met the closed port waits on."""
FETCH_WAIT_HINTED_MS: Final = 20
FETCH_WAIT_MS: Final = 500
POLL_RECORDS_MAX: Final = 500

UNUSABLE = gauge(
    "vitrin_topic_unusable",
    "1 while the broker lacks the topic or has it in another shape than declared: it is neither written nor read",
    ["topic"],
)

KafkaFault = KafkaError
"""What any client call may raise; the client is then closed and built anew."""


class BrokerUnavailable(Exception):
    """The broker did not answer, or does not have what was asked for. Try again later."""


class TopicUnusable(BrokerUnavailable):
    """The broker answered: it lacks a topic, or has it in another shape than topics.yaml declares."""


def shape_wrong(name: str, partitions: int, declared: int) -> str:
    return (
        f"{name} has {partitions} partitions, topics.yaml declares {declared}, and the order per key depends on it:"
        f" run `vitrin topics --recreate {name}`"
    )


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """`topic_id` names the incarnation: a topic that was lost and made again has another one."""

    name: str
    topic_id: UUID
    partitions: int


@dataclass(frozen=True, slots=True)
class Place:
    """A partition of one incarnation of a topic."""

    topic: str
    topic_id: UUID
    partition: int


def make_producer(settings: KafkaSettings, *, client_id: str) -> Any:
    """Idempotent, acks=all; a send that is not acknowledged within DELIVERY_TIMEOUT_MS fails."""
    client = KafkaProducer(
        bootstrap_servers=settings.bootstrap.split(","),
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        retries=10,
        delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        max_block_ms=DELIVERY_TIMEOUT_MS,
        bootstrap_timeout_ms=BOOTSTRAP_MS[settings.membership],
        reconnect_backoff_max_ms=RECONNECT_MAX_MS,
        linger_ms=0,
        max_request_size=REQUEST_BYTES_MAX,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )
    return _never_creating(client, client._metadata)


def drop_producer(client: Any) -> None:
    """Ends a producer with whatever it still has; never raises. Its own `close` flushes first, and where that is not
    possible it raises and leaves the sending thread alive, which could send later what we have given up. A
    thread that does not end at once is left without batches: it may be within a round, and sends what it finds."""
    client._sender.force_close()
    client._sender.join(DROP_WAIT_S)
    if client._sender.is_alive():
        client._accumulator.abort_incomplete_batches()
    try:
        client.close(timeout=0)
    except KafkaError:
        client._closed = True  # else its finalizer closes, and raises, once more


class AssignmentUnknown(KafkaError):  # type: ignore[misc]
    """This member was to share the partitions out and does not know them."""


class CertainRange(RangePartitionAssignor):  # type: ignore[misc]
    """kafka-python's range assignor gives out nothing of a topic whose metadata it does not have (a client that is new,
    or has just lost its broker), and the group then stands still, in good health and in silence. This one fails
    instead: its consumer starts anew, and so does the group."""

    @classmethod
    def assign(cls, cluster: Any, members: Any) -> Any:
        topics = {topic for member in members for topic in member.metadata.topics}
        unknown = sorted(topic for topic in topics if not cluster.partitions_for_topic(topic))
        if unknown:
            raise AssignmentUnknown(f"no metadata of {', '.join(unknown)} yet")
        return super().assign(cluster, members)


def make_consumer(settings: KafkaSettings, *, client_id: str, group: str | None) -> Any:
    """A consumer whose offsets live in our database: nothing is committed or reset behind our back."""
    client = KafkaConsumer(
        bootstrap_servers=settings.bootstrap.split(","),
        client_id=client_id,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
        isolation_level="read_uncommitted",
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=max(300, settings.session_timeout_ms // 3),
        partition_assignment_strategy=[CertainRange],
        max_poll_records=POLL_RECORDS_MAX,
        fetch_max_wait_ms=FETCH_WAIT_HINTED_MS if group is None else FETCH_WAIT_MS,
        request_timeout_ms=max(REQUEST_TIMEOUT_MS, settings.session_timeout_ms + 5_000),
        bootstrap_timeout_ms=BOOTSTRAP_MS[settings.membership],
        reconnect_backoff_max_ms=RECONNECT_MAX_MS,
        metrics_enabled=False,
    )
    return _never_creating(client, client._cluster)


def _never_creating(client: Any, metadata: Any) -> Any:
    """kafka-python 3.0.12 takes `allow_auto_create_topics` and does not hand it to the part that asks for metadata, so
    a topic that is gone would come back with the broker's default partitions as soon as an old client asks for it."""
    metadata.config["allow_auto_create_topics"] = False
    return client


class Probe:
    """Asks the broker which topics it has, and in which incarnation. One per process, shared by relay and
    consumers; answers are reused for `fresh_s`."""

    def __init__(self, settings: KafkaSettings, *, fresh_s: float = 1.0) -> None:
        self._settings = settings
        self._fresh_s = fresh_s
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-probe")
        self._lock = asyncio.Lock()
        self._admin: Any = None
        self._known: dict[str, TopicInfo] = {}
        self._asked_at_s = float("-inf")
        self._declared = {spec.name: spec.partitions for spec in load_topics(settings.topics_file)}

    async def topics(self, names: Iterable[str]) -> Mapping[str, TopicInfo]:
        """Info of each named topic. BrokerUnavailable when the broker does not answer; TopicUnusable, with what to do,
        when it lacks one of them or has it in another shape than declared."""
        found, unusable = await self.look(names)
        if unusable:
            raise TopicUnusable("; ".join(unusable.values()))
        return found

    async def look(self, names: Iterable[str]) -> tuple[dict[str, TopicInfo], dict[str, str]]:
        """Those of the topics that can be used, and for each of the others why not. BrokerUnavailable."""
        wanted = list(names)
        async with self._lock:
            now_s = asyncio.get_running_loop().time()
            if now_s - self._asked_at_s > self._fresh_s or any(name not in self._known for name in wanted):
                self._known |= await self._run(self._describe, sorted({*wanted, *self._known}))
                self._asked_at_s = now_s
        unusable = {name: reason for name in wanted if (reason := self._unusable(name))}
        for name in wanted:
            UNUSABLE.labels(topic=name).set(name in unusable)
        return {name: self._known[name] for name in wanted if name not in unusable}, unusable

    def _unusable(self, name: str) -> str | None:
        info = self._known.get(name)
        if info is None:
            return f"the broker has no topic {name}: run `vitrin topics`"
        declared = self._declared.get(name, info.partitions)
        return shape_wrong(name, info.partitions, declared) if info.partitions != declared else None

    async def bounds(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
        """Earliest and end offset of each (topic, partition), as the broker says now. BrokerUnavailable."""
        wanted = list(partitions)
        async with self._lock:
            return await self._run(self._bounds, wanted)

    async def ping(self) -> None:
        """Raises BrokerUnavailable when the broker does not answer; for readiness."""
        async with self._lock:
            await self._run(lambda admin: admin.describe_cluster())

    def forget(self) -> None:
        """The next question goes to the broker: somebody has seen that what we know is old."""
        self._known.clear()

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, self._drop)
        self._executor.shutdown(wait=False)

    async def _run(self, call: Callable[..., T], *args: object) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, self._with_admin, call, *args)
        except KafkaError as error:
            self._known.clear()
            await loop.run_in_executor(self._executor, self._drop)
            raise BrokerUnavailable(str(error)) from error

    def _with_admin(self, call: Callable[..., T], *args: object) -> T:
        if self._admin is None:
            self._admin = KafkaAdminClient(
                bootstrap_servers=self._settings.bootstrap.split(","),
                client_id="vitrin-probe",
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                bootstrap_timeout_ms=BOOTSTRAP_MS[self._settings.membership],
            )
        return call(self._admin, *args)

    def _describe(self, admin: Any, names: list[str]) -> dict[str, TopicInfo]:
        """Topics that exist; a missing one comes with an error code and is left out."""
        prefix = self._settings.topic_prefix
        self._known.clear()
        described = admin.describe_topics([prefix + name for name in names])
        return {
            entry["name"].removeprefix(prefix): TopicInfo(
                name=entry["name"].removeprefix(prefix),
                topic_id=UUID(str(entry["topic_id"])),
                partitions=len(entry["partitions"]),
            )
            for entry in described
            if entry["error_code"] == 0 and entry["partitions"]
        }

    def _bounds(
        self, admin: Any, partitions: list[tuple[str, int]]
    ) -> dict[tuple[str, int], tuple[int, int]]:
        prefix = self._settings.topic_prefix
        tps = {
            TopicPartition(prefix + topic, partition): (topic, partition) for topic, partition in partitions
        }
        first = admin.list_partition_offsets(dict.fromkeys(tps, OffsetSpec.EARLIEST))
        last = admin.list_partition_offsets(dict.fromkeys(tps, OffsetSpec.LATEST))
        return {key: (first[tp].offset, last[tp].offset) for tp, key in tps.items()}

    def _drop(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()
