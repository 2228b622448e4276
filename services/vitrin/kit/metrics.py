"""The one registry of metrics: every metric is declared with its meaning; a test compares them with the docs.

Names are `vitrin_<service>_<noun>_<unit|total>`, declared once, at module level of whoever writes them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_NAME = re.compile(r"vitrin_[a-z_]+")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Default buckets of a histogram, in seconds."""


class MetricInvalid(Exception):
    """A metric was declared twice, or its name breaks the rule."""


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    kind: Literal["counter", "histogram", "gauge"]
    labels: tuple[str, ...]
    meaning: str


REGISTRY_OF_METRICS: dict[str, Metric] = {}
_COLLECTORS = CollectorRegistry()
ProcessCollector(registry=_COLLECTORS)


def _declare(metric: Metric) -> None:
    if not _NAME.fullmatch(metric.name):
        raise MetricInvalid(f"{metric.name}: a metric is named vitrin_[a-z_]+")
    if (metric.kind == "counter") != metric.name.endswith("_total"):
        raise MetricInvalid(f"{metric.name}: counters, and only they, end in _total")
    if metric.name in REGISTRY_OF_METRICS:
        raise MetricInvalid(f"{metric.name} is declared twice")
    if not metric.meaning:
        raise MetricInvalid(f"{metric.name} has no meaning")
    REGISTRY_OF_METRICS[metric.name] = metric


def counter(name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
    _declare(Metric(name, "counter", tuple(labels), meaning))
    return Counter(name, meaning, tuple(labels), registry=_COLLECTORS)


def gauge(name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
    _declare(Metric(name, "gauge", tuple(labels), meaning))
    return Gauge(name, meaning, tuple(labels), registry=_COLLECTORS)


def histogram(
    name: str, meaning: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = SECONDS
) -> Histogram:
    _declare(Metric(name, "histogram", tuple(labels), meaning))
    return Histogram(name, meaning, tuple(labels), registry=_COLLECTORS, buckets=tuple(buckets))


def exposition() -> bytes:
    """All metrics of this process in Prometheus' text format."""
    return generate_latest(_COLLECTORS)
