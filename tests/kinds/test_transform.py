from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cdao_sdk.errors import PlanError, SpecError
from cdao_sdk.kinds.build import build_spec
from cdao_sdk.kinds.job import DataSource, JobContext, ModelSource, Phase
from cdao_sdk.kinds.transform import KIND, SCRIPT_MODEL_ENVIRONMENT, parameter_environment

Context = Callable[..., JobContext]
Faults = Callable[..., list[str]]
MODEL = "s3://bucket/out/model.tar.gz"


def requests(options: dict[str, object], context: JobContext) -> tuple[Any, Any]:
    model, job = KIND.requests(build_spec("transform", options), context)
    assert (model.operation, job.operation) == ("CreateModel", "CreateTransformJob")
    return model.parameters, job.parameters


def test_model_and_job_bear_one_name(transform_context: Context, faults: Faults) -> None:
    run = transform_context(environment={"CDAO_PARAM_BATCH": "5"})
    spec = build_spec(
        "transform",
        {"max_concurrent_transforms": 4, "join_source": "Input", "input_filter": "$[1:]"},
    )
    calls = KIND.requests(spec, run)
    assert faults(calls) == []
    model, job = requests({}, run)
    assert model["ModelName"] == job["ModelName"] == job["TransformJobName"] == run.job_name
    assert model["PrimaryContainer"]["ModelDataUrl"] == MODEL
    assert model["PrimaryContainer"]["Environment"] == {"CDAO_PARAM_BATCH": "5"}
    assert job["TransformInput"]["ContentType"] == "text/csv"
    assert job["TransformInput"]["SplitType"] == "Line"
    assert job["TransformOutput"]["AssembleWith"] == "Line"
    assert job["TransformOutput"]["S3OutputPath"] == f"{run.output_uri}/{run.job_name}"
    assert KIND.artifact(job) == job["TransformOutput"]["S3OutputPath"]
    assert KIND.result_uri(job) is None


def test_model_goes_with_the_job(faults: Faults) -> None:
    calls = KIND.cleanup("job-1")
    assert faults(calls) == []
    assert (calls[0].operation, calls[0].parameters) == ("DeleteModel", {"ModelName": "job-1"})


def test_a_model_that_is_no_archive_is_refused(transform_context: Context) -> None:
    run = transform_context(model=ModelSource("s3://bucket/model", "image:1"))
    with pytest.raises(PlanError, match=r"'s3://bucket/model' is no \.tar\.gz archive"):
        KIND.requests(build_spec("transform", {}), run)


def test_csv_goes_out_of_our_handlers_when_csv_goes_in(transform_context: Context) -> None:
    ours = transform_context(model=ModelSource(MODEL, "image:1", SCRIPT_MODEL_ENVIRONMENT))
    assert requests({}, ours)[1]["TransformOutput"]["Accept"] == "text/csv"
    as_json = {"accept": "application/json"}
    assert requests(as_json, ours)[1]["TransformOutput"]["Accept"] == "application/json"
    other = {"content_type": "application/json"}
    assert "Accept" not in requests(other, ours)[1]["TransformOutput"]
    foreign = transform_context(model=ModelSource(MODEL, "image:1"))
    assert "Accept" not in requests({}, foreign)[1]["TransformOutput"]


def test_framework_of_the_spec_decides_the_image(transform_context: Context) -> None:
    run = transform_context(model=ModelSource(MODEL, "other:1"))
    model, _ = requests({"framework": "pytorch"}, run)
    assert model["PrimaryContainer"]["Image"].endswith("/pytorch-inference:2.6.0-cpu-py312")
    assert model["PrimaryContainer"]["Environment"] == dict(SCRIPT_MODEL_ENVIRONMENT)
    model, _ = requests({"container_image": "mine:1"}, run)
    assert model["PrimaryContainer"]["Image"] == "mine:1"
    model, _ = requests({}, run)
    assert model["PrimaryContainer"]["Image"] == "other:1"


def test_capture_and_private_registry(transform_context: Context, faults: Faults) -> None:
    options = {
        "data_capture_path": "s3://bucket/captured",
        "data_capture_inference_id": True,
        "kms_key_id": "alias/key",
        "repository_access": "Vpc",
        "repository_credentials_provider": "arn:aws:lambda:us-east-1:123456789012:function:f",
        "subnets": ["subnet-1"],
        "security_group_ids": ["sg-1"],
        "experiment": {"experiment_name": "credit", "display_name": "scores"},
    }
    calls = KIND.requests(build_spec("transform", options), transform_context())
    assert faults(calls) == []
    model, job = (call.parameters for call in calls)
    container: Any = model["PrimaryContainer"]
    assert container["ImageConfig"]["RepositoryAccessMode"] == "Vpc"
    assert job["DataCaptureConfig"] == {
        "DestinationS3Uri": "s3://bucket/captured",
        "KmsKeyId": "alias/key",
        "GenerateInferenceId": True,
    }
    assert job["ExperimentConfig"] == {
        "ExperimentName": "credit",
        "TrialComponentDisplayName": "scores",
    }


@pytest.mark.parametrize(
    "missing",
    [
        {"model": None},
        {"channels": {}},
        {"channels": {"data": DataSource("s3://b/x")}},
        {"model": ModelSource(MODEL)},
    ],
)
def test_missing_model_input_or_image_is_a_plan_error(
    transform_context: Context, missing: dict[str, object]
) -> None:
    with pytest.raises(PlanError):
        KIND.requests(build_spec("transform", {}), transform_context(**missing))


@pytest.mark.parametrize(
    ("spec_type", "source_type", "uri", "expected"),
    [
        (None, None, "s3://b/x.jsonl", "application/jsonlines"),
        ("text/tsv", None, "s3://b/x.csv", "text/tsv"),
        ("text/tsv", "text/own", "s3://b/x.csv", "text/own"),
    ],
)
def test_content_type_of_the_input(
    transform_context: Context,
    spec_type: str | None,
    source_type: str | None,
    uri: str,
    expected: str,
) -> None:
    run = transform_context(channels={"input": DataSource(uri, content_type=source_type)})
    _, job = requests({"content_type": spec_type}, run)
    assert job["TransformInput"]["ContentType"] == expected


def test_unsplit_input_has_no_strategy(transform_context: Context, faults: Faults) -> None:
    calls = KIND.requests(build_spec("transform", {"split_type": "None"}), transform_context())
    assert faults(calls) == []
    assert "BatchStrategy" not in calls[1].parameters


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"strategy": "SingleRecord", "split_type": "None"}, "needs a split_type"),
        ({"max_payload_mb": 26, "max_concurrent_transforms": 4}, "is 104 MB"),
        ({"max_payload_mb": 101}, "at most 100"),
        ({"environment": {f"V{i}": "" for i in range(17)}}, "takes 16"),
        ({"model_environment": {"A": "x" * 1025}}, "takes 1024"),
        ({"input_filter": "x"}, "JSONPath"),
        ({"output_filter": "$" * 64}, "63 characters"),
        ({"content_type": "csv"}, "MIME type"),
        ({"model_timeout_seconds": 3601}, "at most 3600"),
        ({"model_max_retries": 4}, "at most 3"),
        ({"data_capture_inference_id": True}, "needs data_capture_path"),
        ({"repository_access": "Vpc"}, "give subnets and security_group_ids"),
        ({"runtime": "flytekit"}, "no function is started"),
        ({"instance_groups": []}, "instances of one type"),
    ],
)
def test_limits_are_told(options: dict[str, object], text: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_spec("transform", options)
    assert text in str(caught.value)


def test_guides_options_are_valid(transform_context: Context, faults: Faults) -> None:
    options = {
        "instance_type": "ml.m5.large",
        "instance_count": 1,
        "max_payload_mb": 6,
        "max_concurrent_transforms": 1,
        "strategy": "SingleRecord",
    }
    calls = KIND.requests(build_spec("batch_transform", options), transform_context())
    assert faults(calls) == []


class TestParameterEnvironment:
    def test_values_are_json(self) -> None:
        values = {"config": {"a": [1, None]}, "name": "é"}
        assert parameter_environment(values) == {
            "CDAO_PARAM_CONFIG": '{"a": [1, null]}',
            "CDAO_PARAM_NAME": '"é"',
        }

    def test_problems_come_together(self) -> None:
        with pytest.raises(PlanError) as caught:
            parameter_environment({"long": "x" * 1023, "a": 1, "A": 2, "größe": 1})
        assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("description", "phase", "failure_class"),
    [
        ({"TransformJobStatus": "InProgress"}, Phase.INITIALIZING, ""),
        ({"TransformJobStatus": "InProgress", "TransformStartTime": 1.0}, Phase.RUNNING, ""),
        ({"TransformJobStatus": "Completed"}, Phase.SUCCEEDED, ""),
        ({"TransformJobStatus": "Stopped"}, Phase.STOPPED, ""),
        (
            {"TransformJobStatus": "Failed", "FailureReason": "ClientError: no such key"},
            Phase.FAILED,
            "user",
        ),
        ({"TransformJobStatus": "Hibernating"}, Phase.RUNNING, ""),
        ({}, Phase.RUNNING, ""),
    ],
)
def test_observation(description: dict[str, object], phase: Phase, failure_class: str) -> None:
    seen = KIND.observe(description)
    assert (seen.phase, seen.failure_class) == (phase, failure_class)
