"""Jobs over HTTP, really run: what is created, described, listed and stopped."""

from __future__ import annotations

import io
import tarfile
import time
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from cdao_sdk.local.job_kinds import JOB_KINDS
from cdao_sdk.local.service_model import sagemaker_model

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., dict[str, Any]]
    Ended = Callable[..., dict[str, Any]]


def _refusal(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**request)
    found = error.value.response["Error"]
    return found["Code"], found["Message"]


@pytest.mark.parametrize("kind", JOB_KINDS, ids=lambda kind: kind.kind)
def test_the_table_of_kinds_agrees_with_the_service_model(kind: Any) -> None:
    model = sagemaker_model()
    summary = model.shapes[f"{kind.title}Summary"].get("members", {})
    described = model.output_members(f"Describe{kind.title}")
    listed = model.output_members(f"List{kind.title}s")
    assert set(kind.summary) <= set(summary)
    assert f"{kind.title}Summaries" in listed
    for member in (
        kind.name_member,
        kind.arn_member,
        kind.status_member,
        kind.start_member,
        kind.end_member,
        *kind.defaults,
    ):
        assert member in described
    assert set(model.shapes[kind.status_member].get("enum", [])) >= {"Completed", "Stopping"}


def test_a_training_job_runs_to_its_model(
    sagemaker: Any, s3: Any, training: Make, ended: Ended
) -> None:
    request = training(
        "job-1",
        "import os; print('loss=0.5'); open(os.environ['SM_MODEL_DIR'] + '/m', 'w').close()",
        HyperParameters={"depth": "6"},
        Environment={"A": "b"},
    )
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "loss", "Regex": r"loss=([0-9.]+)"}
    ]
    arn = sagemaker.create_training_job(**request)["TrainingJobArn"]

    job = ended(sagemaker, "job-1")

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed", job
    assert job["TrainingJobArn"] == arn
    for member in ("HyperParameters", "Environment", "ResourceConfig", "StoppingCondition"):
        assert job[member] == request[member]
    transitions = job["SecondaryStatusTransitions"]
    assert [one["Status"] for one in transitions] == [
        *("Starting", "Downloading", "Training", "Uploading", "Completed")
    ]
    for one, following in pairwise(transitions):
        assert one["EndTime"] == following["StartTime"]
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"]
    assert job["TrainingTimeInSeconds"] == job["BillableTimeInSeconds"] >= 1
    assert job["FinalMetricDataList"][0]["MetricName"] == "loss"
    assert job["FinalMetricDataList"][0]["Value"] == pytest.approx(0.5)
    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert artifact == "s3://test-bucket/out/job-1/output/model.tar.gz"
    assert s3.head_object(Bucket="test-bucket", Key="out/job-1/output/model.tar.gz")


def test_a_processing_job_fails_with_its_message(
    sagemaker: Any, processing: Make, ended: Ended
) -> None:
    sagemaker.create_processing_job(**processing("job", "raise SystemExit(3)"))
    job = ended(sagemaker, "job", kind="processing")
    assert job["ProcessingJobStatus"] == "Failed"
    assert "AlgorithmError" in job["FailureReason"]
    assert "3" in job["FailureReason"]
    assert job["ProcessingEndTime"] >= job["ProcessingStartTime"]


def test_a_transform_job_runs_a_model_of_s3(
    sagemaker: Any, s3: Any, transform: Make, ended: Ended
) -> None:
    handlers = (
        b"def model_fn(folder): return 10\n"
        b"def input_fn(body, content_type): return [float(one) for one in body.split()]\n"
        b"def predict_fn(data, model): return [model * one for one in data]\n"
        b"def output_fn(found, accept): return ' '.join(map(str, found))\n"
    )
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("code/inference.py")
        member.size = len(handlers)
        archive.addfile(member, io.BytesIO(handlers))
    s3.put_object(Bucket="test-bucket", Key="model.tar.gz", Body=packed.getvalue())
    s3.put_object(Bucket="test-bucket", Key="in/data.csv", Body=b"1 2 3")
    sagemaker.create_model(
        ModelName="model",
        ExecutionRoleArn="arn:aws:iam::123456789012:role/r",
        PrimaryContainer={"Image": "local", "ModelDataUrl": "s3://test-bucket/model.tar.gz"},
    )
    sagemaker.create_transform_job(**transform("job", "model"))

    job = ended(sagemaker, "job", kind="transform")

    assert job["TransformJobStatus"] == "Completed", job
    got = s3.get_object(Bucket="test-bucket", Key="out/data.csv.out")["Body"].read()
    assert got.split() == [b"10.0", b"20.0", b"30.0"]


def test_spot_training_bills_three_tenths(sagemaker: Any, training: Make, ended: Ended) -> None:
    request = training(
        "spot",
        "import time; time.sleep(1.2)",
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
    )
    sagemaker.create_training_job(**request)
    job = ended(sagemaker, "spot")
    assert job["TrainingTimeInSeconds"] >= 2
    assert job["BillableTimeInSeconds"] == -(-job["TrainingTimeInSeconds"] * 3 // 10)


def test_a_running_job_is_stopped(sagemaker: Any, training: Make, ended: Ended) -> None:
    sagemaker.create_training_job(**training("job", "import time; time.sleep(60)"))
    ended(sagemaker, "job", until=("Training",))
    sagemaker.stop_training_job(TrainingJobName="job")
    stopping = sagemaker.describe_training_job(TrainingJobName="job")
    assert stopping["TrainingJobStatus"] in {"Stopping", "Stopped"}
    job = ended(sagemaker, "job")
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"
    assert "Stopping" in [one["Status"] for one in job["SecondaryStatusTransitions"]]
    assert _refusal(sagemaker.stop_training_job, TrainingJobName="job") == (
        "ValidationException",
        "The request was rejected because the training job is in status Stopped.",
    )


def test_a_job_that_runs_too_long_is_stopped(sagemaker: Any, training: Make, ended: Ended) -> None:
    request = training("slow", "import time; time.sleep(60)")
    request["StoppingCondition"]["MaxRuntimeInSeconds"] = 1
    sagemaker.create_training_job(**request)
    job = ended(sagemaker, "slow")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_names_are_taken_once(sagemaker: Any, training: Make, ended: Ended) -> None:
    sagemaker.create_training_job(**training("job"))
    code, message = _refusal(sagemaker.create_training_job, **training("job"))
    assert code == "ResourceInUse"
    assert message.startswith("Job name must be unique within an AWS account and region")
    ended(sagemaker, "job")
    assert _refusal(sagemaker.create_training_job, **training("job"))[0] == "ResourceInUse"


@pytest.mark.parametrize("call", ["describe_training_job", "stop_training_job"])
def test_a_missing_job_is_a_validation_exception(sagemaker: Any, call: str) -> None:
    assert _refusal(getattr(sagemaker, call), TrainingJobName="none") == (
        "ValidationException",
        "Requested resource not found.",
    )


def test_models_live_and_die(sagemaker: Any, transform: Make) -> None:
    request = {
        "ModelName": "model",
        "ExecutionRoleArn": "arn:aws:iam::123456789012:role/r",
        "PrimaryContainer": {"Image": "local", "ModelDataUrl": "s3://b/model.tar.gz"},
    }
    arn = sagemaker.create_model(**request)["ModelArn"]
    model = sagemaker.describe_model(ModelName="model")
    assert model["PrimaryContainer"] == request["PrimaryContainer"]
    assert model["ModelArn"] == arn
    assert _refusal(sagemaker.create_model, **request) == (
        "ValidationException",
        f'Cannot create already existing model "{arn}".',
    )
    assert [one["ModelName"] for one in sagemaker.list_models()["Models"]] == ["model"]

    sagemaker.delete_model(ModelName="model")
    missing = ("ValidationException", f'Could not find model "{arn}".')
    assert _refusal(sagemaker.describe_model, ModelName="model") == missing
    assert _refusal(sagemaker.delete_model, ModelName="model") == missing
    assert _refusal(sagemaker.create_transform_job, **transform("job", "model")) == missing


def test_a_refused_second_create_changes_no_tags(sagemaker: Any, training: Make) -> None:
    tags = [{"Key": "owner", "Value": "me"}]
    arn = sagemaker.create_training_job(**training("job", Tags=tags))["TrainingJobArn"]
    other = training("job", Tags=[{"Key": "owner", "Value": "you"}])
    assert _refusal(sagemaker.create_training_job, **other)[0] == "ResourceInUse"
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags


def test_tags_are_added_listed_and_deleted(sagemaker: Any, training: Make) -> None:
    tags = [{"Key": "owner", "Value": "me"}]
    arn = sagemaker.create_training_job(**training("job", Tags=tags))["TrainingJobArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "dev"}])
    listed = sagemaker.list_tags(ResourceArn=arn)["Tags"]
    assert listed == [*tags, {"Key": "stage", "Value": "dev"}]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["owner"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == listed[1:]
    assert _refusal(sagemaker.list_tags, ResourceArn=f"{arn}-not")[1] == (
        "Requested resource not found."
    )


def test_lists_filter_sort_and_page(sagemaker: Any, processing: Make, ended: Ended) -> None:
    names = [f"{'even' if number % 2 == 0 else 'odd'}-{number}" for number in range(7)]
    for name in names:
        sagemaker.create_processing_job(**processing(name))
    for name in names:
        ended(sagemaker, name, kind="processing")

    def listed(**request: Any) -> list[str]:
        pages = sagemaker.get_paginator("list_processing_jobs").paginate(
            **request, PaginationConfig={"PageSize": 2}
        )
        return [
            one["ProcessingJobName"] for page in pages for one in page["ProcessingJobSummaries"]
        ]

    assert listed() == names
    assert listed(SortOrder="Descending") == names[::-1]
    assert listed(NameContains="odd", SortBy="Name") == ["odd-1", "odd-3", "odd-5"]
    assert listed(StatusEquals="Completed", SortBy="Status") == sorted(names)
    assert listed(StatusEquals="Failed") == []
    hour = timedelta(hours=1)
    now = datetime.now(timezone.utc)
    assert listed(CreationTimeAfter=now - hour, LastModifiedTimeBefore=now + hour) == names
    assert listed(CreationTimeBefore=now - hour) == []
    first = sagemaker.list_processing_jobs(NameContains="odd", MaxResults=2)
    assert len(first["ProcessingJobSummaries"]) == 2


def test_a_token_is_stable_under_new_jobs(sagemaker: Any, processing: Make) -> None:
    for number in range(4):
        sagemaker.create_processing_job(**processing(f"job-{number}"))
        time.sleep(0.002)
    request = {"SortOrder": "Descending", "MaxResults": 2}
    first = sagemaker.list_processing_jobs(**request)
    sagemaker.create_processing_job(**processing("newer"))
    second = sagemaker.list_processing_jobs(**request, NextToken=first["NextToken"])
    names = [
        one["ProcessingJobName"]
        for page in (first, second)
        for one in page["ProcessingJobSummaries"]
    ]
    assert names == ["job-3", "job-2", "job-1", "job-0"]
    assert "NextToken" not in second
    code, _ = _refusal(sagemaker.list_processing_jobs, NextToken="nonsense")
    assert code == "ValidationException"


def test_the_region_of_the_request_is_the_arn_s(
    server: Any, client: Callable[..., Any], training: Make
) -> None:
    european = client("sagemaker", server.url, region="eu-central-1")
    arn = european.create_training_job(**training("job"))["TrainingJobArn"]
    assert arn == "arn:aws:sagemaker:eu-central-1:123456789012:training-job/job"


def test_a_transform_takes_no_model_but_an_archive(sagemaker: Any) -> None:
    place = {"S3Uri": "s3://b/model/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    model = {"Image": "local", "ModelDataSource": {"S3DataSource": place}}
    role = "arn:aws:iam::123456789012:role/r"
    sagemaker.create_model(ModelName="open", ExecutionRoleArn=role, PrimaryContainer=model)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in/"}}
    refusal = _refusal(
        sagemaker.create_transform_job,
        TransformJobName="of-open",
        ModelName="open",
        TransformInput={"DataSource": source},
        TransformOutput={"S3OutputPath": "s3://b/out"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    assert refusal[0] == "ValidationException"
    assert "which use ModelDataSource" in refusal[1]
