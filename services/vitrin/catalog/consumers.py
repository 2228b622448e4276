"""What the catalog follows: brands and keys, for its own replica."""

from typing import Final

from vitrin.kit.access import ACCESS_TOPICS, access_handler
from vitrin.kit.clock import Clock
from vitrin.kit.consumer.loop import Consumer
from vitrin.kit.db.database import WorkerDatabase
from vitrin.kit.kafka.client import Probe
from vitrin.kit.kafka.hints import HintListener
from vitrin.kit.settings import KafkaSettings

ACCESS_GROUP: Final = "catalog.access"


def access_consumer(
    *, database: WorkerDatabase, settings: KafkaSettings, probe: Probe, hints: HintListener, clock: Clock
) -> Consumer:
    return Consumer(
        group=ACCESS_GROUP,
        topics=ACCESS_TOPICS,
        handler=access_handler,
        database=database,
        settings=settings,
        probe=probe,
        hints=hints,
        clock=clock,
    )
