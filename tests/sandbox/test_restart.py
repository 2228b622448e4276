"""The sandbox as a process of its own: what a stop, a kill and a reset leave in the state file."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import orjson
import pytest

from tests.sandbox.conftest import PlatformAccount, account_of, fault, meta_item, pinterest_item
from vitrin.kit.embedded.ports import free_port

SERVICES = Path(__file__).resolve().parents[2] / "services"
START_SECONDS_MAX = 30
WRITTEN_SECONDS_MAX = 30


class Running:
    """A sandbox in a process, and a client of its own commands."""

    def __init__(self, process: subprocess.Popen[bytes], client: httpx.Client) -> None:
        self.process, self.client = process, client

    def end(self, number: signal.Signals) -> int:
        """Send the signal and wait; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=START_SECONDS_MAX)

    def accounts(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = self.client.get("/_sandbox/accounts?all=1").json()
        for account in found["meta"] + found["pinterest"]:
            account["base_url"] = httpx.URL(account["base_url"]).path  # the port is another one each time
        return found

    def items(self, platform: str, catalog_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get(f"/_sandbox/state/{platform}/{catalog_id}").json()[
            "items"
        ]
        return found


@contextmanager
def sandbox_process(state: Path) -> Iterator[Running]:
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(SERVICES),
        "SANDBOX_PORT": str(port),
        "SANDBOX_STATE_FILE": str(state),
        "SANDBOX_QUOTA": "false",
        "SANDBOX_BATCH_LATENCY_MS": "0",
        "SANDBOX_POLLS_BEFORE_FINISHED": "0",
    }
    command = [sys.executable, "-m", "vitrin.sandbox.main"]
    with (
        subprocess.Popen(command, env=environment) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
    ):
        try:
            _wait_until_ready(process, client)
            yield Running(process, client)
        finally:
            process.kill()


def _wait_until_ready(process: subprocess.Popen[bytes], client: httpx.Client) -> None:
    deadline = monotonic() + START_SECONDS_MAX
    while True:
        try:
            client.get("/readyz").raise_for_status()
        except httpx.TransportError:
            if process.poll() is not None or monotonic() > deadline:
                raise
            sleep(0.05)
        else:
            return


def _wait_until_written(state: Path, text: bytes) -> None:
    deadline = monotonic() + WRITTEN_SECONDS_MAX
    while text not in state.read_bytes():
        assert monotonic() < deadline, "the change never came into the file"
        sleep(0.05)


def send(account: PlatformAccount, *item_ids: str) -> str:
    requests = [{"method": "CREATE", "data": meta_item(one)} for one in item_ids]
    handle: str = account.batch(*requests).json()["handles"][0]
    return handle


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_stop_keeps_everything_and_ends_with_0(tmp_path: Path, number: signal.Signals) -> None:
    state = tmp_path / "var" / "sandbox" / "state"
    with sandbox_process(state) as first:
        meta, pinterest = account_of(first.client, "meta"), account_of(first.client, "pinterest")
        expired = account_of(first.client, "meta")
        handle = send(meta, "a", "b")
        body = {"catalog_type": "RETAIL", "country": "US", "language": "EN"}
        item = {"operation": "UPSERT", "item_id": "p", "attributes": pinterest_item()}
        batch = pinterest.http.post("/catalogs/items/batch", json={**body, "items": [item]}).json()
        command = {"platform": "meta", "access_token": expired.token, "state": "expired"}
        first.client.post("/_sandbox/tokens", json=command).raise_for_status()
        accounts, items = first.accounts(), first.items("meta", meta.catalog_id)
        pins = first.items("pinterest", pinterest.catalog_id)
        assert ([one["item_id"] for one in items], len(pins)) == (["a", "b"], 1)
        assert first.end(number) == 0

    with sandbox_process(state) as second:
        assert second.accounts() == accounts
        assert second.items("meta", meta.catalog_id) == items
        assert second.items("pinterest", pinterest.catalog_id) == pins
        polls = {"handle": handle, "access_token": meta.token}
        path = f"/graph.facebook.com/v26.0/{meta.catalog_id}/check_batch_request_status"
        assert second.client.get(path, params=polls).json()["data"][0]["status"] == "finished"
        headers = {"Authorization": f"Bearer {pinterest.token}"}
        path = f"/api.pinterest.com/v5/catalogs/items/batch/{batch['batch_id']}"
        assert second.client.get(path, headers=headers).json()["status"] == "COMPLETED"
        refused = second.client.get("/graph.facebook.com/v26.0/me", params={"access_token": expired.token})
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, 190)
        assert second.client.get("/_sandbox/log").json()["entries"][0]["seq"] == 1


def test_batches_that_went_wrong_and_product_sets_survive(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with sandbox_process(state) as first:
        meta, pinterest = account_of(first.client, "meta"), account_of(first.client, "pinterest")
        fault(first.client, kind="stuck_batch", platform="meta")
        stuck = send(meta, "a")
        fault(first.client, kind="lose_handle", platform="meta")
        lost = send(meta, "b")
        fault(first.client, kind="half_batch", platform="pinterest", item_ids=["y"])
        batch_id = pinterest.pin_batch("x", "y").json()["batch_id"]
        made = meta.http.post(f"/{meta.catalog_id}/product_sets", json={"name": "All"}).json()["id"]
        assert first.end(signal.SIGTERM) == 0

    with sandbox_process(state) as second:
        assert second.client.get("/_sandbox/faults").json() == {"faults": []}
        graph = f"/graph.facebook.com/v26.0/{meta.catalog_id}/check_batch_request_status"
        token = {"access_token": meta.token}
        answer = second.client.get(graph, params={"handle": stuck, **token})
        assert answer.json()["data"][0]["status"] == "started"
        answer = second.client.get(graph, params={"handle": lost, **token})
        assert answer.json()["error"]["code"] == 100
        answer = second.client.get(
            f"/api.pinterest.com/v5/catalogs/items/batch/{batch_id}",
            headers={"Authorization": f"Bearer {pinterest.token}"},
        )
        assert [one["item_id"] for one in answer.json()["items"]] == ["x"]
        answer = second.client.get(f"/graph.facebook.com/v26.0/{made}/products", params=token)
        assert [one["retailer_id"] for one in answer.json()["data"]] == ["a", "b"]


def test_a_kill_loses_only_what_was_not_written_yet(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with sandbox_process(state) as first:
        meta = account_of(first.client, "meta")
        send(meta, *(f"sku-{number}" for number in range(2_000)))
        assert first.client.get(f"/_sandbox/state/meta/{meta.catalog_id}").json()["total"] == 2_000
        _wait_until_written(state, b'"key":"sku-1999"')
        send(meta, *(f"late-{number}" for number in range(2_000)))
        assert first.end(signal.SIGKILL) == -signal.SIGKILL

    with sandbox_process(state) as second:
        found = second.client.get(f"/_sandbox/state/meta/{meta.catalog_id}").json()
        assert found["total"] in (2_000, 4_000)
        assert found["items"][0]["item_id"] == "sku-0"
        assert found["items"][0]["changed_at"].keys() == meta_item("sku-0").keys() - {"id"}
        assert not state.with_name("state.unreadable").exists()


def test_reset_empties_the_file_before_it_answers(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with sandbox_process(state) as first:
        meta = account_of(first.client, "meta")
        send(meta, "a")
        assert first.items("meta", meta.catalog_id) != []
        accounts = first.accounts()
        first.client.post("/_sandbox/reset").raise_for_status()
        kinds = [orjson.loads(line)["type"] for line in state.read_bytes().splitlines()]
        assert kinds == ["header", *["account"] * 3, *["catalog"] * 3, "end"]
        first.end(signal.SIGKILL)

    with sandbox_process(state) as second:
        assert second.accounts() == accounts
        assert second.items("meta", meta.catalog_id) == []


def test_a_corrupted_file_does_not_stop_the_start(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_bytes(b'{"type":"header","format":"vitrin-sandbox-state","ver')
    with sandbox_process(state) as first:
        assert [len(one) for one in first.accounts().values()] == [1, 1]
        assert state.with_name("state.unreadable").read_bytes().endswith(b'"ver')
        assert first.end(signal.SIGTERM) == 0
    assert orjson.loads(state.read_bytes().splitlines()[0])["version"] == 1
