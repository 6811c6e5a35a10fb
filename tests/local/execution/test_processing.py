"""Processing jobs: inputs and outputs at the user's paths, exit messages, failures."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cdao_sdk.local.jobs import Outcome

    from .conftest import Laboratory


def process(lab: Laboratory, code: str | list[str], **more: object) -> Outcome:
    stop = more.pop("stop", None)
    assert stop is None or isinstance(stop, threading.Event)
    command = code if isinstance(code, list) else ["python3", "-c"]
    specification = {"ImageUri": "any", "ContainerEntrypoint": command}
    if not isinstance(code, list):
        specification["ContainerArguments"] = [code]
    request: dict[str, object] = {
        "ProcessingJobName": "job",
        "AppSpecification": specification,
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large"}
        },
    }
    return lab.run("processing", request | more, stop=stop)


def given(uri: str, path: str, **more: str) -> dict[str, object]:
    s3 = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": "in", "S3Input": s3 | more}


def wanted(path: str, uri: str, mode: str = "EndOfJob") -> dict[str, object]:
    output = {"S3Uri": uri, "LocalPath": path, "S3UploadMode": mode}
    return {"Outputs": [{"OutputName": "out", "S3Output": output}]}


def test_inputs_become_outputs(lab: Laboratory) -> None:
    lab.put("raw/a.csv", "1")
    outcome = process(
        lab,
        "import os; d='/opt/ml/processing/'; os.mkdir(d + 'out/deep');"
        "open(d + 'out/deep/b.csv', 'w').write(open(d + 'in/a.csv').read() + os.environ['X']);"
        "print(os.environ['PROCESSING_JOB_NAME'], os.environ['PROCESSING_JOB_ARN'])",
        ProcessingInputs=[given("s3://bucket/raw/", "/opt/ml/processing/in")],
        ProcessingOutputConfig=wanted("/opt/ml/processing/out", "s3://bucket/clean"),
        Environment={"X": "2"},
    )
    assert outcome.status == "Completed"
    assert lab.get("clean/deep/b.csv") == b"12"
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:processing-job/job"
    assert lab.log.text() == f"job {arn}\n"


def test_configuration_is_where_aws_puts_it(lab: Laboratory) -> None:
    resources = {"ClusterConfig": {"InstanceCount": 2, "InstanceType": "ml.m5.large"}}
    process(
        lab,
        "import json; d='/opt/ml/config/'; print(json.dumps([json.load(open(d + n + '.json'))"
        " for n in ('resourceconfig', 'processingjobconfig')]))",
        ProcessingResources=resources,
        Tags=[{"Key": "a", "Value": "b"}],
    )
    resource, job = json.loads(lab.log.text("algo-2"))
    assert resource == {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]}
    assert job["ProcessingJobName"] == "job"
    assert job["ProcessingResources"] == resources
    assert "Tags" not in job


def test_a_failed_job_says_its_message_and_uploads_nothing(lab: Laboratory) -> None:
    outcome = process(
        lab,
        "open('/opt/ml/processing/out/a', 'w').write('x');"
        "open('/opt/ml/output/message', 'w').write('ü' * 3000); raise SystemExit(2)",
        ProcessingOutputConfig=wanted("/opt/ml/processing/out", "s3://bucket/clean"),
    )
    assert outcome.status == "Failed"
    assert outcome.exit_message == "ü" * 1024
    assert outcome.failure_reason == (
        "AlgorithmError: See job logs for more information, exit code: 2"
    )
    assert lab.keys() == []


def test_without_a_message_the_last_line_is_told(lab: Laboratory) -> None:
    outcome = process(lab, "raise ValueError('no such column')")
    assert "exit code: 1, last line: ValueError: no such column" in str(outcome.failure_reason)


def test_continuous_outputs_are_there_even_after_a_failure(lab: Laboratory) -> None:
    outcome = process(
        lab,
        "open('/opt/ml/processing/out/a', 'w').write('x'); raise SystemExit(2)",
        ProcessingOutputConfig=wanted("/opt/ml/processing/out", "s3://bucket/c/", "Continuous"),
    )
    assert outcome.status == "Failed"
    assert lab.keys() == ["c/a"]


def test_a_message_that_is_no_text_fails_the_job(lab: Laboratory) -> None:
    outcome = process(lab, "open('/opt/ml/output/message', 'wb').write(bytes([255, 254]))")
    assert (outcome.status, "UTF-8" in str(outcome.failure_reason)) == ("Failed", True)


def test_stopped_and_overdue_jobs(lab: Laboratory) -> None:
    stop = threading.Event()
    stop.set()
    assert process(lab, ["sleep", "60"], stop=stop).status == "Stopped"
    outcome = process(lab, ["sleep", "60"], StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (outcome.status, "MaxRuntime" in str(outcome.failure_reason)) == ("Stopped", True)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"ProcessingInputs": [given("s3://bucket/x", "/data")]}, "'/data'"),
        ({"ProcessingInputs": [given("s3://bucket/x", "/opt/ml/../x")]}, "below /opt/ml"),
        ({"ProcessingInputs": [given("s3://bucket/x", "/opt/ml/a", S3InputMode="Pipe")]}, "File"),
        ({"ProcessingInputs": [{"InputName": "d", "DatasetDefinition": {}}]}, "'d'"),
        ({"AppSpecification": {"ImageUri": "mine"}}, "'mine'"),
        ({"ProcessingOutputConfig": {"Outputs": [{"OutputName": "f"}]}}, "'f'"),
        (
            {
                "ProcessingOutputConfig": wanted(
                    "/opt/ml/processing", "s3://nowhere/x", "Continuous"
                )
            },
            "NoSuchBucket",
        ),
    ],
)
def test_what_cannot_be_done_is_said(lab: Laboratory, more: dict[str, object], words: str) -> None:
    lab.put("x", "1")
    code = "open('/opt/ml/processing/a', 'w').write('x')"
    outcome = process(lab, code, **more)
    assert outcome.status == "Failed"
    assert str(outcome.failure_reason).startswith("ClientError: ")
    assert words in str(outcome.failure_reason)
