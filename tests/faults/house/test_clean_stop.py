"""A system of its own that is stopped, killed and started again on the same data: what its broker forgets, and what of
it is sent again."""

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from kafka import KafkaAdminClient
from psycopg import connect

from tests.e2e.system import PLATFORMS, SERVICES, Brand, System, equal, item, until
from vitrin.kit.embedded.postgres import EmbeddedPostgres, PostgresPlace

pytestmark = pytest.mark.embedded_only(reason="the broker is the house's own")

ITEMS = 40
PRODUCERS = ["accounts", "catalog", "shop_sync", "retargeting"]
"""notify publishes nothing, so it has no marker."""
LIVE = {platform: {"live": ITEMS} for platform in PLATFORMS}
SENT_AGAIN = re.compile(r'^vitrin_outbox_rows_again_total\{topic="([^"]+)"\} (\S+)$', re.MULTILINE)


class Restartable(System):
    """`start` again on the same directory and ports. `more` is added to its environment."""

    def stop_by(self, number: signal.Signals) -> str:
        """What it said since its start. SIGKILL: of the supervisor and all its children but two, which the next start
        finds left over: PostgreSQL (where nobody reaps it, a killed one would keep its lock file valid), and the
        sandbox, since a platform does not forget what it accepted."""
        children = [
            entry["pid"]
            for entry in self.state()["processes"]
            if entry["pid"] and entry["name"] not in {"postgres", "sandbox"}
        ]
        if number is signal.SIGKILL:
            for pid in [self.process.pid, *children]:
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
            until(lambda: [pid for pid in children if _runs(pid)], equal([]))
        else:
            code, left = self.stop()
            assert (code, left) == (0, []), self.log()
        return self.log()

    def drop_database(self, name: str) -> None:
        """While nothing of the system runs. The stamp goes too, so that the schema is made at the next start."""
        var = self.directory / "var"
        place = PostgresPlace(data_dir=var / "postgres", log_path=var / "logs" / "postgres.log", fsync=False)
        server = EmbeddedPostgres(place)
        server.start()
        with connect(server.url, autocommit=True) as admin:
            admin.execute(f"drop database {name}")  # type: ignore[call-overload]
        server.stop()
        (var / "schema.json").unlink()

    def sent_again(self) -> dict[str, float]:
        """Rows by topic, since the services started."""
        found: dict[str, float] = {}
        for service in SERVICES:
            for topic, rows in SENT_AGAIN.findall(self.http[service].get("/metrics").text):
                found[topic] = float(rows)
        return {topic: rows for topic, rows in found.items() if rows}

    def markers(self) -> dict[str, str]:
        return {name: answer["drained_at"] for name, answer in self.spine().items()}


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def house() -> Iterator[Restartable]:
    directory = Path(tempfile.mkdtemp(prefix="vitrin-stop-"))
    running = Restartable(directory)
    running.start()
    try:
        yield running
    finally:
        running.stop()
        print(running.log())
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def brand(house: Restartable) -> Brand:
    made = house.new_brand()
    items = [item(f"mug-{number}") for number in range(ITEMS)]
    made.ok("catalog", "POST", "/v1/items:batch", json={"items": items})
    until(made.counts, equal(LIVE))
    return made


def until_price(brand: Brand, item_id: str, price: str) -> None:
    for platform in PLATFORMS:
        until(
            lambda platform=platform: {  # type: ignore[misc]
                one["item_id"]: one["fields"]["price"] for one in brand.shown(platform)
            }.get(item_id),
            equal(price),
            within_s=90.0,
        )


def change(brand: Brand, item_id: str, price: str) -> None:
    body = {"items": [{"id": item_id, "price": price}]}
    assert brand.ok("catalog", "POST", "/v1/offers:batch", json=body)["counts"]["updated"] == 1


@pytest.mark.timeout(240)
def test_the_second_start_after_a_clean_stop_sends_nothing_again(house: Restartable, brand: Brand) -> None:
    before = house.markers()
    said = house.stop_by(signal.SIGINT)
    assert "is not drained" not in said
    house.start()
    assert [name for name, marker in house.markers().items() if marker > before[name]] == PRODUCERS
    change(brand, "mug-1", "21.00 EUR")
    until_price(brand, "mug-1", "21.00 EUR")
    assert house.sent_again() == {}


@pytest.mark.timeout(240)
def test_after_kill_9_of_everything_all_changes_arrive(house: Restartable, brand: Brand) -> None:
    for number in range(2, 12):
        change(brand, f"mug-{number}", f"{number}.50 EUR")
    house.stop_by(signal.SIGKILL)
    house.start()
    for number in range(2, 12):
        until_price(brand, f"mug-{number}", f"{number}.50 EUR")
    until(brand.counts, equal(LIVE))
    assert house.sent_again().get("catalog.offer.v1", 0) >= 1


@pytest.mark.timeout(240)
def test_a_replica_that_was_made_anew_starts_from_the_snapshots(house: Restartable, brand: Brand) -> None:
    """shop_sync's database is dropped while everything stands still; the topics are empty after the start."""
    house.stop_by(signal.SIGINT)
    house.drop_database("vitrin_shop_sync")
    house.start()
    assert house.sent_again() == {}
    channels = until(
        lambda: brand.ok("shop_sync", "GET", "/v1/channels")["data"], lambda found: len(found) == 2
    )
    assert sorted(one["platform"] for one in channels) == sorted(PLATFORMS)
    until(brand.counts, equal(LIVE), within_s=120.0)
    assert house.sent_again() == {}


@pytest.mark.timeout(240)
def test_a_topic_in_the_wrong_shape_waits_for_the_operator(house: Restartable, brand: Brand) -> None:
    topic = "catalog.offer.v1"
    admin = KafkaAdminClient(bootstrap_servers=[str(house.state()["kafka_bootstrap"])])
    admin.delete_topics([topic])
    admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
    admin.close()
    told = until(
        lambda: house.http["catalog"].get("/readyz").json()["checks"]["topics"], lambda said: said != "ok"
    )
    assert told.endswith(
        f"{topic} has 2 partitions, topics.yaml declares 8, and the order per key depends on it:"
        f" run `vitrin topics --recreate {topic}`"
    )
    change(brand, "mug-20", "33.00 EUR")
    refused = house.vitrin("topics", "--json")
    assert (refused.returncode, "topics_wrong" in refused.stderr) == (1, True)
    made = house.vitrin("topics", "--recreate", topic)
    assert made.returncode == 0, made.stderr
    until_price(brand, "mug-20", "33.00 EUR")
    until(lambda: house.http["catalog"].get("/readyz").status_code, equal(200))


@pytest.mark.timeout(240)
def test_the_command_restores_a_deleted_topic(house: Restartable, brand: Brand) -> None:
    topic = "catalog.item.v1"
    house.stop_by(signal.SIGINT)
    house.start()
    done = house.vitrin("republish", topic)
    assert (done.returncode, f"{topic}: {ITEMS} records of" in done.stdout) == (0, True), done
    unknown = house.vitrin("republish", "nobody.v1", "--json")
    assert (unknown.returncode, "topic_unknown" in unknown.stderr) == (4, True)
    until(brand.counts, equal(LIVE))
