"""Where things are: the `VITRIN_VAR` directory, and the addresses of the services.

An address comes from its own variable, else from the running `vitrin up`, else it is the default.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

HOST = "127.0.0.1"
DEMO_KEYS = ("brand_id", "name", "key", "test_key", "catalog_name")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one service listens by default, and the variable that says otherwise."""

    name: str
    url_setting: str
    default_url: str


PLACES: Mapping[str, Place] = {
    place.name: place
    for place in (
        Place("accounts", "VITRIN_ACCOUNTS_URL", f"http://{HOST}:8001"),
        Place("catalog", "VITRIN_CATALOG_URL", f"http://{HOST}:8002"),
        Place("shop_sync", "VITRIN_SHOP_SYNC_URL", f"http://{HOST}:8003"),
        Place("notify", "VITRIN_NOTIFY_URL", f"http://{HOST}:8006"),
        Place("retargeting", "VITRIN_RETARGETING_URL", f"http://{HOST}:8005"),
        Place("sandbox", "VITRIN_SANDBOX_URL", f"http://{HOST}:8090"),
    )
}


@dataclass(frozen=True, slots=True)
class Var:
    """The directory where a local Vitrin keeps its data (`VITRIN_VAR`, default `var` here)."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Var":
        return cls(Path(os.environ.get("VITRIN_VAR") or "var").resolve())

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets.json"

    @property
    def demo(self) -> Path:
        return self.root / "demo.json"

    @property
    def schema(self) -> Path:
        return self.root / "schema.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"


def read_json(path: Path) -> dict[str, object]:
    """The object in the file; empty when there is none, or one that was cut off."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def write_private_json(path: Path, document: object) -> None:
    """Replace the file at once, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2, ensure_ascii=False, default=_as_text)
        file.write("\n")
    draft.replace(path)


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def demo_brand(var: Var) -> dict[str, object] | None:
    """Of a demo that was told on this directory: the brand and its keys; None before."""
    stored = read_json(var.demo)
    return {name: stored.get(name) for name in DEMO_KEYS} if stored.get("key") else None


def running_bootstrap() -> str | None:
    """Where the broker of a local `vitrin up` listens."""
    found = read_json(Var.from_environment().state).get("kafka_bootstrap")
    return str(found) if found else None


def service_url(name: str) -> str:
    """Base URL of a service, without a final slash."""
    place = PLACES[name]
    named = os.environ.get(place.url_setting)
    if named:
        return named.rstrip("/")
    urls = read_json(Var.from_environment().state).get("urls")
    if isinstance(urls, dict) and isinstance(urls.get(name), dict):
        return str(urls[name]["base"]).rstrip("/")
    return place.default_url


def api_key(given: str | None) -> str | None:
    """`--key`, else VITRIN_API_KEY, else the demo brand's key of a local `vitrin up`."""
    if given:
        return given
    named = os.environ.get("VITRIN_API_KEY")
    if named:
        return named
    key = read_json(Var.from_environment().demo).get("key")
    return str(key) if key else None


def operator_token() -> str | None:
    """VITRIN_OPERATOR_TOKEN, else the one that a local `vitrin up` made."""
    named = os.environ.get("VITRIN_OPERATOR_TOKEN")
    if named:
        return named
    token = read_json(Var.from_environment().secrets).get("operator_token")
    return str(token) if token else None
