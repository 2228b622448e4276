"""Writes the OpenAPI document of every service to the folder it is given: `make docs` writes deploy/openapi.

An app is built from its own `build_app` with nothing behind it: a document needs routes, not databases.
"""

import base64
import importlib
import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any

SERVICES = ("accounts", "catalog", "shop_sync", "notify", "retargeting")
_RING = "k1:" + base64.b64encode(bytes(32)).decode()
SETTINGS = {
    "VITRIN_DATABASE_URL": "postgresql://nobody@127.0.0.1/postgres",
    "VITRIN_SERVICE_TOKEN": "nobody-asks-with-this",
    "ACCOUNTS_TOKEN_KEYS": _RING,
    "CATALOG_SPOOL_KEYS": _RING,
    "NOTIFY_SECRET_KEYS": _RING,
    "RETARGETING_SPOOL_KEYS": _RING,
}
"""What settings ask for; none of it is in a document."""


class Nothing:
    """Whatever an app keeps for its requests; nobody asks it anything here."""

    def __getattr__(self, name: str) -> "Nothing":
        return Nothing()

    def __call__(self, *_: object, **__: object) -> "Nothing":
        return Nothing()


def document(service: str) -> dict[str, Any]:
    """As the service answers it at /openapi.json."""
    settings = importlib.import_module(f"vitrin.{service}.settings").load_settings()
    build = importlib.import_module(f"vitrin.{service}.main").build_app
    given = {name: Nothing() for name in list(inspect.signature(build).parameters)[1:]}
    for name in ("readiness", "state"):
        if name in given:
            given[name] = {}  # type: ignore[assignment]
    found: dict[str, Any] = build(settings, **given).openapi()
    return found


def text(service: str) -> str:
    return json.dumps(document(service), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main(folder: Path) -> int:
    os.environ.update(SETTINGS)
    folder.mkdir(parents=True, exist_ok=True)
    for service in SERVICES:
        (folder / f"{service}.json").write_text(text(service), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
