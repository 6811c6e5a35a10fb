"""Faults on purpose: what clients see of them over the wire."""

from __future__ import annotations

import gc
import json
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from cdao_sdk.local import LocalSageMaker
from cdao_sdk.local.faults import FaultsRefused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAP = "import time; time.sleep(60)"


class Admin:
    """The server's own paths."""

    def __init__(self, url: str) -> None:
        self._host = url.removeprefix("http://")

    def send(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        connection = HTTPConnection(self._host)
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        document = json.loads(answer.read())
        connection.close()
        return answer.status, document

    def rules(self, *rules: dict[str, object]) -> None:
        status, answer = self.send("PUT", "/_cdao/faults", {"rules": rules})
        assert status == 200, answer

    @property
    def struck(self) -> list[int]:
        return self.send("GET", "/_cdao/faults")[1]["struck"]


@pytest.fixture
def admin(server: LocalSageMaker) -> Admin:
    return Admin(server.url)


@pytest.fixture
def patient(server: LocalSageMaker) -> Callable[[str], Any]:
    """Makes boto3 clients that try three times."""

    def make(service: str) -> Any:
        session = boto3.Session("local", "local", region_name="us-east-1")
        config = Config(retries={"mode": "standard", "total_max_attempts": 3})
        return session.client(service, endpoint_url=server.url, config=config)

    return make


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


# --- requests ---


def test_throttling_is_retried_by_a_client(admin: Admin, patient: Any) -> None:
    admin.rules({"fault": "throttling", "operations": "ListTrainingJobs", "first": 2})
    assert patient("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
    assert admin.struck == [2]


def test_each_service_words_faults_its_own_way(admin: Admin, s3: Any, sagemaker: Any) -> None:
    admin.rules({"fault": "throttling"}, {"fault": "server_error"})
    with pytest.raises(ClientError) as error:
        sagemaker.list_models()
    assert (code_of(error), error.value.response["Error"]["Message"]) == (
        "ThrottlingException",
        "Rate exceeded",
    )
    with pytest.raises(ClientError) as error:
        s3.list_buckets()
    assert code_of(error) == "SlowDown"
    admin.rules({"fault": "server_error", "operations": "s3:PutObject", "names": "test-bucket/a*"})
    s3.put_object(Bucket="test-bucket", Key="b", Body=b"1")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="test-bucket", Key="a", Body=b"1")
    assert code_of(error) == "InternalError"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_leaves_what_it_did(admin: Admin, s3: Any, sagemaker: Any, when: str) -> None:
    rule = {"fault": "server_error", "code": "ServiceUnavailable", "when": when}
    admin.rules({**rule, "operations": "s3:PutObject"})
    with pytest.raises(ClientError, match="ServiceUnavailable"):
        s3.put_object(Bucket="test-bucket", Key="k", Body=b"1")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="test-bucket").get("Contents", [])]
    assert keys == (["k"] if when == "after" else [])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_dropped_connection_gives_no_answer(
    admin: Admin, sagemaker: Any, processing: Any, when: str
) -> None:
    admin.rules({"fault": "dropped_connection", "operations": "Create*", "when": when})
    with pytest.raises(ConnectionClosedError):
        sagemaker.create_processing_job(**processing("dropped"))
    found = sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
    assert len(found) == (1 if when == "after" else 0)


def test_an_upload_whose_connection_drops_can_be_sent_again(admin: Admin, patient: Any) -> None:
    admin.rules({"fault": "dropped_connection", "operations": "s3:PutObject", "first": 1})
    s3 = patient("s3")
    s3.put_object(Bucket="test-bucket", Key="k", Body=b"x" * 3_000_000)
    assert s3.head_object(Bucket="test-bucket", Key="k")["ContentLength"] == 3_000_000
    assert admin.struck == [1]


def test_latency_holds_an_answer_back(admin: Admin, sagemaker: Any) -> None:
    admin.rules({"fault": "latency", "seconds": 0.2})
    begin = time.monotonic()
    sagemaker.list_models()
    assert time.monotonic() - begin >= 0.2


@pytest.mark.parametrize(("seconds", "says"), [(400, "expired"), (-400, "not yet current")])
def test_a_clock_that_is_off_refuses_signatures(
    admin: Admin, sagemaker: Any, s3: Any, seconds: int, says: str
) -> None:
    admin.rules({"fault": "clock_skew", "seconds": seconds})
    with pytest.raises(ClientError, match=f"Signature {says}") as error:
        sagemaker.list_models()
    assert code_of(error) == "InvalidSignatureException"
    told = error.value.response["ResponseMetadata"]["HTTPHeaders"]["date"]
    assert abs(_seconds_of(told) - time.time() - seconds) < 30
    assert s3.list_buckets()["Buckets"]  # S3 allows a quarter of an hour
    admin.rules({"fault": "clock_skew", "seconds": 3 * seconds})
    with pytest.raises(ClientError, match="RequestTimeTooSkewed"):
        s3.list_buckets()


def _seconds_of(date: str) -> float:
    from email.utils import parsedate_to_datetime

    return parsedate_to_datetime(date).timestamp()


def test_a_request_brings_its_own_fault(patient: Any, admin: Admin) -> None:
    client = patient("sagemaker")
    own = ['{"fault": "throttling", "first": 2}']
    client.meta.events.register(
        "before-call.sagemaker.ListModels",
        lambda params, **_: params["headers"].__setitem__("x-cdao-fault", own[0]),
    )
    answer = client.list_models()
    assert answer["ResponseMetadata"]["RetryAttempts"] == 2
    own[0] = "throttling"
    with pytest.raises(ClientError, match="ThrottlingException"):
        client.list_models()
    own[0] = "thunder"
    with pytest.raises(ClientError, match="x-cdao-fault is not valid: fault must be one of"):
        client.list_models()
    assert client.list_training_jobs()["TrainingJobSummaries"] == []
    assert admin.struck == []


def test_the_request_s_own_fault_and_the_plan_s_both_strike(
    admin: Admin, server: LocalSageMaker, client: Any, training: Any, ended: Any
) -> None:
    sagemaker = client("sagemaker", server.url)
    admin.rules(
        {"fault": "slow_start", "seconds": 0.1},
        {"fault": "dropped_connection", "when": "after", "operations": "Create*", "first": 1},
    )
    own = '{"fault": "capacity", "seconds": 0.1}'
    sagemaker.meta.events.register(
        "before-call.sagemaker.CreateTrainingJob",
        lambda params, **_: params["headers"].__setitem__("x-cdao-fault", own),
    )
    with pytest.raises(ConnectionClosedError):
        sagemaker.create_training_job(**training("both", "pass"))
    described = ended(sagemaker, "both")
    assert described["FailureReason"].startswith("CapacityError")
    assert admin.struck == [1, 1]


def test_a_stop_at_the_moment_of_an_interruption_ends_the_job(
    admin: Admin, sagemaker: Any, training: Any, ended: Any
) -> None:
    spot = {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
    }
    sagemaker.create_training_job(**training("spot", NAP, **spot))
    ended(sagemaker, "spot", until=("Training",))
    assert admin.send("POST", "/_cdao/interruptions/spot")[0] == 200
    sagemaker.stop_training_job(TrainingJobName="spot")
    assert ended(sagemaker, "spot")["TrainingJobStatus"] == "Stopped"


def test_the_lost_answer_of_a_read_leaves_no_file_open(
    admin: Admin, patient: Any, server: LocalSageMaker
) -> None:
    body = b"x" * 100_000
    server.objects.put_bytes("test-bucket", "k", body)
    rule = {"operations": "s3:GetObject", "when": "after", "first": 1}
    admin.rules({"fault": "dropped_connection", **rule}, {"fault": "server_error", **rule})
    got = patient("s3").get_object(Bucket="test-bucket", Key="k")
    assert got["Body"].read() == body
    gc.collect()  # a file that was left open warns, and that is an error
    assert admin.struck == [1, 1]


# --- jobs ---


def test_a_create_request_brings_its_job_s_fault(
    admin: Admin, sagemaker: Any, processing: Any, ended: Any
) -> None:
    sagemaker.meta.events.register(
        "before-call.sagemaker.CreateProcessingJob",
        lambda params, **_: params["headers"].update({"x-cdao-fault": "capacity"}),
    )
    sagemaker.create_processing_job(**processing("none"))
    described = ended(sagemaker, "none", kind="processing")
    assert described["FailureReason"].startswith("CapacityError")


def test_a_quota_counts_the_instances_in_use(
    admin: Admin, sagemaker: Any, training: Any, ended: Any
) -> None:
    admin.rules({"fault": "quota", "instance_type": "ml.m5.*", "limit": 2})
    for name in ("one", "two"):
        sagemaker.create_training_job(**training(name, NAP))
    with pytest.raises(ClientError) as error:
        sagemaker.create_training_job(**training("three", NAP))
    assert code_of(error) == "ResourceLimitExceeded"
    assert error.value.response["Error"]["Message"].startswith(
        "The account-level service limit 'ml.m5.large for training job usage' is 2 Instances, with"
        " current utilization of 2 Instances and a request delta of 1 Instances."
    )
    # Spot has a quota of its own.
    spot = training("spot", EnableManagedSpotTraining=True)
    spot["StoppingCondition"]["MaxWaitTimeInSeconds"] = 60
    sagemaker.create_training_job(**spot)
    with pytest.raises(ClientError, match="ResourceInUse"):
        sagemaker.create_training_job(**training("one", NAP))
    sagemaker.stop_training_job(TrainingJobName="one")
    ended(sagemaker, "one")
    sagemaker.create_training_job(**training("three"))
    sagemaker.stop_training_job(TrainingJobName="two")


@pytest.mark.parametrize("kind", ["training", "processing"])
def test_missing_capacity_fails_a_job(
    admin: Admin, sagemaker: Any, request: pytest.FixtureRequest, ended: Any, kind: str
) -> None:
    admin.rules({"fault": "capacity"})
    make = request.getfixturevalue(kind)
    getattr(sagemaker, f"create_{kind}_job")(**make("none"))
    described = ended(sagemaker, "none", kind=kind)
    assert described[f"{kind.title()}JobStatus"] == "Failed"
    assert described["FailureReason"].startswith("CapacityError: Unable to provision requested ML")
    assert f"{kind.title()}StartTime" not in described


def test_a_job_waits_for_capacity_and_for_slow_instances(
    admin: Admin, sagemaker: Any, training: Any, ended: Any
) -> None:
    admin.rules(
        {"fault": "capacity", "outcome": "wait", "seconds": 0.3},
        {"fault": "slow_start", "seconds": 0.3},
    )
    sagemaker.create_training_job(**training("late"))
    assert ended(sagemaker, "late", until=("Pending",))["TrainingJobStatus"] == "InProgress"
    described = ended(sagemaker, "late")
    assert described["TrainingJobStatus"] == "Completed"
    seen = [one["Status"] for one in described["SecondaryStatusTransitions"]]
    assert seen[:4] == ["Starting", "Pending", "Starting", "Downloading"]
    waited = described["TrainingStartTime"] - described["CreationTime"]
    assert waited.total_seconds() >= 0.6


def test_a_wait_ends_with_the_patience_of_the_request(
    admin: Admin, sagemaker: Any, training: Any, ended: Any
) -> None:
    admin.rules({"fault": "capacity", "outcome": "wait", "seconds": 1000})
    request = training("impatient", EnableManagedSpotTraining=True)
    request["StoppingCondition"] = {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1}
    sagemaker.create_training_job(**request)
    described = ended(sagemaker, "impatient")
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == (
        "Stopped",
        "MaxWaitTimeExceeded",
    )


def test_a_waiting_job_can_be_stopped(
    admin: Admin, sagemaker: Any, training: Any, ended: Any
) -> None:
    admin.rules({"fault": "slow_start", "seconds": 1000})
    sagemaker.create_training_job(**training("slow"))
    sagemaker.stop_training_job(TrainingJobName="slow")
    assert ended(sagemaker, "slow")["TrainingJobStatus"] == "Stopped"


RESUMING = (
    "import pathlib, time; seen = pathlib.Path('/opt/ml/checkpoints/seen');"
    " time.sleep(0 if seen.exists() or not seen.write_text('1') else 60)"
)


def spot(make: Any, name: str) -> dict[str, Any]:
    request = make(name, RESUMING, EnableManagedSpotTraining=True)
    request["StoppingCondition"]["MaxWaitTimeInSeconds"] = 120
    return {**request, "CheckpointConfig": {"S3Uri": "s3://test-bucket/checkpoints"}}


@pytest.mark.parametrize("how", ["rule", "request"])
def test_an_interrupted_spot_job_goes_on_from_its_checkpoint(
    admin: Admin, sagemaker: Any, training: Any, ended: Any, how: str
) -> None:
    if how == "rule":
        admin.rules({"fault": "interruption", "seconds": 0.5})
    sagemaker.create_training_job(**spot(training, "spot"))
    if how == "request":
        ended(sagemaker, "spot", until=("Training",))
        time.sleep(0.5)
        path = "/_cdao/interruptions/spot"
        assert admin.send("POST", path) == (200, {"interrupted": "spot"})
    described = ended(sagemaker, "spot")
    assert described["TrainingJobStatus"] == "Completed"
    seen = [one["Status"] for one in described["SecondaryStatusTransitions"]]
    assert seen.count("Training") == 2
    assert seen.index("Interrupted") < len(seen) - 1 - seen[::-1].index("Training")


def test_only_spot_instances_are_interrupted(
    admin: Admin, sagemaker: Any, training: Any, ended: Any
) -> None:
    admin.rules({"fault": "interruption"})
    sagemaker.create_training_job(**training("steady", "import time; time.sleep(0.5)"))
    ended(sagemaker, "steady", until=("Training",))
    assert admin.send("POST", "/_cdao/interruptions/steady")[0] == 404
    described = ended(sagemaker, "steady")
    assert described["TrainingJobStatus"] == "Completed"
    seen = [one["Status"] for one in described["SecondaryStatusTransitions"]]
    assert "Interrupted" not in seen


# --- where faults come from ---


def test_a_plan_is_shown_replaced_and_removed(admin: Admin, sagemaker: Any) -> None:
    plan = {"seed": 7, "rules": [{"fault": "throttling", "first": 1}]}
    assert admin.send("PUT", "/_cdao/faults", plan) == (200, {"plan": plan, "struck": [0]})
    status, refused = admin.send("PUT", "/_cdao/faults", {"rules": [{}]})
    assert status == 400
    assert "rules[0]: fault must be one of" in refused["problems"][0]
    assert admin.send("GET", "/_cdao/faults")[1]["plan"] == plan
    assert admin.send("DELETE", "/_cdao/faults")[1]["plan"]["rules"] == []
    sagemaker.list_models()
    assert admin.send("POST", "/_cdao/nothing")[0] == 404
    assert admin.send("POST", "/_cdao/interruptions/none")[0] == 404


def test_the_state_directory_may_hold_faults(tmp_path: Path, client: Any) -> None:
    (tmp_path / "faults.json").write_text('{"rules": [{"fault": "throttling"}]}')
    with LocalSageMaker(tmp_path) as server, pytest.raises(ClientError, match="Throttling"):
        client("sagemaker", server.url).list_models()
    with LocalSageMaker(tmp_path, faults='{"rules": []}') as server:
        client("sagemaker", server.url).list_models()
    (tmp_path / "faults.json").write_text("{}}")
    with pytest.raises(ValueError, match="not JSON"):
        LocalSageMaker(tmp_path).start()


def test_faults_of_the_state_directory_that_are_wrong_are_named_by_their_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "faults.json").write_text('{"rules": [{"fault": "thunder"}]}')
    with pytest.raises(FaultsRefused, match=r"faults\.json: rules\[0\]: fault must be one of"):
        LocalSageMaker(tmp_path).start()
