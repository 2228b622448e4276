"""The process of one service: `vitrin serve` checks the settings, then becomes this.

It starts without what only people need (Typer, Rich) and with one malloc arena: together about 20 MB of a service's
memory. Run as `python -m vitrin.cli.serving <service> <role>`.
"""

import importlib
import os
import sys
from typing import NoReturn

ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""glibc reads these when a process starts; what is set already stays."""


def become(service: str, role: str) -> NoReturn:
    """Replace this process, which keeps its id, its files and its signals."""
    environment = {**ENVIRONMENT, **os.environ}
    os.execve(sys.executable, [sys.executable, "-m", __name__, service, role], environment)  # noqa: S606


def main() -> None:
    service, role = sys.argv[1:]
    # structlog and httpx load these, for colours, whenever they can be imported; httpcore looks for sniffio in every
    # folder of the path at every call (2 ms of a webhook's 4).
    for unused in ("rich", "pygments", "sniffio"):
        sys.modules[unused] = None  # type: ignore[assignment]
    from vitrin.cli.process import run_until_stopped
    from vitrin.kit.settings import SettingsInvalid

    try:
        settings = importlib.import_module(f"vitrin.{service}.settings").load_settings()
    except SettingsInvalid as wrong:
        sys.exit(f"settings_invalid: {wrong}")
    module = importlib.import_module(f"vitrin.{service}.main")
    run_until_stopped(lambda stop: module.run(settings, role=role, stop=stop))


if __name__ == "__main__":
    main()
