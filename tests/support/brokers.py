"""The broker that the tests of the spine run on, chosen by `--broker`: the embedded one, or Apache Kafka.

Embedded: a fresh one for each test, it starts in a moment. Apache Kafka: one for the session, where each test has
topics of its own under a prefix of its own. Where Apache Kafka cannot be had, every test that needs it is skipped with
the reason, and the reason is printed at the end as well.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient

from tests.support.apache import ApacheKafka, KafkaMissing, kafka_jars
from vitrin.events import topics
from vitrin.kit.embedded.broker import BrokerPlace, EmbeddedBroker
from vitrin.kit.kafka.admin import TopicSpec, ensure_topics, load_topics
from vitrin.kit.settings import KafkaSettings

Membership = Literal["group", "lock"]
SESSION_TIMEOUT_MS = 1_000


class Broker(Protocol):
    """What a test may ask of either broker."""

    @property
    def bootstrap(self) -> str: ...

    @property
    def prefix(self) -> str:
        """Before every topic of this test."""

    @property
    def membership(self) -> Membership:
        """How consumers of this broker share their partitions in production, or in the embedded profile."""

    def lose_everything(self) -> None:
        """It goes away and comes back without any topic."""


class OwnEmbedded:
    """A broker of one test."""

    prefix = ""
    membership: Membership = "lock"

    def __init__(self, directory: Path) -> None:
        self.running = EmbeddedBroker(BrokerPlace(log_path=directory / "broker.log"))
        self.running.start()

    @property
    def bootstrap(self) -> str:
        return self.running.bootstrap

    def lose_everything(self) -> None:
        assert self.running.process is not None
        self.running.process.kill()
        self.running.process.wait()
        self.running.start()


class SharedKafka:
    """Topics of one test on the session's Apache Kafka."""

    membership: Membership = "group"

    def __init__(self, kafka: ApacheKafka) -> None:
        self.kafka = kafka
        self.prefix = f"t{uuid4().hex[:8]}."

    @property
    def bootstrap(self) -> str:
        return self.kafka.bootstrap

    def lose_everything(self) -> None:
        """Its topics are deleted; those of other tests stay."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap.split(","), client_id="tests")
        try:
            admin.delete_topics([name for name in admin.list_topics() if name.startswith(self.prefix)])
        finally:
            admin.close()


def kafka_settings(broker: Broker, membership: Membership | None = None) -> KafkaSettings:
    """Settings of a process on this broker; the topic of the spine is made where it is missing."""
    settings = KafkaSettings(
        bootstrap=broker.bootstrap,
        membership=membership or broker.membership,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        topic_prefix=broker.prefix,
    )
    ensure_topics(settings, spine_topics())
    return settings


def spine_topics() -> list[TopicSpec]:
    return [spec for spec in load_topics() if spec.name == topics.ITEM]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker",
        choices=["embedded", "kafka"],
        default="embedded",
        help="what tests/conformance and tests/faults run on (Apache Kafka needs java and mvn)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = config.getoption("--broker")
    for item in items:
        for marker, other in (("embedded_only", "kafka"), ("kafka_only", "embedded")):
            found = item.get_closest_marker(marker)
            if found is not None and chosen == other:
                item.add_marker(pytest.mark.skip(reason=f"{marker}: {found.kwargs['reason']}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--broker") == "kafka" and (reason := _missing()):
        terminalreporter.write_line(f"NOT TESTED ON APACHE KAFKA: {reason}", red=True, bold=True)


def _missing() -> str | None:
    try:
        kafka_jars()
    except KafkaMissing as missing:
        return str(missing)
    return None


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """One node, for the session."""
    if reason := _missing():
        pytest.skip(reason)
    kafka = ApacheKafka(tmp_path_factory.mktemp("kafka"))
    kafka.start()
    yield kafka
    kafka.stop()


@pytest.fixture
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The chosen one, empty. Tests of either kind say so by `embedded_only` or `kafka_only`."""
    if request.config.getoption("--broker") == "kafka":
        yield SharedKafka(request.getfixturevalue("apache_kafka"))
        return
    own = OwnEmbedded(tmp_path_factory.mktemp("broker"))
    yield own
    own.running.stop()
