"""A real broker, started once per test session on a free port of the loopback."""

from collections.abc import Iterator

import pytest

from vitrin.kit.embedded.broker import BrokerPlace, EmbeddedBroker


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """`.bootstrap` is `127.0.0.1:PORT`."""
    broker = EmbeddedBroker(BrokerPlace(log_path=tmp_path_factory.mktemp("broker") / "broker.log"))
    broker.start()
    yield broker
    broker.stop()
