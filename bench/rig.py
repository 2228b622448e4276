"""The real PostgreSQL (and broker) with a service's real schema, for claims about single parts.

Commits are durable (fsync on), as in production: a benchmark of commits without it would measure something else.
"""

import asyncio
import shutil
import statistics
import tempfile
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import uvloop
from kafka import KafkaAdminClient
from pydantic import SecretStr

from vitrin.kit.db.migrate import create_hint_database, migrate
from vitrin.kit.db.urls import Role, libpq_url, role_url, server_url
from vitrin.kit.embedded.broker import BrokerPlace, EmbeddedBroker
from vitrin.kit.embedded.postgres import EmbeddedPostgres, PostgresPlace
from vitrin.kit.settings import DatabaseSettings, KafkaSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rig:
    """`settings` as the services get them; `kafka` only where a broker was asked for."""

    settings: DatabaseSettings
    service: str
    kafka: KafkaSettings

    def admin(self) -> "psycopg.Connection[Any]":
        """The superuser in the service's database, outside row-level security: fills tables, reads statistics."""
        url = server_url(self.settings).set(database=role_url(self.settings, self.service, "owner").database)
        return psycopg.connect(libpq_url(url), autocommit=True)

    def address(self, role: Role) -> str:
        return libpq_url(role_url(self.settings, self.service, role))


@contextmanager
def rig(service: str, *, topics: Sequence[str] = (), fsync: bool = True) -> Iterator[Rig]:
    """`topics`: made with 8 partitions on a broker of its own; none, and there is no broker."""
    directory = Path(tempfile.mkdtemp(prefix="vitrin-bench-"))
    server = EmbeddedPostgres(
        PostgresPlace(data_dir=directory / "data", log_path=directory / "postgres.log", fsync=fsync)
    )
    broker = EmbeddedBroker(BrokerPlace(log_path=directory / "broker.log")) if topics else None
    server.start()
    try:
        hints = server.url.replace("/postgres?", "/vitrin_hint?")
        settings = DatabaseSettings(url=SecretStr(server.url), hint_url=SecretStr(hints))
        migrate(settings, service)
        create_hint_database(settings)
        kafka = KafkaSettings(bootstrap="127.0.0.1:1", membership="lock")
        if broker is not None:
            broker.start()
            kafka = KafkaSettings(bootstrap=broker.bootstrap, membership="lock")
            admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
            admin.create_topics({topic: {"num_partitions": 8, "replication_factor": 1} for topic in topics})
            admin.close()
        yield Rig(settings, service, kafka)
    finally:
        if broker is not None:
            broker.stop()
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def pooled(settings: DatabaseSettings, connections: int) -> DatabaseSettings:
    return replace_settings(settings, app_pool_max=connections, worker_pool_max=connections)


def replace_settings(settings: DatabaseSettings, **values: Any) -> DatabaseSettings:
    return settings.model_copy(update=values)


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """As the services run: uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Log-log slope by least squares."""
    fit = statistics.linear_regression([log(size) for size in sizes], [log(cost) for cost in costs])
    return fit.slope
