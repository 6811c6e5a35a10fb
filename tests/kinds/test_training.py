from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from cdao_sdk.errors import PlanError, SpecError
from cdao_sdk.kinds.build import build_spec
from cdao_sdk.kinds.job import DataSource, JobContext, Phase, RuntimeFiles
from cdao_sdk.kinds.training import KIND, SECONDARY_STATUSES, TrainingSpec

Context = Callable[..., JobContext]
Faults = Callable[..., list[str]]


def spec(**options: object) -> TrainingSpec:
    built = build_spec("training", {"framework": "pytorch", **options})
    assert isinstance(built, TrainingSpec)
    return built


def request(options: dict[str, object], context: JobContext) -> Any:
    (call,) = KIND.requests(build_spec("training", options), context)
    assert call.operation == "CreateTrainingJob"
    return call.parameters


XGBOOST = {"framework": "xgboost", "framework_version": "1.2-1"}


class TestBody:
    def test_function_runs_from_its_channels(
        self, context: Context, runtime: RuntimeFiles, faults: Faults
    ) -> None:
        calls = KIND.requests(spec(), context(runtime=runtime))
        assert faults(calls) == []
        job: Any = calls[0].parameters
        assert job["AlgorithmSpecification"]["ContainerEntrypoint"] == [
            "python3",
            "/opt/ml/input/data/cdao/runner.py",
        ]
        channels = {channel["ChannelName"]: channel for channel in job["InputDataConfig"]}
        assert list(channels) == ["data", "cdao", "cdao-job"]
        assert "ContentType" not in channels["data"]
        assert channels["cdao"]["InputMode"] == "File"

    def test_code_elsewhere_gets_a_channel(self, context: Context) -> None:
        files = RuntimeFiles("s3://b/r/", "s3://b/j/", "s3://b/fast/registered.tar.gz")
        job = request({"framework": "pytorch"}, context(runtime=files))
        assert job["InputDataConfig"][-1]["ChannelName"] == "cdao-code"

    @pytest.mark.parametrize(("count", "expected"), [(1, None), (2, "eth0")])
    def test_several_hosts_are_told_their_network(
        self, context: Context, runtime: RuntimeFiles, count: int, expected: str | None
    ) -> None:
        options = {"framework": "pytorch", "instance_count": count}
        job = request(options, context(runtime=runtime))
        assert job.get("Environment", {}).get("NCCL_SOCKET_IFNAME") == expected

    def test_users_network_setting_wins(self, context: Context, runtime: RuntimeFiles) -> None:
        mine = {"NCCL_SOCKET_IFNAME": "lo"}
        options = {"framework": "pytorch", "instance_count": 2, "environment": mine}
        job = request(options, context(runtime=runtime))
        assert job["Environment"] == {"GLOO_SOCKET_IFNAME": "eth0", **mine}

    def test_logged_metrics_get_a_regex(self, context: Context, runtime: RuntimeFiles) -> None:
        options = {
            "framework": "pytorch",
            "metrics": ["f1.macro"],
            "metric_definitions": {"a": "b"},
        }
        job = request(options, context(runtime=runtime))
        assert job["AlgorithmSpecification"]["MetricDefinitions"] == [
            {"Name": "a", "Regex": "b"},
            {"Name": "f1.macro", "Regex": r"\[cdao:metric\] f1\.macro=(\S+)"},
        ]

    def test_everything_at_once_is_valid(
        self, context: Context, runtime: RuntimeFiles, faults: Faults
    ) -> None:
        full = spec(
            use_spot_instances=True,
            checkpoint_uri="s3://bucket/checkpoints",
            hyperparameters={"lr": 0.1, "layers": [1, 2], "amp": True},
            retry_attempts=3,
            max_pending_seconds=7200,
            output_compression="none",
            kms_key_id="alias/all",
            volume_kms_key_id="1234-abcd",
            subnets=["subnet-1"],
            security_group_ids=["sg-1"],
            enable_network_isolation=True,
            encrypt_inter_container_traffic=True,
            instance_count=2,
            environment={"A": "b"},
            tags={"team": "crédit"},
        )
        run = context(
            runtime=runtime,
            tags={"cdao:workflow": "flow{1}", "team": "ours"},
            environment={"CDAO_NODE": "n0"},
        )
        calls = KIND.requests(full, run)
        assert faults(calls) == []
        job: Any = calls[0].parameters
        assert job["StoppingCondition"] == {
            "MaxRuntimeInSeconds": 86400,
            "MaxWaitTimeInSeconds": 90000,
            "MaxPendingTimeInSeconds": 7200,
        }
        assert job["OutputDataConfig"] == {
            "S3OutputPath": "s3://bucket/out/exec/n0",
            "KmsKeyId": "alias/all",
            "CompressionType": "NONE",
        }
        assert job["ResourceConfig"]["VolumeKmsKeyId"] == "1234-abcd"
        assert job["CheckpointConfig"] == {"S3Uri": "s3://bucket/checkpoints"}
        assert job["HyperParameters"] == {"lr": "0.1", "layers": "[1, 2]", "amp": "1"}
        assert job["Tags"] == [
            {"Key": "cdao:workflow", "Value": "flow_1_"},
            {"Key": "team", "Value": "crédit"},
        ]


class TestAlgorithm:
    def test_builtin_has_no_entrypoint_and_content_types(
        self, context: Context, faults: Faults
    ) -> None:
        sources = {
            "validation": DataSource("s3://b/val.parquet"),
            "train": DataSource("s3://b/prefix"),
            "extra": DataSource("s3://b/x.svm", content_type="text/x-own"),
        }
        calls = KIND.requests(
            build_spec("training", XGBOOST),
            context(channels=sources, hyperparameters={"max_depth": "6", "eta": "0.3"}),
        )
        assert faults(calls) == []
        job: Any = calls[0].parameters
        assert job["AlgorithmSpecification"] == {
            "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.2-1",
            "TrainingInputMode": "File",
        }
        types = {c["ChannelName"]: c["ContentType"] for c in job["InputDataConfig"]}
        assert types == {
            "train": "text/csv",
            "validation": "application/x-parquet",
            "extra": "text/x-own",
        }
        assert next(iter(types)) == "train"
        assert job["HyperParameters"] == {"max_depth": "6", "eta": "0.3", "num_round": "100"}

    def test_num_round_of_the_user_stays(self, context: Context) -> None:
        options = {"algorithm": "xgboost", "hyperparameters": {"num_round": 7.0, "eta": 1}}
        job = request(options, context(hyperparameters={"eta": "0.5"}))
        assert job["HyperParameters"] == {"num_round": "7", "eta": "0.5"}

    def test_first_party_algorithms_have_images(self, context: Context) -> None:
        job = request({"algorithm": "linear_learner"}, context())
        assert job["AlgorithmSpecification"]["TrainingImage"] == (
            "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1"
        )
        assert "HyperParameters" not in job

    def test_own_image_without_a_body_keeps_its_own_entrypoint(
        self, context: Context, faults: Faults
    ) -> None:
        calls = KIND.requests(build_spec("training", {"container_image": "my/im:1"}), context())
        assert faults(calls) == []
        job: Any = calls[0].parameters
        assert "ContainerEntrypoint" not in job["AlgorithmSpecification"]
        assert "ContentType" not in job["InputDataConfig"][0]

    @pytest.mark.parametrize(
        "options",
        [{"framework": "pytorch"}, {"metrics": ["auc"]}],
    )
    def test_builtin_takes_nothing_of_a_script(self, options: dict[str, object]) -> None:
        with pytest.raises(SpecError, match="built-in algorithm"):
            build_spec("training", {"algorithm": "xgboost", **options})


class TestLimits:
    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"spot_instance_max_wait_seconds": 90_000}, "needs use_spot_instances=True"),
            ({"use_spot_instances": True, "keep_alive_seconds": 60}, "no warm pool"),
            ({"max_runtime_seconds": 28 * 86_400 + 1}, "at most 2419200"),
            ({"keep_alive_seconds": 21_601}, "at most 21600"),
            ({"retry_attempts": 31}, "at most 30"),
            ({"metrics": [f"m{i}" for i in range(41)]}, "41 metrics; SageMaker takes 40"),
            ({"metrics": ["a"], "metric_definitions": {"a": "x"}}, "in metrics and in metric_def"),
            ({"metric_definitions": {"a": "("}}, "no regular expression"),
            ({"metric_definitions": {"a": "x" * 501}}, "has 501 characters"),
            ({"hyperparameters": {"a": None}}, "leave it out"),
            ({"hyperparameters": {"a": "x" * 2501}}, "up to 2,500 characters"),
            ({"hyperparameters": {"a": "x\ny"}}, "in one line"),
            ({"hyperparameters": {f"h{i}": 1 for i in range(101)}}, "101 hyperparameters"),
        ],
    )
    def test_limits_are_told(self, options: dict[str, object], text: str) -> None:
        with pytest.raises(SpecError) as caught:
            spec(**options)
        assert text in str(caught.value)

    def test_spot_without_wait_waits_an_hour_longer_than_it_runs(self) -> None:
        built = spec(use_spot_instances=True, max_runtime_seconds=3600)
        assert built.spot_instance_max_wait_seconds == 7200

    def test_more_than_20_channels_are_refused(
        self, context: Context, runtime: RuntimeFiles
    ) -> None:
        many = {f"c{i}": DataSource("s3://b/x") for i in range(19)}
        with pytest.raises(PlanError, match="21 channels"):
            KIND.requests(spec(), context(channels=many, runtime=runtime))

    def test_environment_clash_is_an_error(self, context: Context) -> None:
        with pytest.raises(PlanError, match="set by the run itself"):
            KIND.requests(spec(environment={"A": "1"}), context(environment={"A": "2"}))

    def test_unknown_region_is_a_plan_error(self, context: Context) -> None:
        with pytest.raises(PlanError, match="no image in region 'mars-north-1'"):
            KIND.requests(spec(), context(region="mars-north-1"))

    def test_role_of_the_spec_wins(self, context: Context) -> None:
        mine = "arn:aws:iam::123456789012:role/Mine"
        job = request({**XGBOOST, "role": mine}, context())
        assert job["RoleArn"] == mine


def described(status: str, secondary: str = "", **fields: object) -> dict[str, object]:
    return {
        "TrainingJobName": "job",
        "TrainingJobStatus": status,
        "SecondaryStatus": secondary,
        "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
        **fields,
    }


class TestObservation:
    def test_every_secondary_status_of_the_model_is_known(
        self, model_enum: Callable[[str], list[str]]
    ) -> None:
        assert set(model_enum("SecondaryStatus")) == set(SECONDARY_STATUSES)

    @pytest.mark.parametrize(
        ("status", "secondary", "phase"),
        [
            ("InProgress", "Pending", Phase.QUEUED),
            ("InProgress", "Starting", Phase.INITIALIZING),
            ("InProgress", "Downloading", Phase.INITIALIZING),
            ("InProgress", "Training", Phase.RUNNING),
            ("InProgress", "Interrupted", Phase.RUNNING),
            ("InProgress", "Completed", Phase.RUNNING),
            ("InProgress", "Dreaming", Phase.RUNNING),
            ("Stopping", "Stopping", Phase.RUNNING),
            ("Completed", "Completed", Phase.SUCCEEDED),
            ("Stopped", "Stopped", Phase.STOPPED),
            ("Stopped", "Dreaming", Phase.STOPPED),
            ("Deleting", "Stopped", Phase.STOPPED),
            ("Hibernating", "Dreaming", Phase.RUNNING),
        ],
    )
    def test_phases(self, status: str, secondary: str, phase: Phase) -> None:
        assert KIND.observe(described(status, secondary)).phase is phase

    def test_stopped_at_its_time_limit_is_a_failure(self) -> None:
        seen = KIND.observe(described("Stopped", "MaxRuntimeExceeded"))
        assert (seen.phase, seen.failure_class) == (Phase.FAILED, "timeout")
        assert "max_runtime_seconds" in seen.message

    @pytest.mark.parametrize(
        ("spot", "phase", "failure_class"),
        [(True, Phase.RETRYABLE, "interrupted"), (False, Phase.FAILED, "timeout")],
    )
    def test_wait_exceeded(self, spot: bool, phase: Phase, failure_class: str) -> None:
        seen = KIND.observe(
            described("Stopped", "MaxWaitTimeExceeded", EnableManagedSpotTraining=spot)
        )
        assert (seen.phase, seen.failure_class) == (phase, failure_class)

    def test_all_fields_are_read(self) -> None:
        now = dt.datetime(2026, 11, 23, tzinfo=dt.timezone.utc)
        seen = KIND.observe(
            described(
                "Completed",
                "Completed",
                CreationTime=now,
                TrainingStartTime=now.timestamp(),
                BillableTimeInSeconds=30,
                TrainingTimeInSeconds=100,
                EnableManagedSpotTraining=True,
                ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2},
                FinalMetricDataList=[{"MetricName": "auc", "Value": 0.78}],
                ModelArtifacts={"S3ModelArtifacts": "s3://b/model.tar.gz"},
            )
        )
        assert (seen.created, seen.started, seen.ended) == (now, now, None)
        assert (seen.billable_seconds, seen.training_seconds, seen.spot) == (30, 100, True)
        assert (seen.instance_type, seen.instance_count) == ("ml.m5.large", 2)
        assert seen.metrics == {"auc": 0.78}

    def test_unknown_secondary_status_tells_what_sagemaker_said(self) -> None:
        transitions = [{"Status": "Dreaming", "StatusMessage": "counting sheep"}]
        seen = KIND.observe(
            described("InProgress", "Dreaming", SecondaryStatusTransitions=transitions)
        )
        assert seen.message == "counting sheep"

    def test_outputs_lie_in_the_archive_or_beside_it(self) -> None:
        job = described("Completed", ModelArtifacts={"S3ModelArtifacts": "s3://b/m.tar.gz"})
        assert KIND.artifact(job) == "s3://b/m.tar.gz"
        assert KIND.result_uri(job) == "s3://b/out/job/output/output.tar.gz"
        plain = {"S3OutputPath": "s3://b/out/", "CompressionType": "NONE"}
        assert KIND.result_uri({**job, "OutputDataConfig": plain}) == (
            "s3://b/out/job/output/data/outputs.json"
        )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"framework": "pytorch"}, "without output_compression='NONE'"),
        ({"algorithm": "kmeans", "output_compression": "NONE"}, "uploads its model itself"),
        (
            {"container_image": "own:1", "runtime": "flytekit", "output_compression": "NONE"},
            "packs no model",
        ),
    ],
)
def test_an_archive_of_the_model_that_nobody_would_make(
    options: dict[str, object], words: str
) -> None:
    with pytest.raises(SpecError) as refused:
        build_spec("training", {**options, "model_archive": True})
    assert words in str(refused.value)
