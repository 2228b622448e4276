"""topics.yaml, topic constants, event types and the services' code say the same."""

import re
from pathlib import Path

from vitrin.accounts import state as accounts
from vitrin.catalog import state as catalog
from vitrin.events import topics
from vitrin.events.registry import EVENT_TYPES
from vitrin.kit.kafka.admin import load_topics
from vitrin.shop_sync import state as shop_sync

SERVICES = Path(__file__).resolve().parents[2] / "services" / "vitrin"
CONSTANTS = {name: value for name, value in vars(topics).items() if name.isupper() and isinstance(value, str)}


def test_every_topic_is_declared_once_and_named_by_rule() -> None:
    declared = [spec.name for spec in load_topics()]
    assert sorted(declared) == sorted(topics.ALL)
    assert sorted(CONSTANTS.values()) == sorted(topics.ALL)
    for name in declared:
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+\.v[0-9]+", name), name


def test_types_belong_to_the_topic_that_declares_them() -> None:
    declared = {type_: spec.name for spec in load_topics() for type_ in spec.types}
    assert declared == {name: entry.topic for name, entry in EVENT_TYPES.items()}


def test_producers_publish_and_consumers_read_what_is_declared() -> None:
    """The topic's constant or one of its types appears in the code of its producer and of each consumer."""
    for spec in load_topics():
        constant = next(name for name, value in CONSTANTS.items() if value == spec.name)
        assert any(f'"{type_}"' in _source(spec.producer) for type_ in spec.types), (spec.name, spec.producer)
        for consumer in spec.consumers:
            code = _source(consumer)
            assert f"topics.{constant}" in code or "ACCESS_TOPICS" in code, (spec.name, consumer)


def test_the_owner_of_a_compacted_topic_can_say_its_whole_state() -> None:
    """For new replicas and for a topic that was lost (ADR 7)."""
    owned = {
        source.topic
        for service in (accounts.SOURCES, catalog.SOURCES, shop_sync.SOURCES)
        for source in service
    }
    assert owned == {spec.name for spec in load_topics() if spec.cleanup == "compact"}


def test_nobody_else_publishes_it() -> None:
    producers = {type_: spec.producer for spec in load_topics() for type_ in spec.types}
    for folder in ("accounts", "catalog", "shop_sync", "notify", "retargeting"):
        for type_, producer in producers.items():
            if folder != producer:
                assert not re.search(rf'type="{re.escape(type_)}"', _source(folder)), (folder, type_)


def _source(service: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((SERVICES / service).rglob("*.py")))
