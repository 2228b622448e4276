"""A topic read from its beginning to its end: what stands there for each key, in order."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kafka import TopicPartition

from vitrin.events import topics
from vitrin.kit.kafka.client import make_consumer
from vitrin.kit.settings import KafkaSettings
from vitrin.protos.catalog.v1 import events_pb2

QUIET_POLLS = 5


def read_versions(settings: KafkaSettings, *, partitions: int) -> Mapping[str, list[int]]:
    """Key -> the content versions of its records, repeats included. For a topic that nobody writes to any more.

    Ends after some empty polls: the embedded broker's end offset is not to be trusted (deploy/adr/0003).
    """
    client = make_consumer(settings, client_id="reads-all", group=None)
    places = [TopicPartition(settings.topic_prefix + topics.ITEM, number) for number in range(partitions)]
    found: dict[str, list[int]] = defaultdict(list)
    quiet = 0
    try:
        client.assign(places)
        client.seek_to_beginning(*places)
        while quiet < QUIET_POLLS:
            polled = client.poll(timeout_ms=500)
            quiet = 0 if polled else quiet + 1
            for records in polled.values():
                for record in records:
                    changed = events_pb2.ItemChanged.FromString(record.value)
                    found[record.key.decode()].append(changed.content_version)
    finally:
        client.close()
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """`inversions`: a version that came for the first time after a later one. `stale_ends`: keys whose last record is
    not their newest version, so that compaction would keep the wrong one."""

    records: int
    repeats: int
    missing: int
    inversions: int
    stale_ends: int


def judge(found: Mapping[str, Sequence[int]], expected: Mapping[str, int]) -> Verdict:
    """`expected`: key -> its newest version; every version from 1 on must be there."""
    missing = inversions = stale_ends = repeats = 0
    for key, newest in expected.items():
        arrived = found.get(key, ())
        highest, seen = 0, set()
        for version in arrived:
            if version not in seen and version < highest:
                inversions += 1
            highest = max(highest, version)
            seen.add(version)
        missing += newest - len(seen)
        repeats += len(arrived) - len(seen)
        stale_ends += bool(arrived) and arrived[-1] != newest
    records = sum(len(arrived) for arrived in found.values())
    return Verdict(
        records=records, repeats=repeats, missing=missing, inversions=inversions, stale_ends=stale_ends
    )
