"""The hops of one change without Vitrin's code: HTTP in, commit, relay's read, produce, hint, poll, commit, HTTP out.

One row per table, no row-level security, no validation, no batching: what the parts cost by themselves. Every hop waits
for the one before it, as in the real path. uvloop, httptools, crc32c, psycopg's C extension.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import uvicorn
from kafka import KafkaAdminClient, TopicPartition

from vitrin.kit.embedded.ports import free_port
from vitrin.kit.kafka.client import make_consumer, make_producer
from vitrin.kit.settings import KafkaSettings

TABLE = (
    "create table if not exists bare_{name} (id bigint generated always as identity primary key, body bytea)"
)


class _Wire(BaseHTTPRequestHandler):
    """The platform: notes when a request arrived."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    arrived = threading.Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        type(self).arrived.set()
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        return


class BareHops:
    """`measure()` answers the milliseconds from a client's request to the platform's."""

    def __init__(self, *, database_url: str, bootstrap: str) -> None:
        self._url = database_url
        self._kafka = KafkaSettings(bootstrap=bootstrap, membership="lock")
        self._topic = f"bare.{uuid4().hex}"
        self._written = threading.Event()
        self._stopping = False

    @contextmanager
    def running(self) -> Iterator["BareHops"]:
        admin = KafkaAdminClient(bootstrap_servers=self._kafka.bootstrap)
        admin.create_topics({self._topic: {"num_partitions": 1, "replication_factor": 1}})
        admin.close()
        with psycopg.connect(self._url, autocommit=True) as connection:
            for name in ("items", "outbox", "replica"):
                connection.execute(TABLE.format(name=name))
        wire = HTTPServer(("127.0.0.1", 0), _Wire)
        self._platform = f"http://127.0.0.1:{wire.server_port}/"
        port = free_port()
        config = uvicorn.Config(self._app, port=port, log_level="error", lifespan="off", interface="asgi3")
        server = uvicorn.Server(config)
        threads = [
            threading.Thread(target=wire.serve_forever, daemon=True),
            threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True),
            threading.Thread(target=self._relay, daemon=True),
            threading.Thread(target=self._consume, daemon=True),
        ]
        for thread in threads:
            thread.start()
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}")
        time.sleep(1.5)
        yield self
        self._stopping = True
        server.should_exit = True
        self._written.set()
        wire.shutdown()
        for thread in threads:
            thread.join(5)

    def measure(self) -> float:
        _Wire.arrived.clear()
        began = time.perf_counter()
        self._client.post("/", content=b'{"id": "1", "price": "10.00 EUR"}')
        assert _Wire.arrived.wait(10), "the bare path lost a change"
        return (time.perf_counter() - began) * 1000

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        if not hasattr(self, "_writer"):
            self._writer = await psycopg.AsyncConnection.connect(self._url)
        async with self._writer.transaction():
            await self._writer.execute("insert into bare_items (body) values (%s)", (body,))
            await self._writer.execute("insert into bare_outbox (body) values (%s)", (body,))
        self._written.set()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    def _relay(self) -> None:
        producer = make_producer(self._kafka, client_id="bare")
        last = 0
        with (
            psycopg.connect(self._url, autocommit=True) as connection,
            psycopg.connect(self._url, autocommit=True) as hints,
        ):
            row = connection.execute("select coalesce(max(id), 0) from bare_outbox").fetchone()
            last = row[0] if row else 0
            while not self._stopping:
                self._written.wait()
                self._written.clear()
                for number, body in connection.execute(
                    "select id, body from bare_outbox where id > %s order by id", (last,)
                ).fetchall():
                    producer.send(self._topic, key=b"1", value=body).get(timeout=5)
                    hints.execute("select pg_notify('bare_hint', '')")
                    last = number
        producer.close()

    def _consume(self) -> None:
        consumer = make_consumer(self._kafka, client_id="bare", group=None)
        partition = TopicPartition(self._topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        with (
            psycopg.connect(self._url, autocommit=True) as hints,
            psycopg.connect(self._url) as connection,
            httpx.Client() as platform,
        ):
            hints.execute("listen bare_hint")
            while not self._stopping:
                for _ in hints.notifies(timeout=0.5, stop_after=1):
                    self._deliver(consumer, connection, platform)
        consumer.close()

    def _deliver(self, consumer: Any, connection: "psycopg.Connection[Any]", platform: httpx.Client) -> None:
        """The hint may be ahead of the fetch by a moment: poll until the record is there."""
        found: list[Any] = []
        while not found and not self._stopping:
            found = [record for records in consumer.poll(timeout_ms=100).values() for record in records]
        for record in found:
            connection.execute("insert into bare_replica (body) values (%s)", (record.value,))
            connection.commit()
            platform.post(self._platform, content=record.value)
