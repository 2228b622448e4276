"""What the sandbox measures about itself; a registry per application, so that tests can start many."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vitrin.sandbox.wire import Platform

DURATION_BUCKETS_SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


class _Holdings(Collector):
    def __init__(self, platforms: Mapping[str, Platform]) -> None:
        self._platforms = platforms

    def collect(self) -> Iterable[Metric]:
        """Items per platform, counted when somebody scrapes."""
        family = GaugeMetricFamily(
            "vitrin_sandbox_items", "Items that the platform holds now.", labels=["platform"]
        )
        for name, platform in self._platforms.items():
            family.add_metric([name], sum(len(catalog) for catalog in platform.catalogs.values()))
        return [family]


class SandboxMetrics:
    """The metrics of one application."""

    def __init__(self, platforms: Mapping[str, Platform]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vitrin_sandbox_requests",
            "Requests to the platforms.",
            ["platform", "outcome"],
            registry=self.registry,
        )
        self.items_received = Counter(
            "vitrin_sandbox_items_received",
            "Items named by write requests.",
            ["platform"],
            registry=self.registry,
        )
        self.faults = Counter(
            "vitrin_sandbox_faults",
            "Requests that met a fault.",
            ["platform", "kind"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "vitrin_sandbox_request_seconds",
            "Time to answer, without what a fault adds.",
            ["platform"],
            buckets=DURATION_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.registry.register(_Holdings(platforms))
