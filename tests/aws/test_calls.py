"""Every error of AWS is one of ours."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import botocore.retries.standard
import botocore.session
import pytest
from botocore.exceptions import (
    ConnectTimeoutError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)

from cdao_sdk.aws import calls
from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.calls import UNREACHABLE, AlreadyExists, call, submission_error
from cdao_sdk.aws.session import AwsClients, AwsTarget
from cdao_sdk.errors import CdaoError, NotFound, ResourcesUnavailable, SubmissionError
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cdao_sdk.flyte.services import Services

TABLES = {
    NotFound: calls._MISSING,
    AlreadyExists: calls._EXISTS,
    ResourcesUnavailable: calls._LATER,
    SubmissionError: calls._DENIED,
}
CODES = [(code, cls) for cls, codes in TABLES.items() for code in sorted(codes)]
# Those that botocore's own retries do not send again, so that the test is quick.
SENT_ONCE = [
    *((code, NotFound) for code in ("ResourceNotFound", "ResourceNotFoundException")),
    *(("ResourceInUse", AlreadyExists), ("AccessDeniedException", SubmissionError)),
    *(("ResourceLimitExceeded", ResourcesUnavailable), ("CapacityError", ResourcesUnavailable)),
    *(("UnrecognizedClientException", SubmissionError), ("SomethingNew", SubmissionError)),
]


def _modeled(service: str, *operations: str) -> set[str]:
    model = botocore.session.get_session().get_service_model(service)
    shapes = [shape for name in operations for shape in model.operation_model(name).error_shapes]
    return {shape.metadata.get("error", {}).get("code", shape.name) for shape in shapes}


def test_tables_of_codes_do_not_overlap() -> None:
    for one, other in itertools.combinations(TABLES.values(), 2):
        assert not one & other


@pytest.mark.parametrize(("code", "cls"), CODES)
def test_code_has_its_class(code: str, cls: type[CdaoError]) -> None:
    error = submission_error("CreateTrainingJob", code, "what AWS says")
    assert type(error) is cls
    assert str(error).startswith(f"CreateTrainingJob was refused ({code}): what AWS says")
    assert getattr(error, "code", code) == code


@pytest.mark.parametrize(("code", "cls"), SENT_ONCE)
def test_code_on_the_wire_has_its_class(
    code: str, cls: type[CdaoError], proxied: Services, proxy: Any
) -> None:
    proxy.refusals["ListModels"] = code
    with pytest.raises(CdaoError, match=rf"^ListModels was refused \({code}\)") as caught:
        bridge.run(call(proxied.clients, "sagemaker", "ListModels", {}))
    assert type(caught.value) is cls
    assert caught.value.__cause__ is not None


def test_throttled_call_is_repeated_before_it_is_an_error(proxied: Services, proxy: Any) -> None:
    proxy.refusals["ListModels"] = "ThrottlingException"
    with pytest.raises(ResourcesUnavailable, match="ThrottlingException"):
        bridge.run(call(proxied.clients, "sagemaker", "ListModels", {}))
    assert proxy.seen == ["ListModels"] * 3


def test_whatever_botocore_takes_for_throttling_or_transient_is_worth_another_try() -> None:
    throttled = botocore.retries.standard.ThrottledRetryableChecker
    transient = botocore.retries.standard.TransientRetryableChecker
    codes = {
        *throttled._THROTTLED_ERROR_CODES,
        *transient._TRANSIENT_ERROR_CODES,
        *map(str, transient._TRANSIENT_STATUS_CODES),
    }
    assert codes - calls._LATER == set()


def test_every_error_in_the_services_models_is_placed() -> None:
    apis = [kind.api for kind in KINDS.values()]
    operations = [name for api in apis for name in (api.create, api.describe, api.list, api.stop)]
    modeled = _modeled("sagemaker", *operations, "CreateModel", "DeleteModel", "AddTags")
    modeled |= _modeled("logs", "DescribeLogStreams", "GetLogEvents")
    modeled |= _modeled("s3", "GetObject", "PutObject", "HeadObject", "HeadBucket", "CopyObject")
    placed = frozenset[str]().union(*TABLES.values())
    # The request is wrong: refused for good, as is all that no table knows.
    for_good = {
        *("InvalidParameterException", "InvalidObjectState", "EncryptionTypeMismatch"),
        *("InvalidRequest", "InvalidWriteOffset", "TooManyParts", "ObjectNotInActiveTierError"),
    }
    assert modeled - placed - for_good == set()


@pytest.mark.parametrize(
    ("message", "cls"),
    [
        ("Requested resource not found.", NotFound),
        ("Could not find model 'm'.", NotFound),
        ("Cannot create already existing model 'm'.", AlreadyExists),
        ("1 validation error detected", SubmissionError),
    ],
)
def test_validation_exception_is_read_by_its_text(message: str, cls: type[CdaoError]) -> None:
    assert type(submission_error("X", "ValidationException", message)) is cls


def test_fault_of_the_server_is_worth_another_try_whatever_its_code() -> None:
    error = submission_error("X", "NeverHeardOf", "", status=500)
    assert isinstance(error, ResourcesUnavailable)
    assert type(submission_error("X", "NeverHeardOf", "", status=400)) is SubmissionError


@pytest.mark.parametrize("operation", ["CreateTrainingJob", "DescribeTrainingJob"])
def test_denial_says_what_must_be_allowed(operation: str) -> None:
    text = str(submission_error(operation, "AccessDeniedException", "not authorized"))
    assert "Check the credentials in force" in text
    assert ("iam:PassRole" in text) == operation.startswith("Create")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_job_that_is_not_there_is_not_found(kind: Any, send: Callable[..., object]) -> None:
    for operation in (kind.api.describe, kind.api.stop):
        with pytest.raises(NotFound, match=operation):
            send("sagemaker", operation, **{kind.api.name_field: "no-such-job"})


def test_name_that_is_taken_already_exists(
    unique: str, start_processing: Callable[..., str], send: Callable[..., Any]
) -> None:
    name = start_processing(f"{unique}-p", "import time; time.sleep(60)")
    described = send("sagemaker", "DescribeProcessingJob", ProcessingJobName=name)
    members = ("ProcessingJobName", "RoleArn", "ProcessingResources", "AppSpecification")
    with pytest.raises(AlreadyExists) as caught:
        send("sagemaker", "CreateProcessingJob", **{key: described[key] for key in members})
    assert caught.value.code == "ResourceInUse"
    model = {
        "ModelName": unique,
        "ExecutionRoleArn": described["RoleArn"],
        "PrimaryContainer": {"Image": "python:3.11"},
    }
    send("sagemaker", "CreateModel", **model)
    with pytest.raises(AlreadyExists, match="already existing"):
        send("sagemaker", "CreateModel", **model)


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("s3", "GetObject", {"Bucket": "cdao-tests", "Key": "no/such/key"}),
        ("s3", "HeadObject", {"Bucket": "cdao-tests", "Key": "no/such/key"}),
        ("s3", "HeadBucket", {"Bucket": "no-such-bucket"}),
        ("s3", "PutObject", {"Bucket": "no-such-bucket", "Key": "k", "Body": b""}),
        ("logs", "GetLogEvents", {"logGroupName": "/no/such", "logStreamName": "x"}),
        ("sagemaker", "DescribeModel", {"ModelName": "no-such-model"}),
    ],
)
def test_thing_that_is_not_there_is_not_found(
    service: str, operation: str, parameters: dict[str, object], send: Callable[..., object]
) -> None:
    with pytest.raises(NotFound, match=f"^{operation} was refused"):
        send(service, operation, **parameters)


def test_request_that_the_service_refuses_says_why(send: Callable[..., object]) -> None:
    with pytest.raises(SubmissionError, match="regular expression pattern") as caught:
        send("sagemaker", "DescribeTrainingJob", TrainingJobName="under_score")
    assert caught.value.code == "ValidationException"
    assert type(caught.value) is SubmissionError


@pytest.mark.parametrize("parameters", [{}, {"TrainingJobNam": "x"}, {"TrainingJobName": 3}])
def test_request_that_does_not_fit_the_api_is_not_sent(
    parameters: dict[str, object], proxied: Services, proxy: Any
) -> None:
    with pytest.raises(
        SubmissionError, match=r"(?s)does not fit the API.*TrainingJobNam"
    ) as caught:
        bridge.run(call(proxied.clients, "sagemaker", "DescribeTrainingJob", parameters))
    assert caught.value.code == "ParamValidation"
    assert proxy.seen == []


def test_endpoint_that_does_not_answer_is_unreachable(
    clients_of: Callable[[str], AwsClients],
) -> None:
    with pytest.raises(
        ResourcesUnavailable, match=r"http://127\.0\.0\.1:9 did not answer"
    ) as caught:
        bridge.run(call(clients_of("http://127.0.0.1:9"), "sagemaker", "ListModels", {}))
    assert caught.value.code == UNREACHABLE


@pytest.mark.parametrize(
    "error",
    [
        ConnectTimeoutError(endpoint_url="https://x"),
        ProxyConnectionError(proxy_url="http://x"),
        ReadTimeoutError(endpoint_url="https://x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_time_that_runs_out_and_a_dead_proxy_are_unreachable_too(error: Exception) -> None:
    found = calls._unanswered(AwsClients(AwsTarget("us-east-1")), "ListModels", error)
    assert isinstance(found, ResourcesUnavailable)
    assert found.code == UNREACHABLE
    assert "AWS did not answer" in str(found)


def test_certificate_that_is_not_trusted_is_no_matter_of_time() -> None:
    error = SSLError(endpoint_url="x", error="self-signed")
    found = calls._unanswered(AwsClients(AwsTarget("us-east-1")), "ListModels", error)
    assert type(found) is SubmissionError
    assert "certificate" in str(found)


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b""])
def test_gateway_that_fails_is_worth_another_try(
    body: bytes, answering: Callable[..., str], clients_of: Callable[[str], AwsClients]
) -> None:
    clients = clients_of(answering(502, body))
    with pytest.raises(ResourcesUnavailable, match="ListModels"):
        bridge.run(call(clients, "sagemaker", "ListModels", {}))


@pytest.mark.parametrize(
    ("service", "operation"), [("sagemaker", "ListModels"), ("sts", "GetCallerIdentity")]
)
def test_answer_that_is_no_answer_of_aws_is_not_taken_for_one(
    service: str,
    operation: str,
    answering: Callable[..., str],
    clients_of: Callable[[str], AwsClients],
) -> None:
    clients = clients_of(answering(200, b"Please log in to this network", request_id=""))
    with pytest.raises(ResourcesUnavailable, match=f"{operation}: .* is no answer of AWS"):
        bridge.run(call(clients, service, operation, {}))


@pytest.mark.parametrize("profile", ["", "no-such-profile"])
def test_missing_credentials_say_how_to_log_in(
    profile: str,
    clients_of: Callable[[AwsTarget], AwsClients],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    clients = clients_of(AwsTarget("us-east-1", "http://127.0.0.1:9"))
    with pytest.raises(SubmissionError, match=r"no AWS credentials.*aws sso login") as caught:
        bridge.run(call(clients, "sagemaker", "ListModels", {}))
    assert caught.value.code == "NoCredentials"
    assert profile in str(caught.value)
