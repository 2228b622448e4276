"""A fresh database of the test service, and the chosen broker with its topic."""

import pytest

from tests.support.brokers import Broker, kafka_settings
from tests.support.spine import database_settings, install
from vitrin.kit.settings import DatabaseSettings, KafkaSettings


@pytest.fixture
def database(postgres_url: str, broker: Broker) -> DatabaseSettings:
    """Hints are the embedded profile's: Apache Kafka wakes its fetches itself."""
    settings = database_settings(postgres_url, hints=broker.membership == "lock")
    install(settings)
    return settings


@pytest.fixture
def kafka(broker: Broker) -> KafkaSettings:
    return kafka_settings(broker)
