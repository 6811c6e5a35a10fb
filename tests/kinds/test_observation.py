from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdao_sdk.kinds.job import Phase
from cdao_sdk.kinds.observation import STATUSES, classify, phase_of, spot_savings_percent


@pytest.mark.parametrize("enum", ["TrainingJobStatus", "ProcessingJobStatus", "TransformJobStatus"])
def test_every_status_of_the_model_is_known(
    enum: str, model_enum: Callable[[str], list[str]]
) -> None:
    assert set(model_enum(enum)) <= set(STATUSES)


@pytest.mark.parametrize(
    ("reason", "phase", "failure_class", "message"),
    [
        (
            "AlgorithmError: [cdao:USER] KeyError: 'x'\n at a.py:1, exit code: 1",
            Phase.FAILED,
            "user",
            "KeyError: 'x'",
        ),
        ("[cdao:SYSTEM] spec.json is missing", Phase.RETRYABLE, "system", "spec.json is missing"),
        ("AlgorithmError: [cdao:RECOVERABLE] E: again", Phase.RETRYABLE, "recoverable", "E: again"),
        ("[cdao:INTERRUPTED] SIGTERM", Phase.RETRYABLE, "interrupted", "SIGTERM"),
        ("AlgorithmError: exit code: 137", Phase.FAILED, "user", "AlgorithmError: exit code: 137"),
        ("ClientError: no data", Phase.FAILED, "user", "ClientError: no data"),
        ("InternalServerError: we", Phase.RETRYABLE, "system", "InternalServerError: we"),
        ("CapacityError: none", Phase.RETRYABLE, "system", "CapacityError: none"),
        ("NewError: what", Phase.FAILED, "", "NewError: what"),
        ("", Phase.FAILED, "", ""),
    ],
)
def test_failures(reason: str, phase: Phase, failure_class: str, message: str) -> None:
    failure = classify(reason)
    assert (failure.phase, failure.failure_class, failure.message) == (
        phase,
        failure_class,
        message,
    )


@given(st.text())
def test_nothing_that_sagemaker_may_say_raises(text: str) -> None:
    assert classify(text).phase.is_terminal
    assert phase_of(text) in Phase


@pytest.mark.parametrize(
    ("training", "billable", "expected"),
    [(1000, 300, 70.0), (100, 100, 0.0), (0, 0, None), (None, 3, None), (100, None, None)],
)
def test_spot_savings(training: int | None, billable: int | None, expected: float | None) -> None:
    assert spot_savings_percent(training, billable) == expected
