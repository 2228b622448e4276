import pytest

from vitrin.kit import metrics
from vitrin.kit.metrics import REGISTRY_OF_METRICS, MetricInvalid


def test_a_declared_metric_is_registered_and_exposed() -> None:
    declared = metrics.counter("vitrin_probe_things_total", "Things that were probed.", ("kind",))
    declared.labels("a").inc(3)
    metric = REGISTRY_OF_METRICS["vitrin_probe_things_total"]
    assert (metric.kind, metric.labels, metric.meaning) == ("counter", ("kind",), "Things that were probed.")
    assert 'vitrin_probe_things_total{kind="a"} 3.0' in metrics.exposition().decode()
    with pytest.raises(MetricInvalid, match="declared twice"):
        metrics.counter("vitrin_probe_things_total", "Again.")


@pytest.mark.parametrize(
    "name", ["probe_total", "vitrin_Probe_total", "vitrin_probe2_total", "vitrin_things"]
)
def test_names_follow_the_rule(name: str) -> None:
    with pytest.raises(MetricInvalid):
        metrics.counter(name, "Whatever.")
    assert name not in REGISTRY_OF_METRICS


def test_only_counters_end_in_total() -> None:
    with pytest.raises(MetricInvalid, match="_total"):
        metrics.gauge("vitrin_probe_rows_total", "Whatever.")


def test_a_metric_has_a_meaning() -> None:
    with pytest.raises(MetricInvalid, match="no meaning"):
        metrics.histogram("vitrin_probe_wait_seconds", "")
