"""The command line: exit codes, what is on stdout, and a real sandbox behind it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vitrin.cli.brands import slug_of
from vitrin.cli.main import run
from vitrin.cli.sandbox import open_sandbox_account, sandbox_accounts
from vitrin.cli.settings import write_private_json
from vitrin.kit.embedded.ports import free_port, wait_for_port


@pytest.fixture
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No service, no key, no running `up`."""
    monkeypatch.setenv("VITRIN_VAR", str(tmp_path))
    for name in ("VITRIN_API_KEY", "VITRIN_OPERATOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for service in ("ACCOUNTS", "CATALOG", "SHOP_SYNC", "SANDBOX"):
        monkeypatch.setenv(f"VITRIN_{service}_URL", f"http://127.0.0.1:{free_port()}")


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "vitrin.cli", "sandbox", "serve"],
        env={**os.environ, "SANDBOX_PORT": str(port), "PYTHONPATH": "services"},
    )
    assert wait_for_port(port, alive=lambda: process.poll() is None, deadline_s=30)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=20)


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["no-such-command"], 2, "No such command"),
        (["import", "missing.csv"], 2, "does not exist"),
        (["import"], 2, "source_missing: name either a file or an address"),
        (["import", "pyproject.toml", "--url", "https://shop.example/feed.csv"], 2, "source_twice"),
        (["brand", "list"], 5, "key_missing: no API key"),
        (["brand", "list", "--key", "vk_test_a_b"], 3, "unreachable: cannot reach accounts"),
        (["lag", "--key", "vk_test_a_b"], 3, "VITRIN_SHOP_SYNC_URL"),
        (["sandbox", "accounts"], 3, "VITRIN_SANDBOX_URL"),
        (["audit", "--key", "vk_test_a_b"], 3, "VITRIN_ACCOUNTS_URL"),
        (["member", "remove", "x"], 5, "key_missing"),
        (["invitation", "create", "a@b.example", "--role", "king"], 2, "king"),
        (["invitation", "accept", "vi_x", "--name", "Ada"], 3, "VITRIN_ACCOUNTS_URL"),
        (["key", "rotate", "x"], 5, "key_missing"),
        (["removals", "list", "--key", "vk_test_a_b"], 3, "VITRIN_SHOP_SYNC_URL"),
        (["removals", "list", "--state", "half"], 2, "half"),
        (["removals", "approve", "x", "--items-max", "-1"], 2, "equal to 0"),
        (["status"], 3, "not_running"),
        (["pause"], 2, "scope_missing: name exactly one scope"),
        (["pause", "--brand", "--house"], 2, "--channel ID"),
        (["pause", "--house"], 5, "operator_token_missing"),
        (["resume", "--platform", "meta"], 5, "key_missing"),
        (["resume", "--channel", "1", "--key", "vk_test_a_b"], 3, "VITRIN_SHOP_SYNC_URL"),
        (["up", "--catalog", "missing.csv"], 2, "missing.csv"),
        (
            [
                "brand",
                "create",
                "A",
                "--storefront-url",
                "https://a.example",
                "--currency",
                "EUR",
                "--market",
                "DE",
            ],
            5,
            "operator_token_missing",
        ),
        (["connection", "create", "meta", "--mode", "live", "--key", "k"], 2, "token_missing"),
        (["connection", "create", "meta", "--id", "catalog_id", "--key", "k"], 2, "not name=value"),
        (["connection", "create", "meta", "--new-account", "--key", "k"], 3, "VITRIN_SANDBOX_URL"),
        (["connect", "meta", "--approve", "--mode", "live", "--key", "k"], 2, "approve_live"),
        (["connect", "meta", "--id", "catalog_id", "--key", "k"], 2, "not name=value"),
        (["connect", "meta", "--key", "k"], 3, "VITRIN_ACCOUNTS_URL"),
        (["connect", "meta"], 5, "key_missing"),
    ],
)
def test_what_cannot_work_says_why_and_ends_with_its_code(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""


@pytest.mark.usefixtures("_alone")
def test_with_json_a_failure_is_json_on_stderr_and_stdout_is_empty(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["key", "list", "--key", "vk_test_a_b", "--json"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert json.loads(said.err)["code"] == "unreachable"


def test_the_sandbox_commands(
    sandbox_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VITRIN_SANDBOX_URL", sandbox_url)
    assert run(["sandbox", "accounts", "--json"]) == 0
    accounts = json.loads(capsys.readouterr().out)
    assert set(accounts) == {"meta", "pinterest"}
    assert accounts["meta"]["base_url"] == f"{sandbox_url}/graph.facebook.com/v26.0"
    assert set(accounts["pinterest"]) == {"base_url", "access_token", "external_ids"}
    assert set(accounts["meta"]) == {*accounts["pinterest"], "app_secret"}

    assert run(["sandbox", "accounts"]) == 0
    assert accounts["meta"]["access_token"] in capsys.readouterr().out
    assert run(["sandbox", "reset", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"reset": True}
    assert run(["sandbox", "log", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"entries": []}
    assert run(["sandbox", "log", "--platform", "meta", "--limit", "0"]) == 2


def test_faults_are_added_listed_and_cleared(
    sandbox_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VITRIN_SANDBOX_URL", sandbox_url)
    assert run(["sandbox", "fault", "clear"]) == 0
    assert run(["sandbox", "fault", "kinds"]) == 0
    said = capsys.readouterr().out
    assert "refuse_batch" in said
    assert "estimated" not in said

    command = ["sandbox", "fault", "add", "refuse_batch", "--platform", "meta", "--json"]
    assert run([*command, "--item", "a", "--item", "b", "--set", "error=invalid", "--count", "3"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["item_ids"], made["error"], made["count"]) == (["a", "b"], "invalid", 3)
    assert run(["sandbox", "fault", "add", "slow", "--set", "delay_ms=5", "--count", "all"]) == 0
    slow = capsys.readouterr().out.split()[0]
    assert run(["sandbox", "fault", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["faults"]
    assert [(one["id"], one["count"]) for one in listed] == [(made["id"], 3), (slow, None)]
    assert run(["sandbox", "fault", "list"]) == 0
    assert "refuse_batch" in capsys.readouterr().out

    assert run(["sandbox", "fault", "add", "refuse_batch"]) == 1
    assert "needs the culprits: item_ids" in capsys.readouterr().err
    assert run(["sandbox", "fault", "add", "slow", "--set", "delay_ms"]) == 2
    assert "--set takes name=value" in capsys.readouterr().err
    assert run(["sandbox", "fault", "clear", slow, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"removed": 1}
    assert run(["sandbox", "fault", "clear", slow]) == 4
    assert run(["sandbox", "fault", "clear"]) == 0
    assert "removed 1" in capsys.readouterr().out


def test_the_sandbox_gives_further_accounts_and_says_what_it_plays(
    sandbox_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VITRIN_SANDBOX_URL", sandbox_url)
    further, ready = open_sandbox_account("meta"), sandbox_accounts()["meta"]
    assert set(further) == set(ready)
    assert further["base_url"] == ready["base_url"]
    assert further["access_token"] != ready["access_token"]
    assert further["external_ids"]["catalog_id"] != ready["external_ids"]["catalog_id"]

    assert run(["connection", "create", "tiktok", "--key", "k"]) == 2
    said = capsys.readouterr().err
    assert "platform_unknown: the sandbox does not play 'tiktok'" in said
    assert "use one of: meta, pinterest" in said


def test_private_files_are_replaced_at_once_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secrets.json"
    write_private_json(path, {"a": 1})
    write_private_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secrets.json"]


def test_slugs() -> None:
    assert slug_of("North & Pine  Co.") == "north-pine-co"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from vitrin.cli.main import run; run(['--help']); "
        "heavy = {'sqlalchemy', 'fastapi', 'grpc', 'kafka', 'httpx', 'psycopg', 'alembic'} & set(sys.modules); "
        "sys.exit(repr(sorted(heavy)) if heavy else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": "services"},
    )
    assert (result.returncode, result.stderr) == (0, "")
