"""One sandbox for the folder, reset before each test; the platforms' published contracts, when they are there."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.sandbox import running_sandbox

BATCH = "/catalogs/items/batch"
SPECS = Path(
    os.environ.get("VITRIN_SPECS") or Path(__file__).resolve().parents[2].parent / "shared" / "specs"
)


@cache
def load_spec(name: str) -> dict[str, Any]:
    """A published contract; the test is skipped, with the path, when it is not on this machine."""
    path = SPECS / name
    if not path.is_file():
        pytest.skip(f"the published contract {path} is missing: this test proves nothing here")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


@dataclass(frozen=True)
class PlatformAccount:
    """An account and a client that speaks with its token."""

    url: str
    token: str
    ids: dict[str, str]
    http: httpx.Client
    root: httpx.Client

    @property
    def catalog_id(self) -> str:
        return self.ids["catalog_id"]

    def batch(self, *requests: dict[str, Any], **params: Any) -> httpx.Response:
        """Meta's items_batch."""
        body = {"item_type": "PRODUCT_ITEM", "requests": list(requests), **params}
        return self.http.post(f"/{self.catalog_id}/items_batch", json=body)

    def status(self, handle: str, **params: Any) -> dict[str, Any]:
        """Meta's batch status, once."""
        params = {"handle": handle, "load_ids_of_invalid_requests": True, **params}
        answer = self.http.get(f"/{self.catalog_id}/check_batch_request_status", params=params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["data"][0]
        return found

    def products(self, **params: Any) -> dict[str, Any]:
        """Meta's read-back."""
        answer = self.http.get(f"/{self.catalog_id}/products", params=params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def pins(self, *item_ids: str) -> dict[str, Any]:
        """Pinterest's read-back: item id to attributes, of those that are there."""
        filters = {"catalog_type": "RETAIL", "item_ids": list(item_ids)}
        body = {"country": "US", "language": "EN", "filters": filters}
        answer = self.http.post("/catalogs/items", json=body)
        assert answer.status_code == 200, answer.text
        return {one["item_id"]: one["attributes"] for one in answer.json()["items"] if "attributes" in one}

    def pin_batch(self, *item_ids: str, **changes: Any) -> httpx.Response:
        """Pinterest's items batch of complete items."""
        return self.http.post(BATCH, json=retail(*item_ids, **changes))

    def pin_status(self, batch_id: str) -> dict[str, Any]:
        """Pinterest's batch, polled once."""
        answer = self.http.get(f"{BATCH}/{batch_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def account_of(root: httpx.Client, platform: str) -> PlatformAccount:
    """A fresh account on the platform, with a client of its own."""
    made = root.post("/_sandbox/accounts", json={"platform": platform}).json()
    client = httpx.Client(
        base_url=made["base_url"], headers={"Authorization": f"Bearer {made['access_token']}"}, timeout=20
    )
    return PlatformAccount(made["base_url"], made["access_token"], made["external_ids"], client, root)


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    with running_sandbox(quota=False, batch_latency_ms=0, polls_before_finished=0) as url:
        yield url


@pytest.fixture
def sandbox(sandbox_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox_url, timeout=20) as client:
        client.post("/_sandbox/reset").raise_for_status()
        yield client


@pytest.fixture
def meta(sandbox: httpx.Client) -> Iterator[PlatformAccount]:
    account = account_of(sandbox, "meta")
    with account.http:
        yield account


@pytest.fixture
def pinterest(sandbox: httpx.Client) -> Iterator[PlatformAccount]:
    account = account_of(sandbox, "pinterest")
    with account.http:
        yield account


def meta_item(item_id: str, **changes: Any) -> dict[str, Any]:
    """A complete item in Meta's write shape."""
    return {
        "id": item_id,
        "title": "Linen shirt",
        "description": "A shirt of washed linen.",
        "availability": "in stock",
        "condition": "new",
        "price": "1234.50 USD",
        "link": "https://shop.example/p/shirt",
        "image_link": "https://cdn.example/shirt.jpg",
        "brand": "Holm",
        **changes,
    }


def pinterest_item(**changes: Any) -> dict[str, Any]:
    """Complete attributes in Pinterest's write shape."""
    return {
        "title": "Linen shirt",
        "description": "A shirt of washed linen.",
        "link": "https://shop.example/p/shirt",
        "image_link": ["https://cdn.example/shirt.jpg"],
        "price": "24.99 USD",
        "availability": "in stock",
        **changes,
    }


def create(item_id: str, **changes: Any) -> dict[str, Any]:
    """A request of Meta's items_batch."""
    return {"method": "CREATE", "data": meta_item(item_id, **changes)}


def retail(*item_ids: str, **changes: Any) -> dict[str, Any]:
    """A body of Pinterest's items batch."""
    items = [
        {"operation": "UPSERT", "item_id": item_id, "attributes": pinterest_item(**changes)}
        for item_id in item_ids
    ]
    return {"catalog_type": "RETAIL", "country": "US", "language": "EN", "items": items}


def fault(sandbox: httpx.Client, **spec: Any) -> dict[str, Any]:
    """Activate a fault."""
    answer = sandbox.post("/_sandbox/faults", json=spec)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def total(sandbox: httpx.Client, platform: str, account: PlatformAccount) -> int:
    """Items that the account's catalog holds now."""
    found: int = sandbox.get(f"/_sandbox/state/{platform}/{account.catalog_id}").json()["total"]
    return found


def last_entry(sandbox: httpx.Client) -> dict[str, Any]:
    """The request log's newest entry."""
    found: dict[str, Any] = sandbox.get("/_sandbox/log", params={"limit": 1000}).json()["entries"][-1]
    return found
