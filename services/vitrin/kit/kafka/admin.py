"""Topics: declared once in topics.yaml, created by `vitrin topics`, compared at readiness."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from vitrin.kit.kafka.client import REQUEST_TIMEOUT_MS, BrokerUnavailable, Probe
from vitrin.kit.settings import TOPICS_FILE, KafkaSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """One entry of topics.yaml, defaults applied."""

    name: str
    partitions: int
    replication: int
    cleanup: str
    producer: str
    consumers: tuple[str, ...]
    types: tuple[str, ...]
    config: dict[str, str]


class TopicShapeWrong(Exception):
    """The broker has a topic with another number of partitions than topics.yaml declares."""


def load_topics(path: Path = TOPICS_FILE) -> list[TopicSpec]:
    """Every declared topic. OSError or KeyError when the file is not what it should be."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [_spec(name, {**document["defaults"], **entry}) for name, entry in document["topics"].items()]


def _spec(name: str, entry: dict[str, Any]) -> TopicSpec:
    config = {"cleanup.policy": str(entry["cleanup"]), "max.message.bytes": str(entry["record_bytes_max"])}
    if entry["cleanup"] == "compact":
        config["min.compaction.lag.ms"] = str(entry["min_compaction_lag_ms"])
    else:
        config["retention.ms"] = str(entry["retention_ms"])
    return TopicSpec(
        name=name,
        partitions=int(entry["partitions"]),
        replication=int(entry["replication"]),
        cleanup=str(entry["cleanup"]),
        producer=str(entry["producer"]),
        consumers=tuple(entry["consumers"]),
        types=tuple(entry["types"]),
        config=config,
    )


def ensure_topics(settings: KafkaSettings, specs: Sequence[TopicSpec] | None = None) -> list[str]:
    """Create the topics that the broker lacks; returns their names. BrokerUnavailable, TopicShapeWrong."""
    specs = load_topics(settings.topics_file) if specs is None else specs
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
        return [spec.name for spec in specs if _ensure(admin, settings, spec)]
    except KafkaError as error:
        raise BrokerUnavailable(str(error)) from error
    finally:
        admin.close()


def _ensure(admin: Any, settings: KafkaSettings, spec: TopicSpec) -> bool:
    name = settings.topic_prefix + spec.name
    (found,) = admin.describe_topics([name])
    if found["error_code"] == 0 and found["partitions"]:
        _check_shape(spec, len(found["partitions"]))
        return False
    try:
        admin.create_topics(
            {
                name: {
                    "num_partitions": spec.partitions,
                    "replication_factor": settings.replication or spec.replication,
                    "configs": spec.config | _in_sync(settings.replication or spec.replication),
                }
            }
        )
    except TopicAlreadyExistsError:
        return False
    return True


def _in_sync(copies: int) -> dict[str, str]:
    """With copies, an acknowledged record is on all but one of them, so that one broker may be lost at any time."""
    return {"min.insync.replicas": str(copies - 1)} if copies > 2 else {}


def _check_shape(spec: TopicSpec, partitions: int) -> None:
    if partitions != spec.partitions:
        raise TopicShapeWrong(
            f"{spec.name} has {partitions} partitions, topics.yaml declares {spec.partitions}: "
            "the order per key depends on it; recreate the topic"
        )


async def check_topics(probe: Probe, specs: Sequence[TopicSpec]) -> None:
    """For readiness: the broker has every topic, in its declared shape."""
    found = await probe.topics([spec.name for spec in specs])
    for spec in specs:
        _check_shape(spec, found[spec.name].partitions)
