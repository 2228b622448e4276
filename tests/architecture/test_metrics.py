"""The catalogue of metrics in the docs is the registry in the code, and every alert stands on both."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"


def catalogue() -> dict[str, str]:
    """Documented name -> kind."""
    text = (PROMETHEUS / "metrics.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `(vitrin_[a-z_]+)` \| (\w+) \|", text, flags=re.MULTILINE))


def test_the_documented_metrics_are_those_of_the_code() -> None:
    generated = subprocess.run(
        [sys.executable, ROOT / "deploy" / "bin" / "metrics-catalogue.py"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "services",
    )
    documented = (PROMETHEUS / "metrics.md").read_text(encoding="utf-8")
    assert generated.stdout == documented, "run `make docs`"


def test_every_alert_uses_known_metrics_and_has_a_runbook_line() -> None:
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))
    runbook = (PROMETHEUS / "runbook.md").read_text(encoding="utf-8")
    known = catalogue()
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert alerts
    for rule in alerts:
        used = set(re.findall(r"vitrin_[a-z_]+", rule["expr"]))
        bases = {re.sub(r"_(bucket|count|sum)$", "", name) for name in used}
        assert bases <= set(known), (rule["alert"], bases - set(known))
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["runbook_url"].endswith(f"#{rule['alert'].lower()}")
        assert f"## {rule['alert']}\n" in runbook, rule["alert"]
