"""`vitrin up` as a subprocess on free ports and a directory of its own, and what a test asks of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from vitrin.cli.settings import read_json
from vitrin.kit.embedded.ports import free_port

SOURCES = Path(__file__).parents[2] / "services"
START_S = 90.0
STOP_S = 60.0
SETTLE_S = 60.0
POLL_S = 0.05
STATE_PAGE = 1_000
SERVICES = ("accounts", "catalog", "shop_sync", "notify", "retargeting")
PLATFORMS = ("meta", "pinterest")
URL_SETTINGS = (
    *("VITRIN_ACCOUNTS_URL", "VITRIN_CATALOG_URL", "VITRIN_SHOP_SYNC_URL", "VITRIN_NOTIFY_URL"),
    *("VITRIN_RETARGETING_URL", "VITRIN_SANDBOX_URL"),
)
FOREIGN_SETTINGS = (
    *URL_SETTINGS,
    *("VITRIN_API_KEY", "VITRIN_OPERATOR_TOKEN", "VITRIN_DATABASE_URL", "VITRIN_KAFKA_BOOTSTRAP"),
    *("VITRIN_HINT_DATABASE_URL", "VITRIN_BROKER_PORT"),
)
PORTS = (
    *("ACCOUNTS_HTTP_PORT", "ACCOUNTS_GRPC_PORT", "CATALOG_HTTP_PORT", "CATALOG_GRPC_PORT"),
    *("SHOP_SYNC_HTTP_PORT", "SHOP_SYNC_GRPC_PORT", "NOTIFY_HTTP_PORT", "NOTIFY_GRPC_PORT"),
    *("RETARGETING_HTTP_PORT", "RETARGETING_GRPC_PORT", "SANDBOX_PORT"),
)
Document = dict[str, Any]
Seen = TypeVar("Seen")


def until(
    look: Callable[[], Seen],
    good: Callable[[Seen], bool],
    *,
    within_s: float = SETTLE_S,
    every_s: float = POLL_S,
) -> Seen:
    """What `look` sees once it is `good`; after the deadline the test fails with what it saw last."""
    end = time.monotonic() + within_s
    while not good(seen := look()):
        assert time.monotonic() < end, f"not within {within_s:.0f} s; seen last: {str(seen)[:2000]}"
        time.sleep(every_s)
    return seen


def equal(expected: Seen) -> Callable[[Seen], bool]:
    return lambda seen: seen == expected


@dataclass(frozen=True)
class Brand:
    """A brand with keys, and what it needs to call every service. `accounts` are its sandbox accounts."""

    id: str
    key: str
    test_key: str
    system: "System" = field(repr=False)
    accounts: dict[str, Document] = field(default_factory=dict)
    connections: dict[str, str] = field(default_factory=dict)

    def call(
        self, service: str, method: str, path: str, *, key: str | None = None, **request: Any
    ) -> httpx.Response:
        """With the brand's live owner key, or with `key`."""
        headers = {"Authorization": f"Bearer {key or self.key}", **request.pop("headers", {})}
        return self.system.http[service].request(method, path, headers=headers, **request)

    def ok(self, service: str, method: str, path: str, **request: Any) -> Any:
        answer = self.call(service, method, path, **request)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:1000]}"
        return answer.json() if answer.content else None

    def pages(self, service: str, path: str, **parameters: Any) -> list[Document]:
        found: list[Document] = []
        cursor = None
        while True:
            chosen = {"limit": 500, **parameters, **({"cursor": cursor} if cursor else {})}
            page = self.ok(service, "GET", path, params=chosen)
            found += page["data"]
            if not (cursor := page["next_cursor"]):
                return found

    def new_key(self, **wanted: Any) -> Document:
        """A key of the brand, once every service knows it. `key` is its text."""
        made: Document = self.ok("accounts", "POST", "/v1/api-keys", json={"name": "e2e", **wanted})
        self.system.until_known(made["key"])
        return made

    def connect(self) -> None:
        """Both platforms, to sandbox accounts of the brand's own."""
        for platform in PLATFORMS:
            account = (
                self.system.http["sandbox"].post("/_sandbox/accounts", json={"platform": platform}).json()
            )
            self.accounts[platform] = account
            wanted = {"platform": platform, "mode": "sandbox"} | {
                name: account[name] for name in ("external_ids", "access_token", "base_url")
            }
            wanted["external_ids"] = {
                name: value
                for name, value in account["external_ids"].items()
                if name in {"catalog_id", "business_id", "ad_account_id"}
            }
            self.connections[platform] = self.ok("accounts", "POST", "/v1/connections", json=wanted)["id"]
        until(lambda: len(self.ok("shop_sync", "GET", "/v1/channels")["data"]), equal(len(PLATFORMS)))

    def catalog(self) -> dict[str, Document]:
        """The truth: every item of the brand."""
        return {item["id"]: item for item in self.pages("catalog", "/v1/items")}

    def shown(self, platform: str) -> list[Document]:
        """Every item that the platform holds for the brand now."""
        catalog_id = self.accounts[platform]["external_ids"]["catalog_id"]
        path = f"/_sandbox/state/{platform}/{catalog_id}"
        found: list[Document] = []
        while True:
            page = (
                self.system.http["sandbox"]
                .get(path, params={"offset": len(found), "limit": STATE_PAGE})
                .json()
            )
            found += page["items"]
            if len(found) >= page["total"]:
                return found

    def counts(self) -> dict[str, dict[str, int]]:
        """Items by state, per platform."""
        channels = self.ok("shop_sync", "GET", "/v1/channels")["data"]
        return {channel["platform"]: channel["counts"] for channel in channels}


@dataclass
class System:
    """One `vitrin up`. Everything that runs under it was started by it, and ends with it. `more`: its environment."""

    directory: Path
    more: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] = field(init=False)
    environment: dict[str, str] = field(init=False)
    http: dict[str, httpx.Client] = field(init=False, default_factory=dict)
    ports: dict[str, str] = field(
        init=False, default_factory=lambda: {name: str(free_port()) for name in PORTS}
    )
    _numbers: "count[int]" = field(init=False, default_factory=lambda: count(1))

    def start(self) -> None:
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_SETTINGS}
        self.environment = {
            **kept,
            **self.ports,
            "VITRIN_VAR": str(self.directory / "var"),
            "VITRIN_POSTGRES_FSYNC": "off",
            "PYTHONPATH": str(SOURCES),
            "SANDBOX_QUOTA": "false",
            "SANDBOX_LOG_ENTRIES_MAX": "50000",
            "SANDBOX_LOG_ITEM_IDS_MAX": "5000",
            **self.more,
        }
        with (self.directory / "up.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vitrin.cli", "up"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(self._status_code, equal(0), within_s=START_S, every_s=0.3)
        for name, urls in self.state()["urls"].items():
            limits = httpx.Limits(max_keepalive_connections=2)
            retrying = httpx.HTTPTransport(retries=2, limits=limits)
            self.http[name] = httpx.Client(
                base_url=urls["base"], timeout=30, trust_env=False, transport=retrying
            )

    def stop(self) -> tuple[int | None, list[str]]:
        """Ctrl-C: the exit code, and the names of processes that outlived it."""
        for client in self.http.values():
            client.close()
        children = [entry for entry in self.state().get("processes", []) if entry["pid"]]
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            code = None
            self.process.kill()
            self.process.wait()
        left = [entry for entry in children if psutil.pid_exists(entry["pid"])]
        for entry in left:
            os.kill(entry["pid"], signal.SIGKILL)
        return code, [entry["name"] for entry in left]

    def log(self) -> str:
        return (self.directory / "up.log").read_text()

    def spine(self) -> dict[str, Document]:
        """What /v1/ops/spine of each service says."""
        token = read_json(self.directory / "var" / "secrets.json")["operator_token"]
        headers = {"Authorization": f"Bearer {token}"}
        answers = {name: self.http[name].get("/v1/ops/spine", headers=headers) for name in SERVICES}
        assert {answer.status_code for answer in answers.values()} == {200}
        return {name: answer.json() for name, answer in answers.items()}

    def _status_code(self) -> int:
        assert self.process.poll() is None, self.log()
        if self.state().get("supervisor", {}).get("pid") != self.process.pid:
            return -1  # what is written there is of an earlier run
        return self.vitrin("status", "--json").returncode

    def vitrin(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The command line, as a person beside the running system would use it."""
        return subprocess.run(
            [sys.executable, "-m", "vitrin.cli", *arguments],
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def state(self) -> Document:
        """What `vitrin status --json` prints."""
        return read_json(self.directory / "var" / "state.json")

    def part(self, name: str) -> Document:
        processes: list[Document] = self.state()["processes"]
        return next(entry for entry in processes if entry["name"] == name)

    def kill(self, name: str) -> int:
        """kill -9 of the process that status names; returns how often it had been restarted before."""
        part = self.part(name)
        os.kill(part["pid"], signal.SIGKILL)
        restarts: int = part["restarts"]
        return restarts

    def until_back(self, name: str, restarts: int) -> None:
        """Restarted once more than `restarts`, and ready."""
        until(
            lambda: self.part(name),
            lambda part: part["restarts"] > restarts and part["state"] == "ready" and part["pid"],
        )

    def until_known(self, key: str) -> None:
        """Every service answers the key with anything but 401."""
        headers = {"Authorization": f"Bearer {key}"}
        for service, path in (
            *(("accounts", "brands"), ("catalog", "items"), ("shop_sync", "channels")),
            *(("notify", "webhook_endpoints"), ("retargeting", "events")),
        ):
            until(
                lambda service=service, path=path: self.http[service].get(f"/v1/{path}", headers=headers),  # type: ignore[misc]
                lambda answer: answer.status_code not in {401, 503},
            )

    def new_brand(self, *, connected: bool = True, currency: str = "EUR", market: str = "DE") -> Brand:
        """A brand of the test's own, so that tests do not see each other."""
        number = next(self._numbers)
        token = read_json(self.directory / "var" / "secrets.json")["operator_token"]
        body = {
            "name": f"Holm {number}",
            "slug": f"holm-{number}",
            "storefront_url": f"https://holm-{number}.example",
            "default_currency": currency,
            "default_market": market,
        }
        answer = self.http["accounts"].post(
            "/v1/brands", json=body, headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 201, answer.text
        made = answer.json()
        keys = {key["mode"]: key["key"] for key in made["keys"]}
        self.until_known(keys["live"])
        self.until_known(keys["test"])
        brand = Brand(made["brand"]["id"], keys["live"], keys["test"], self)
        if connected:
            brand.connect()
        return brand

    def openapi(self, service: str) -> Document:
        answer = self.http[service].get("/openapi.json")
        assert answer.status_code == 200
        document: Document = answer.json()
        return document


def item(item_id: str, **fields: Any) -> Document:
    """A whole item, good enough for both platforms."""
    return {
        "id": item_id,
        "title": f"Mug {item_id}",
        "description": "A mug of stoneware.",
        "link": f"https://shop.example/p/{item_id}",
        "image_link": f"https://shop.example/i/{item_id}.jpg",
        "brand": "Holm",
        "price": "10.00 EUR",
        "quantity": 5,
    } | fields


def problem_of(answer: httpx.Response, status: int, code: str) -> Mapping[str, Any]:
    """The problem document; the test fails unless status and code are these and nothing leaks."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document: Mapping[str, Any] = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), answer.text
    assert document["detail"]
    assert "Traceback" not in answer.text
    return document


def parsed(ran: subprocess.CompletedProcess[str]) -> Any:
    """Stdout of a command with --json: one JSON document and nothing else."""
    return json.loads(ran.stdout)
