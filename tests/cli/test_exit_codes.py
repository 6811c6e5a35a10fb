from __future__ import annotations

import pytest

from cdao_sdk import errors
from cdao_sdk.cli.exit_codes import exit_code_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigurationError("x"), 2),
        (errors.SpecError("x"), 2),
        (errors.PlanError("x"), 2),
        (errors.NotFound("x"), 2),
        (errors.SubmissionError("x"), 4),
        (errors.ResourcesUnavailable("x"), 4),
        (errors.JobFailed("x"), 1),
        (errors.JobInterrupted("x"), 1),
        (errors.JobStopped("x"), 3),
        (errors.ExecutionTimeout("x"), 124),
        (errors.CdaoError("x"), 1),
        (ValueError("x"), 1),
    ],
)
def test_each_class_of_error_has_its_code(error: Exception, code: int) -> None:
    assert exit_code_of(error) == code


def test_no_class_of_error_is_forgotten() -> None:
    from cdao_sdk.cli import exit_codes

    # Those of the connector's service never leave it.
    direct = {
        kind for kind in errors.CdaoError.__subclasses__() if kind.__module__ == errors.__name__
    }
    assert direct <= set(exit_codes._CODES)
