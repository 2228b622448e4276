"""Prints the catalogue of metrics from the one registry: `make docs` writes it to deploy/prometheus/metrics.md."""

import importlib
import pkgutil
import sys

import vitrin
from vitrin.kit.metrics import REGISTRY_OF_METRICS

SKIPPED = ("vitrin.protos", "vitrin.sandbox.__main__", "vitrin.cli.__main__", "migrations")


def main() -> int:
    for module in pkgutil.walk_packages(vitrin.__path__, "vitrin."):
        if not any(part in module.name for part in SKIPPED):
            importlib.import_module(module.name)
    rows = [
        f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels) or '-'} | {metric.meaning} |"
        for _, metric in sorted(REGISTRY_OF_METRICS.items())
    ]
    lines = [
        "# Metrics",
        "",
        "Generated from the registry in `services/vitrin/kit/metrics.py` by `make docs`; a test compares the two.",
        "Every service adds the `process_*` metrics of prometheus-client. Labels are bounded: no brand, no item.",
        "",
        "| name | kind | labels | meaning |",
        "|---|---|---|---|",
        *rows,
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
