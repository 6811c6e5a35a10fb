"""The shipped example, as `cdao demo` runs it."""

from __future__ import annotations

from pathlib import Path

import cdao_sdk
from cdao_sdk.examples import credit_scoring

DATA = Path(credit_scoring.__file__).with_name("german_credit.csv")


def test_credit_scoring_runs_end_to_end(on_embedded: Path) -> None:
    execution = cdao_sdk.run(
        credit_scoring.credit_scoring_pipeline, {"data": DATA, "trees": 60}
    ).wait(timeout=100)
    metrics = execution.outputs["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["test_auc"] > 0.7
    assert metrics["average_precision"] > metrics["base_rate"]
    assert '"rows": 250' in Path(execution.outputs["report"]).read_text()  # type: ignore[arg-type]
    assert [job.kind for job in execution.jobs()] == [
        "processing",
        "training",
        "transform",
        "processing",
    ]
    assert "validation:auc" in execution.jobs()[1].seen.metrics


def test_body_can_be_tried_without_any_job() -> None:
    assert list(credit_scoring.predict_fn([[0]], _Model())) == [0.25]


class _Model:
    def predict_proba(self, _: object) -> object:
        import numpy as np

        return np.array([[0.75, 0.25]])
