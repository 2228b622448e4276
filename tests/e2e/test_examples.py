"""The clients as `make clients` generates them, and the examples as a newcomer runs them, on the running system."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.system import Brand, System

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "deploy" / "examples"
PARTS = (
    "== an item",
    "== its price",
    "== where it stands",
    "== told by a webhook",
    "== what is refused",
    "done",
)


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated from deploy/openapi, which a test in architecture/ compares with the services."""
    out = tmp_path_factory.mktemp("clients")
    made = subprocess.run(
        ["sh", str(ROOT / "deploy/bin/clients.sh"), str(out)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return out


@pytest.fixture(scope="module")
def reader(system: System) -> Brand:
    """A brand of its own: what the examples leave in a timeline is in nobody's counts."""
    return system.new_brand()


@pytest.fixture
def settings(system: System, reader: Brand) -> dict[str, str]:
    """Where the services are, and a key."""
    urls = {
        f"VITRIN_{name.upper()}_URL": str(client.base_url).rstrip("/") for name, client in system.http.items()
    }
    return {**os.environ, **urls, "VITRIN_API_KEY": reader.key, "WEBHOOK_URL": "http://127.0.0.1:9/hooks"}


def said(settings: dict[str, str], *command: str, cwd: Path) -> str:
    ran = subprocess.run(
        command, env=settings, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for part in PARTS:
        assert part in ran.stdout, ran.stdout
    assert "item_invalid" in ran.stdout, ran.stdout
    return ran.stdout


def test_with_curl(settings: dict[str, str], reader: Brand, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("there is no curl: the example in shell was not run")
    out = said(settings, "sh", str(EXAMPLES / "quickstart.sh"), cwd=tmp_path)
    answers = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert answers[0] == answers[1], "the same Idempotency-Key, the same answer"
    assert reader.call("catalog", "GET", "/v1/items/quickstart-curl").status_code == 404


def test_with_python(settings: dict[str, str], clients: Path, reader: Brand, tmp_path: Path) -> None:
    settings["PYTHONPATH"] = str(clients / "python")
    python = str(ROOT / ".cache/clients/bin/python")
    out = said(settings, python, "-W", "error", str(EXAMPLES / "quickstart.py"), cwd=tmp_path)
    assert "35.00 EUR 3" in out
    assert reader.call("catalog", "GET", "/v1/items/quickstart-python").status_code == 404


def test_with_typescript(settings: dict[str, str], clients: Path, reader: Brand) -> None:
    if not shutil.which("npm"):
        pytest.skip("there is no npm: the TypeScript client was not generated, its example not run")
    folder = clients / "example"
    (folder / "node_modules").mkdir(parents=True)
    (folder / "node_modules" / "vitrin-client").symlink_to(clients / "typescript")
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copy(EXAMPLES / "quickstart.ts", folder)
    modules = clients / "typescript" / "node_modules"
    compiled = subprocess.run(
        [
            *(str(modules / ".bin" / "tsc"), "quickstart.ts", "--target", "ES2022", "--module", "NodeNext"),
            *("--moduleResolution", "NodeNext", "--strict", "--skipLibCheck"),
            *("--types", "node", "--typeRoots", str(modules / "@types")),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    out = said(settings, "node", "quickstart.js", cwd=folder)
    assert "35.00 EUR 3" in out
    assert reader.call("catalog", "GET", "/v1/items/quickstart-typescript").status_code == 404
