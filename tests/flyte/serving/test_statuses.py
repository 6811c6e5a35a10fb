from __future__ import annotations

import grpc
import pytest

from cdao_sdk import errors
from cdao_sdk.aws.calls import submission_error
from cdao_sdk.flyte.serving.statuses import status_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SpecError("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.PlanError("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.ConfigurationError("x"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.NotFound("x"), grpc.StatusCode.NOT_FOUND),
        (errors.ResourcesUnavailable("x"), grpc.StatusCode.UNAVAILABLE),
        (TimeoutError(), grpc.StatusCode.DEADLINE_EXCEEDED),
        (KeyError("x"), grpc.StatusCode.INTERNAL),
        (RecursionError(), grpc.StatusCode.INTERNAL),
    ],
)
def test_every_error_has_its_status(error: Exception, code: grpc.StatusCode) -> None:
    assert status_of(error).code is code


def test_every_error_of_ours_is_more_than_internal() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type):
            assert status_of(kind("x")).code is not grpc.StatusCode.INTERNAL, name


@pytest.mark.parametrize(
    ("aws", "code"),
    [
        ("AccessDeniedException", grpc.StatusCode.PERMISSION_DENIED),
        ("ThrottlingException", grpc.StatusCode.UNAVAILABLE),
        ("ResourceLimitExceeded", grpc.StatusCode.UNAVAILABLE),
        ("ValidationException", grpc.StatusCode.INVALID_ARGUMENT),
        ("ResourceInUse", grpc.StatusCode.ALREADY_EXISTS),
        ("NoSuchBucket", grpc.StatusCode.NOT_FOUND),
        ("SomethingNew", grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
def test_what_aws_says_becomes_what_grpc_says(aws: str, code: grpc.StatusCode) -> None:
    assert status_of(submission_error("CreateTrainingJob", aws, "no")).code is code


def test_details_are_one_short_line_without_secrets() -> None:
    error = errors.PlanError(
        "Inputs\nwith password=hunter2hunter2", problems=["one", "two\x1b[31m", "x" * 5_000]
    )
    detail = status_of(error).detail
    assert detail.startswith("Inputs; with password=***; - one; - two\\x1b[31m; - xxx")
    assert len(detail) == 2_000


def test_a_fault_of_ours_tells_its_incident_and_nothing_else() -> None:
    status = status_of(KeyError("a user's value"))
    assert status.incident
    assert status.incident in status.detail
    assert "a user's value" not in status.detail
