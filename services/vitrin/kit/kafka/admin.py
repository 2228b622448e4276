"""Topics: declared once in topics.yaml, created by `vitrin topics`, compared at readiness."""

import time
from collections.abc import Collection, Sequence
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from vitrin.kit.kafka.client import REQUEST_TIMEOUT_MS, BrokerUnavailable, Probe, shape_wrong
from vitrin.kit.kafka.declared import TopicSpec, load_topics
from vitrin.kit.settings import KafkaSettings

__all__ = ["TopicShapeRight", "TopicShapeWrong", "TopicSpec", "check_topics", "ensure_topics", "load_topics"]

GONE_WITHIN_S: Final = 30.0
GONE_POLL_S: Final = 0.1


class TopicShapeWrong(Exception):
    """The broker has a topic with another number of partitions than topics.yaml declares."""


class TopicShapeRight(Exception):
    """What was to be recreated is as declared, or not declared at all; nothing was touched."""


def ensure_topics(
    settings: KafkaSettings, specs: Sequence[TopicSpec] | None = None, *, recreate: Collection[str] = ()
) -> list[str]:
    """Create the topics that the broker lacks; returns their names.

    `recreate`: topics that the broker has in the wrong shape, to be deleted with all they hold and made again. A topic
    in the wrong shape that is not named raises TopicShapeWrong, after the others were made. BrokerUnavailable,
    TopicShapeRight.
    """
    specs = load_topics(settings.topics_file) if specs is None else specs
    unknown = sorted(set(recreate) - {spec.name for spec in specs})
    if unknown:
        raise TopicShapeRight(f"not declared: {', '.join(unknown)}")
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=settings.bootstrap.split(","),
            client_id="vitrin-topics",
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
        )
    except KafkaError as error:
        raise BrokerUnavailable(f"no broker at {settings.bootstrap}: {error}") from error
    try:
        return _ensure_all(admin, settings, specs, recreate)
    except KafkaError as error:
        raise BrokerUnavailable(str(error)) from error
    finally:
        admin.close()


def _ensure_all(
    admin: Any, settings: KafkaSettings, specs: Sequence[TopicSpec], recreate: Collection[str]
) -> list[str]:
    names = {spec.name: settings.topic_prefix + spec.name for spec in specs}
    found = {spec.name: _partitions(admin, names[spec.name]) for spec in specs}
    wrong = {spec.name for spec in specs if found[spec.name] not in (0, spec.partitions)}
    right = sorted(name for name in recreate if name not in wrong and found[name])
    if right:
        raise TopicShapeRight(f"in its declared shape: {', '.join(right)}")
    made = []
    for spec in specs:
        if spec.name in wrong and spec.name in recreate:
            _delete(admin, names[spec.name])
        elif found[spec.name]:
            continue
        if _create(admin, names[spec.name], spec, copies=settings.replication or spec.replication):
            made.append(spec.name)
    left = [spec for spec in specs if spec.name in wrong - set(recreate)]
    if left:
        raise TopicShapeWrong("; ".join(shape_wrong(s.name, found[s.name], s.partitions) for s in left))
    return made


def _partitions(admin: Any, name: str) -> int:
    """0: the broker has no such topic."""
    (found,) = admin.describe_topics([name])
    return len(found["partitions"]) if found["error_code"] == 0 else 0


def _delete(admin: Any, name: str) -> None:
    """Apache Kafka deletes in the background; a topic made before that is over would be refused."""
    admin.delete_topics([name])
    end = time.monotonic() + GONE_WITHIN_S
    while _partitions(admin, name):
        if time.monotonic() > end:
            raise BrokerUnavailable(f"{name} is still there {GONE_WITHIN_S:.0f} s after it was deleted")
        time.sleep(GONE_POLL_S)


def _create(admin: Any, name: str, spec: TopicSpec, *, copies: int) -> bool:
    try:
        admin.create_topics(
            {
                name: {
                    "num_partitions": spec.partitions,
                    "replication_factor": copies,
                    "configs": spec.config | _in_sync(copies),
                }
            }
        )
    except TopicAlreadyExistsError:
        return False
    return True


def _in_sync(copies: int) -> dict[str, str]:
    """With copies, an acknowledged record is on all but one of them, so that one broker may be lost at any time."""
    return {"min.insync.replicas": str(copies - 1)} if copies > 2 else {}


async def check_topics(probe: Probe, specs: Sequence[TopicSpec]) -> None:
    """For readiness: the broker has every topic, in its declared shape. BrokerUnavailable says which it has not."""
    await probe.topics([spec.name for spec in specs])
