"""What a benchmark is, and how its result is printed and kept."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MACHINE = (
    f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
)
RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`value` is the ratio of the first goal against `baseline`, measured in the same run; the rest is in `also`."""

    id: str
    name: str
    value: float
    goal: str
    baseline: str
    met: bool
    min: float
    max: float
    rounds: int
    also: dict[str, Any] = field(default_factory=dict)
    machine: str = MACHINE


Claim = Callable[[], Result]


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank, of values in any order."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, smallest, largest; to three decimals."""
    return round(statistics.median(values), 3), round(min(values), 3), round(max(values), 3)


def keep(results: Sequence[Result]) -> None:
    RESULTS.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n", encoding="utf-8")


def line(result: Result) -> str:
    return json.dumps(asdict(result))
