"""What the tests of the stand-in shops share: a shop, its GraphQL, and somebody who receives its webhooks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from time import monotonic, sleep
from typing import Any

import httpx

SECONDS_MAX = 30
NUMBERS = count(1)


def until(found: Callable[[], Any], *, what: str) -> Any:
    """Wait for something that is true."""
    deadline = monotonic() + SECONDS_MAX
    while not (value := found()):
        assert monotonic() < deadline, f"waited in vain for {what}"
        sleep(0.01)
    return value


@dataclass
class Caught:
    """One webhook as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Takes webhooks; answers the statuses of `answers` first, then 200."""

    url: str = ""
    caught: list[Caught] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    always: int = 200

    def topics(self, header: str) -> list[str]:
        return [one.headers.get(header, "") for one in self.caught]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free loopback port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.caught.append(Caught(self.path, headers, body))
            self.send_response(receiver.answers.pop(0) if receiver.answers else receiver.always)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class TheShop:
    """One shop with the sandbox behind it."""

    root: httpx.Client
    made: dict[str, Any]

    @property
    def control(self) -> str:
        return f"/_sandbox/shops/{self.made['kind']}/{self.made['host']}"

    def do(
        self, path: str, *, method: str = "POST", status: int | None = None, **body: Any
    ) -> dict[str, Any]:
        answer = self.root.request(method, f"{self.control}/{path}", json=body)
        assert answer.status_code == status if status is not None else answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def see(self, path: str = "", **params: Any) -> dict[str, Any]:
        answer = self.root.get(f"{self.control}/{path}".rstrip("/"), params=params)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def graphql(
        self, text: str, /, *, token: str = "", version: str = "2026-07", **variables: Any
    ) -> dict[str, Any]:
        answer = self.root.post(
            f"{self.made['base_url']}/admin/api/{version}/graphql.json",
            json={"query": text, "variables": variables},
            headers={"X-Shopify-Access-Token": token or self.made["access_token"]},
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def subscribe(self, topic: str, address: str) -> dict[str, Any]:
        done = self.graphql(SUBSCRIBE, topic=topic, address=address)["data"]["webhookSubscriptionCreate"]
        assert done["userErrors"] == []
        made: dict[str, Any] = done["webhookSubscription"]
        return made


SUBSCRIBE = """
mutation($topic: WebhookSubscriptionTopic!, $address: URL!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: {callbackUrl: $address, format: JSON}) {
    webhookSubscription { id topic endpoint { ... on WebhookHttpEndpoint { callbackUrl } } }
    userErrors { field message }
  }
}"""


def new_shop(root: httpx.Client, kind: str = "shopify", **given: Any) -> TheShop:
    number = next(NUMBERS)
    host = f"shop-{number}.myshopify.com" if kind == "shopify" else f"shop-{number}.example"
    answer = root.post("/_sandbox/shops", json={"kind": kind, "host": host, **given})
    assert answer.status_code == 201, answer.text
    return TheShop(root, answer.json())
