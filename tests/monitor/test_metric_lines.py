"""Metrics found in what a job prints."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from cdao_sdk.aws.logs import LogLine
from cdao_sdk.kinds.metrics import logged_metric_regex
from cdao_sdk.monitor.metric_lines import MetricLines

NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)


def lines(*texts: str) -> list[LogLine]:
    return [LogLine(NOW + timedelta(seconds=n), "algo-1", text) for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("printed", "name", "value"),
    [
        ("[cdao:metric] loss=0.15 step=3", "loss", 0.15),
        ("[cdao:metric] loss=1e-05", "loss", 1e-05),
        ("[cdao:metric] validation:auc=0.9 step=-1", "validation:auc", 0.9),
        ("[cdao:metric] top k=5 accuracy=0.5 step=1", "top k=5 accuracy", 0.5),
        ("worker 3: [cdao:metric] loss=2.0", "loss", 2.0),
    ],
)
def test_what_log_metric_prints_is_one_series_a_name(printed: str, name: str, value: float) -> None:
    found = MetricLines({})
    found.add(lines(printed))
    assert found.last == {name: value}


@pytest.mark.parametrize("printed", ["[cdao:metric] loss=nan", "[cdao:metric] loss=-inf step=1"])
def test_what_is_no_number_is_no_point(printed: str) -> None:
    found = MetricLines({})
    found.add(lines("[cdao:metric] loss=0.5 step=1", printed))
    assert found.series == {"loss": [(NOW, 0.5)]}


def test_metric_definitions_find_theirs_and_one_that_python_cannot_read_finds_nothing() -> None:
    definitions = [
        {"Name": "rmse", "Regex": r"validation-rmse:([0-9.]+)"},
        {"Name": "auc", "Regex": logged_metric_regex("auc")},  # told once, not twice
        {"Name": "possessive", "Regex": "(?<name"},
    ]
    found = MetricLines({"AlgorithmSpecification": {"MetricDefinitions": definitions}})
    found.add(lines("[1] validation-rmse:0.5", "[cdao:metric] auc=0.75 step=1", "no metric"))
    assert {name: [value for _, value in told] for name, told in found.series.items()} == {
        "rmse": [0.5],
        "auc": [0.75],
    }


def test_a_long_series_keeps_its_ends() -> None:
    found = MetricLines({})
    found.add(lines(*(f"[cdao:metric] loss={number}.0 step={number}" for number in range(5_000))))
    values = [value for _, value in found.series["loss"]]
    assert (values[0], values[-1]) == (0.0, 4_999.0)
    assert len(values) <= 2_001
