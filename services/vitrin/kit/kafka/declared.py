"""What topics.yaml declares. Kafka is not needed to read it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vitrin.kit.settings import TOPICS_FILE


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
