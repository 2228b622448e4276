"""Apache Kafka itself, from Maven Central's jars, on loopback: KRaft with one node or three, for tests.

Every node is broker and controller in one small JVM. Data lives in the directory that the caller gives; ports are
free ones, kept over restarts of a node.
"""

import base64
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from shutil import which
from uuid import uuid4

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from vitrin.kit.embedded.ports import LOOPBACK, free_port
from vitrin.kit.embedded.process import log_tail, spawn, stop

ROOT = Path(__file__).resolve().parents[2]
HEAP_MIB_MAX = 256
START_DEADLINE_S = 60.0
STOP_S = 15.0
JAVA = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)


class KafkaMissing(Exception):
    """Apache Kafka cannot be run here; the message says what is missing."""


@cache
def kafka_jars() -> Path:
    """The folder of the jars, fetched once. KafkaMissing, also at every later call."""
    found = subprocess.run(
        [ROOT / "deploy" / "bin" / "kafka-jars.sh"], capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        raise KafkaMissing((found.stderr.strip() or "deploy/bin/kafka-jars.sh failed").splitlines()[-1])
    return Path(found.stdout.strip())


def _java(jars: Path, *, heap_mib: int) -> list[str]:
    return [*dies_with_parent(), "java", f"-Xmx{heap_mib}m", *JAVA, "-cp", f"{jars}/*"]


def dies_with_parent() -> list[str]:
    """Put before a command: it ends when the test session is killed, where Linux's setpriv is there to say so."""
    return ["setpriv", "--pdeathsig", "KILL"] if which("setpriv") else []


class Node:
    """One broker and controller."""

    def __init__(self, number: int, directory: Path, jars: Path, *, port: int, controller_port: int) -> None:
        self.number = number
        self.port = port
        self.controller_port = controller_port
        self.log_path = directory / f"node-{number}.log"
        self.properties = directory / f"node-{number}.properties"
        self.data_dir = directory / f"node-{number}"
        self.process: subprocess.Popen[bytes] | None = None
        self._jars = jars

    def write_properties(self, nodes: Sequence["Node"]) -> None:
        copies = min(3, len(nodes))
        settings = {
            "process.roles": "broker,controller",
            "node.id": self.number,
            "controller.quorum.voters": ",".join(
                f"{node.number}@{LOOPBACK}:{node.controller_port}" for node in nodes
            ),
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.data_dir,
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": copies,
            "min.insync.replicas": max(1, copies - 1),
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1_000,
            "broker.session.timeout.ms": 3_000,
            "broker.heartbeat.interval.ms": 500,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
            "num.network.threads": 2,
            "num.io.threads": 4,
        }
        self.properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def format(self, cluster_id: str) -> "subprocess.Popen[bytes]":
        command = [*_java(self._jars, heap_mib=64), "kafka.tools.StorageTool", "format"]
        return spawn(
            [*command, "-t", cluster_id, "-c", str(self.properties)],
            log_path=self.log_path,
            environment=os.environ,
        )

    def start(self) -> None:
        """Starts the process; `ApacheKafka.wait` says when the cluster takes requests."""
        command = [*_java(self._jars, heap_mib=HEAP_MIB_MAX), "kafka.Kafka", str(self.properties)]
        self.process = spawn(command, log_path=self.log_path, environment=os.environ)

    def kill(self) -> None:
        """kill -9: nothing is flushed, nobody is told."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process, signals=((signal.SIGTERM, STOP_S),))
            self.process = None


class ApacheKafka:
    """A cluster of one node or three. `start` returns when every node takes requests."""

    def __init__(self, directory: Path, *, nodes: int = 1) -> None:
        ports = [free_port() for _ in range(2 * nodes)]
        self.nodes = [
            Node(
                number + 1,
                directory,
                kafka_jars(),
                port=ports[2 * number],
                controller_port=ports[2 * number + 1],
            )
            for number in range(nodes)
        ]

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{LOOPBACK}:{node.port}" for node in self.nodes)

    def start(self) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
        for node in self.nodes:
            node.write_properties(self.nodes)
        for node, formatting in [(node, node.format(cluster_id)) for node in self.nodes]:
            if formatting.wait(START_DEADLINE_S) != 0:
                raise RuntimeError("\n".join(["kafka.tools.StorageTool failed", *log_tail(node.log_path)]))
        for node in self.nodes:
            node.start()
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def wait(self) -> None:
        """Until every running node says that all running nodes are there. RuntimeError after the deadline."""
        deadline = time.monotonic() + START_DEADLINE_S
        running = [node for node in self.nodes if node.process is not None]
        for node in running:
            while self._brokers_seen_by(node) < len(running):
                assert node.process is not None
                if node.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(
                        "\n".join(
                            [f"Apache Kafka's node {node.number} did not start", *log_tail(node.log_path)]
                        )
                    )
                time.sleep(0.1)

    def stop(self) -> None:
        for node in self.nodes:  # all at once: the last ones would wait for a quorum that is gone
            if node.process is not None:
                node.process.send_signal(signal.SIGTERM)
        for node in self.nodes:
            node.stop()

    def _brokers_seen_by(self, node: Node) -> int:
        try:
            admin = KafkaAdminClient(
                bootstrap_servers=[f"{LOOPBACK}:{node.port}"], client_id="tests", bootstrap_timeout_ms=2_000
            )
        except KafkaError:
            return 0
        try:
            return len(admin.describe_cluster()["brokers"])
        except KafkaError:
            return 0
        finally:
            admin.close()
