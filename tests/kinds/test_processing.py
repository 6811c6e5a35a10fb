from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from cdao_sdk.errors import PlanError, SpecError
from cdao_sdk.kinds.build import build_spec
from cdao_sdk.kinds.job import DataSource, JobContext, Phase, RuntimeFiles
from cdao_sdk.kinds.processing import KIND
from cdao_sdk.kinds.training import TrainingSpec

Context = Callable[..., JobContext]
START = dt.datetime(2026, 11, 23, tzinfo=dt.timezone.utc)


def test_results_are_uploaded_while_the_job_runs_if_asked(
    context: Context, runtime: RuntimeFiles, faults: Callable[..., list[str]]
) -> None:
    options = {"output_upload_mode": "Continuous", "experiment": {"run_name": "first"}}
    calls = KIND.requests(build_spec("processing", options), context(runtime=runtime))
    assert faults(calls) == []
    request: Any = calls[0].parameters
    (output,) = request["ProcessingOutputConfig"]["Outputs"]
    assert output["S3Output"]["S3UploadMode"] == "Continuous"
    assert request["ExperimentConfig"] == {"RunName": "first"}


@pytest.mark.parametrize(
    "option",
    ["checkpoint_uri", "distribution", "instance_groups", "keep_alive_seconds", "retry_attempts"],
)
def test_options_that_processing_has_not_are_refused_with_the_reason(option: str) -> None:
    with pytest.raises(SpecError, match=f"unknown option '{option}': Processing"):
        build_spec("processing", {option: 1})


def test_function_runs_from_its_inputs(
    context: Context, runtime: RuntimeFiles, faults: Callable[..., list[str]]
) -> None:
    spec = build_spec(
        "processing",
        {
            "framework": "sklearn",
            "framework_version": "0.23-1",
            "environment": {"A": "b"},
            "kms_key_id": "alias/k",
            "subnets": ["subnet-1"],
            "security_group_ids": ["sg-1"],
            "tags": {"team": "risk"},
        },
    )
    calls = KIND.requests(spec, context(runtime=runtime))
    assert faults(calls) == []
    job: Any = calls[0].parameters
    assert job["AppSpecification"] == {
        "ImageUri": (
            "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:0.23-1-cpu-py3"
        ),
        "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/cdao/runner.py"],
    }
    paths = {i["InputName"]: i["S3Input"]["LocalPath"] for i in job["ProcessingInputs"]}
    assert paths == {
        "data": "/opt/ml/processing/input/data",
        "cdao": "/opt/ml/processing/input/cdao",
        "cdao-job": "/opt/ml/processing/input/cdao-job",
    }
    (output,) = job["ProcessingOutputConfig"]["Outputs"]
    assert output["S3Output"]["S3Uri"] == "s3://bucket/out/exec/n0/exec-n0-abcdefgh-0"
    assert output["S3Output"]["LocalPath"] == "/opt/ml/processing/output/cdao"
    assert KIND.artifact(job) == output["S3Output"]["S3Uri"]
    assert KIND.result_uri(job) == output["S3Output"]["S3Uri"] + "/outputs.json"


def test_more_than_10_inputs_are_refused(context: Context, runtime: RuntimeFiles) -> None:
    many = {f"c{i}": DataSource("s3://b/x") for i in range(9)}
    with pytest.raises(PlanError, match="11 inputs"):
        KIND.requests(build_spec("processing", {}), context(channels=many, runtime=runtime))


def test_more_than_50_tags_are_refused(context: Context, runtime: RuntimeFiles) -> None:
    spec = build_spec("processing", {"tags": {f"t{i}": "" for i in range(40)}})
    ours = {f"cdao:{i}": "" for i in range(11)}
    with pytest.raises(PlanError, match="51 tags"):
        KIND.requests(spec, context(runtime=runtime, tags=ours))


def test_too_long_environment_of_the_run_is_a_plan_error(
    context: Context, runtime: RuntimeFiles
) -> None:
    run = context(runtime=runtime, environment={"CDAO_NODE": "x" * 257})
    with pytest.raises(PlanError, match="environment does not fit"):
        KIND.requests(build_spec("processing", {}), run)


@pytest.mark.parametrize(
    "options",
    [
        {"max_runtime_seconds": 777_601},
        {"environment": {"A": "x" * 257}},
        {"instance_count": 101},
        {"volume_size_gb": 16_385},
    ],
)
def test_limits_of_processing_are_tighter(options: dict[str, object]) -> None:
    with pytest.raises(SpecError):
        build_spec("processing", options)


def described(status: str, **fields: object) -> dict[str, object]:
    return {"ProcessingJobName": "job", "ProcessingJobStatus": status, **fields}


@pytest.mark.parametrize(
    ("status", "fields", "phase"),
    [
        ("InProgress", {}, Phase.INITIALIZING),
        ("InProgress", {"ProcessingStartTime": START}, Phase.RUNNING),
        ("Completed", {}, Phase.SUCCEEDED),
        ("Stopping", {}, Phase.RUNNING),
        ("Stopped", {}, Phase.STOPPED),
        ("Hibernating", {}, Phase.RUNNING),
        ("Failed", {"FailureReason": "InternalServerError: sorry"}, Phase.RETRYABLE),
    ],
)
def test_phases(status: str, fields: dict[str, object], phase: Phase) -> None:
    assert KIND.observe(described(status, **fields)).phase is phase


def test_exit_message_tells_more_than_the_failure_reason() -> None:
    seen = KIND.observe(
        described(
            "Failed",
            FailureReason="AlgorithmError: See job logs for more information",
            ExitMessage="[cdao:USER] ValueError: no rows\n  at flow.py:12",
        )
    )
    assert (seen.phase, seen.failure_class) == (Phase.FAILED, "user")
    assert seen.message == "ValueError: no rows"
    assert "flow.py:12" in seen.failure_reason


@pytest.mark.parametrize(("seconds", "phase"), [(60, Phase.FAILED), (59, Phase.STOPPED)])
def test_stopped_at_its_time_limit_is_a_failure(seconds: int, phase: Phase) -> None:
    seen = KIND.observe(
        described(
            "Stopped",
            ProcessingStartTime=START,
            ProcessingEndTime=START + dt.timedelta(seconds=seconds),
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
    )
    assert seen.phase is phase
    assert seen.billable_seconds == seconds


def test_a_spec_of_another_kind_is_no_spec_of_this_one() -> None:
    assert not issubclass(KIND.spec, TrainingSpec)
