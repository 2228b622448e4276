"""`vitrin` beside the running system: what programs read, and exit codes that mean something."""

import hashlib
import json
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.e2e.system import PLATFORMS, Brand, System, equal, item, parsed, until
from vitrin.kit.embedded.ports import free_port

FEED = (
    "id,title,price,link,image_link,description,brand\n"
    "c1,Cup,3.00 EUR,https://a.example/1,https://a.example/i1,A cup,Holm\n"
    'c2,Cup,"3,00 EUR",https://a.example/2,https://a.example/i2,A cup,Holm\n'
)


@pytest.fixture(scope="module")
def brand(system: System) -> Brand:
    made = system.new_brand()
    assert made.call("catalog", "POST", "/v1/items", json=item("mug/1", sku="SKU 1")).status_code == 201
    until(made.counts, equal({platform: {"live": 1} for platform in PLATFORMS}))
    return made


def test_status(system: System) -> None:
    ran = system.vitrin("status", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    state = parsed(ran)
    assert {one["name"]: one["state"] for one in state["processes"]} == dict.fromkeys(
        ("postgres", "broker", "sandbox", "accounts", "catalog", "shop_sync", "notify", "retargeting"),
        "ready",
    )
    assert set(state["urls"]) == {"accounts", "catalog", "shop_sync", "notify", "retargeting", "sandbox"}
    for_people = system.vitrin("status")
    assert for_people.returncode == 0
    assert "shop_sync" in for_people.stdout
    secrets = (Path(system.environment["VITRIN_VAR"]) / "secrets.json").read_text()
    assert not any(word in ran.stdout for word in secrets.split('"') if len(word) > 20)


def test_why(system: System, brand: Brand) -> None:
    for name in ("mug/1", "SKU 1"):
        ran = system.vitrin("why", name, "--key", brand.key, "--json")
        assert ran.returncode == 0, ran.stderr
        answer = parsed(ran)
        assert answer["item_id"] == "mug/1"
        assert {one["platform"]: one["state"] for one in answer["channels"]} == dict.fromkeys(
            PLATFORMS, "live"
        )
    for_people = system.vitrin("why", "mug/1", "--key", brand.key)
    assert for_people.returncode == 0
    assert "Mug mug/1" in for_people.stdout
    unknown = system.vitrin("why", "nothing", "--key", brand.key, "--json")
    assert (unknown.returncode, parsed_failure(unknown.stdout + unknown.stderr)) == (4, "item_not_found")


def test_lag(system: System, brand: Brand) -> None:
    ran = system.vitrin("lag", "--key", brand.key, "--json")
    assert ran.returncode == 0, ran.stderr
    found = {(one["platform"], one["kind"]): one["count"] for one in parsed(ran)["data"]}
    assert set(found) == {(platform, kind) for platform in PLATFORMS for kind in ("accepted", "seen")}
    assert all(count > 0 for count in found.values())


def test_import(system: System, brand: Brand, tmp_path: Path) -> None:
    file = tmp_path / "feed.csv"
    file.write_text(FEED)
    ran = system.vitrin("import", str(file), "--json", VITRIN_API_KEY=brand.key)
    assert ran.returncode == 0, ran.stderr
    report = parsed(ran)
    assert (report["state"], report["rows"]["created"], report["rows"]["refused"]) == ("done", 1, 1)
    assert [(row["id"], row["problems"][0]["code"]) for row in report["refused"]] == [("c2", "price_comma")]
    for asked, said in (("c2", "row_refused"), ("c3", "item_not_found")):
        why = system.vitrin("why", asked, "--json", VITRIN_API_KEY=brand.key)
        assert (why.returncode, parsed_failure(why.stdout + why.stderr)) == (4, said)
    file.write_text(FEED[:-20])
    cut = system.vitrin("import", str(file), "--json", VITRIN_API_KEY=brand.key)
    assert (cut.returncode, parsed(cut)["problem"]["code"]) == (1, "file_truncated")


def test_import_by_address(system: System, brand: Brand, tmp_path: Path) -> None:
    (tmp_path / "feed.csv").write_text(FEED)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(tmp_path))

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}"
        ran = system.vitrin("import", "--url", f"{address}/feed.csv", "--json", VITRIN_API_KEY=brand.key)
        lost = system.vitrin("import", "--url", f"{address}/lost.csv", "--json", VITRIN_API_KEY=brand.key)
        server.shutdown()
    report = parsed(ran)
    assert (ran.returncode, report["state"], report["url"]) == (0, "done", f"{address}/feed.csv"), ran.stderr
    assert report["rows"]["refused"] == 1
    assert (lost.returncode, parsed(lost)["problem"]["code"]) == (1, "url_answer_refused")
    inside = system.vitrin("import", "--url", "https://10.0.0.1/x", "--json", VITRIN_API_KEY=brand.key)
    assert (inside.returncode, parsed_failure(inside.stdout + inside.stderr)) == (1, "url_address_not_public")


def test_a_token_is_renewed_and_a_catalog_is_not_fed_twice(system: System, brand: Brand) -> None:
    other = system.new_brand(connected=False)
    ready = parsed(system.vitrin("sandbox", "accounts", "--json"))["meta"]
    made = system.vitrin("connection", "create", "meta", "--json", "--key", other.key)
    assert made.returncode == 0, made.stderr
    twice = system.vitrin("connection", "create", "meta", "--json", "--key", brand.key)
    assert (twice.returncode, parsed_failure(twice.stdout + twice.stderr)) == (1, "catalog_in_use")
    connection = parsed(made)["id"]
    nothing = system.vitrin("connection", "renew", connection, "--json", "--key", other.key)
    assert (nothing.returncode, parsed_failure(nothing.stdout + nothing.stderr)) == (2, "token_missing")
    token = {"VITRIN_PLATFORM_TOKEN": ready["access_token"]}
    renewed = system.vitrin("connection", "renew", connection, "--json", "--key", other.key, **token)
    assert renewed.returncode == 0, renewed.stderr
    assert parsed(renewed)["state"] == "active"
    other.ok("accounts", "DELETE", f"/v1/connections/{connection}")


def test_no_service_no_key_wrong_key(system: System, brand: Brand, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    away = system.vitrin("why", "mug/1", "--key", brand.key, "--json", VITRIN_SHOP_SYNC_URL=nobody)
    assert (away.returncode, parsed_failure(away.stdout + away.stderr)) == (3, "unreachable")
    stopped = system.vitrin("status", "--json", VITRIN_VAR=str(tmp_path))
    assert (stopped.returncode, parsed_failure(stopped.stdout + stopped.stderr)) == (3, "not_running")
    without = system.vitrin("lag", "--json")
    assert (without.returncode, parsed_failure(without.stdout + without.stderr)) == (5, "key_missing")
    strange = system.vitrin("lag", "--json", "--key", "vk_live_nonsense")
    assert (strange.returncode, parsed_failure(strange.stdout + strange.stderr)) == (5, "key_malformed")


def parsed_failure(text: str) -> str:
    """The code of a failure with --json."""

    return str(json.loads(text)["code"])


def test_an_export_has_every_service_once(system: System, brand: Brand, tmp_path: Path) -> None:
    event = {"event_id": "e-1", "name": "page_view", "visitor_id": "v-1"}
    brand.ok("retargeting", "POST", "/v1/events", json=event)
    until(lambda: len(brand.ok("retargeting", "GET", "/v1/events")["data"]), equal(1))
    out = tmp_path / "export"
    ran = system.vitrin("export", "--out", str(out), "--key", brand.key, "--json")
    assert ran.returncode == 0, ran.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest == {**parsed(ran), "complete": True}
    assert [one["service"] for one in manifest["services"]] == [
        *("accounts", "catalog", "shop_sync", "notify", "retargeting")
    ]
    for one in manifest["services"]:
        content = (out / one["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one["sha256"]
        lines = [json.loads(line) for line in content.splitlines()]
        assert lines[-1] == {"end": True, "rows": one["rows"]}
        assert {line["row"]["brand_id"] for line in lines if "row" in line} == {brand.id}
        assert oct((out / one["file"]).stat().st_mode)[-3:] == "600"
    assert manifest["services"][1]["tables"]["items"] >= 1
    (out / "catalog.ndjson").write_bytes(b"changed")
    before = (out / "accounts.ndjson").stat().st_mtime_ns
    assert system.vitrin("export", "--out", str(out), "--key", brand.key).returncode == 0
    assert (out / "accounts.ndjson").stat().st_mtime_ns == before
    assert (out / "catalog.ndjson").read_bytes().startswith(b'{"service":"catalog"')
