"""``extra``: fields in SageMaker's own spelling, checked at the declaration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cdao_sdk.errors import PlanError, SpecError
from cdao_sdk.kinds.body import runs_body
from cdao_sdk.kinds.build import build_spec
from cdao_sdk.kinds.extra import with_extra
from cdao_sdk.kinds.job import JobContext, RuntimeFiles
from cdao_sdk.kinds.registry import kind

Context = Callable[..., JobContext]
Faults = Callable[..., list[str]]

FILE_SYSTEM = {
    "FileSystemId": "fs-0123456789abcdef0",
    "FileSystemAccessMode": "ro",
    "FileSystemType": "FSxLustre",
    "DirectoryPath": "/data",
}
VPC = {"subnets": ["subnet-1"], "security_group_ids": ["sg-1"]}
QUERY = {
    "LocalPath": "/opt/ml/processing/query",
    "AthenaDatasetDefinition": {
        "Catalog": "AwsDataCatalog",
        "Database": "sales",
        "QueryString": "SELECT 1",
        "OutputS3Uri": "s3://bucket/query",
        "OutputFormat": "PARQUET",
    },
}


def problems(job: str, extra: dict[str, Any], **options: Any) -> str:
    if job == "training":
        options.setdefault("framework", "xgboost")
    with pytest.raises(SpecError) as caught:
        build_spec(job, {**options, "extra": extra})
    return "\n".join(caught.value.problems)


def request(job: str, extra: dict[str, Any], run: JobContext, **options: Any) -> list[Any]:
    calls = kind(job).requests(build_spec(job, {**options, "extra": extra}), run)
    return [call.parameters for call in calls]


class TestRefused:
    @pytest.mark.parametrize(
        ("job", "extra", "text"),
        [
            ("training", {"RetryStrateg": {}}, "Did you mean 'RetryStrategy'?"),
            ("training", {"EnableManagedSpotTraining": True}, "the option use_spot_instances sets"),
            ("training", {"Tags": []}, "the option tags sets"),
            ("training", {"VpcConfig": {"Subnets": []}}, "the option subnets sets"),
            ("training", {"TrainingJobName": "x"}, "set by us"),
            ("training", {"ServerlessJobConfig": {}}, "not for a task"),
            ("training", {"RemoteDebugConfig": True}, "it must be a dict"),
            ("training", {"RemoteDebugConfig": None}, "is None; leave it out"),
            ("training", {"MlflowConfig": {}}, "MlflowConfig.MlflowResourceArn is missing"),
            ("training", {"CheckpointConfig": {"LocalPath": "/x"}}, "give the option checkpoint_u"),
            ("training", {"MlflowConfig": {"MlflowResourceArn": "arn"}}, "must match arn:aws"),
            ("processing", {"AppSpecification": {"ContainerArguments": ["a"]}}, "are its argum"),
            ("transform", {"DataProcessing": {}}, "named 'CreateModel' and 'CreateTransformJob'"),
            ("transform", {"CreateModel": 3}, "it must be a dict"),
            (
                "transform",
                {"CreateModel": {"InferenceExecutionConfig": {"Mode": "serial"}}},
                "is not one of 'Serial', 'Direct'. Did you mean 'Serial'?",
            ),
            (
                "transform",
                {"CreateTransformJob": {"TransformResources": {"TransformAmiVersion": ""}}},
                "must have at least 1 characters",
            ),
            ("transform", {"CreateModel": {"Containers": [{"Image": "a:1"}]}}, "has 0 entries"),
            ("transform", {"CreateModel": {"Containers": [{}, {}]}}, "has 2 entries"),
            (
                "transform",
                {"CreateModel": {"Containers": [{"Image": "a:1"}, {"ContainerHostname": "b"}]}},
                "in every entry, or in none",
            ),
            ("transform", {"CreateModel": {"Containers": [{"Environment": {}}]}}, "options set"),
        ],
    )
    def test_what_is_wrong_is_named(self, job: str, extra: dict[str, Any], text: str) -> None:
        assert text in problems(job, extra)

    def test_everything_is_named_at_once(self) -> None:
        said = problems(
            "training",
            {
                "MaxRuntime": 1,
                "HyperParameters": {},
                "InfraCheckConfig": {"EnableInfraCheck": "yes"},
                "InputDataConfig": [
                    {"ChannelName": "cdao", "DataSource": {}},
                    {"ChannelName": "cdao", "DataSource": {"FileSystemDataSource": FILE_SYSTEM}},
                ],
            },
            volume_size_gb=0,
        )
        for text in (
            "volume_size_gb=0",
            "MaxRuntime is no field",
            "the option hyperparameters sets",
            "InfraCheckConfig.EnableInfraCheck='yes'",
            "InputDataConfig[0]: the name 'cdao' is reserved",
            "InputDataConfig[0].DataSource must have exactly one of S3DataSource",
            "InputDataConfig[1]: a file system is reached in a VPC",
            "ChannelName 'cdao' is used more than once",
        ):
            assert text in said

    @pytest.mark.parametrize("number", [float("inf"), float("nan"), 2**60 + 1])
    @pytest.mark.parametrize("option", ["extra", "hyperparameters"])
    def test_numbers_that_a_template_would_change(self, option: str, number: float) -> None:
        with pytest.raises(SpecError, match="give it as a str"):
            build_spec("training", {"framework": "xgboost", option: {"X": [{"Y": number}]}})

    def test_entry_point_beside_a_function(self) -> None:
        spec = build_spec(
            "training",
            {
                "container_image": "own:1",
                "extra": {"AlgorithmSpecification": {"ContainerEntrypoint": ["sh"]}},
            },
        )

        def body() -> int:
            return len("body")

        def stub() -> None: ...

        assert not runs_body(spec, stub)
        with pytest.raises(SpecError, match="ContainerEntrypoint, but body"):
            runs_body(spec, body)

    def test_places_of_processing_data(self) -> None:
        source = {"S3Uri": "s3://bucket/a", "S3DataType": "S3Prefix", "S3InputMode": "File"}
        said = problems(
            "processing",
            {
                "ProcessingInputs": [
                    {"InputName": "a", "S3Input": source},
                    {"InputName": "b", "S3Input": {**source, "LocalPath": "/data"}},
                    {"InputName": "c", "DatasetDefinition": {**QUERY, "LocalPath": "/query"}},
                    {"InputName": "d", "AppManaged": True, "S3Input": source},
                ],
                "ProcessingOutputConfig": {
                    "Outputs": [
                        {"OutputName": "f", "FeatureStoreOutput": {"FeatureGroupName": "g"}},
                    ]
                },
            },
        )
        assert "ProcessingInputs[0].S3Input.LocalPath is missing" in said
        assert "ProcessingInputs[1].S3Input.LocalPath='/data' must begin with /opt/ml" in said
        assert "ProcessingInputs[2].DatasetDefinition.LocalPath='/query' must begin" in said
        assert "ProcessingInputs[3]" not in said
        assert "Outputs[0]: a FeatureStoreOutput needs AppManaged=True" in said


class TestRequests:
    def test_fields_are_merged_with_ours(self, context: Context, runtime: RuntimeFiles) -> None:
        extra = {
            "AlgorithmSpecification": {"EnableSageMakerMetricsTimeSeries": True},
            "RemoteDebugConfig": {"EnableRemoteDebug": True},
        }
        run = context(runtime=runtime)
        (made,) = request("training", extra, run, framework="pytorch")
        (plain,) = request("training", {}, run, framework="pytorch")
        assert made["RemoteDebugConfig"] == {"EnableRemoteDebug": True}
        assert made["AlgorithmSpecification"] == {
            **plain["AlgorithmSpecification"],
            "EnableSageMakerMetricsTimeSeries": True,
        }
        assert {**made, **plain} == {**plain, "RemoteDebugConfig": made["RemoteDebugConfig"]}

    def test_channels_follow_the_tasks_own(self, context: Context) -> None:
        channel = {"ChannelName": "fsx", "DataSource": {"FileSystemDataSource": FILE_SYSTEM}}
        extra = {"InputDataConfig": [channel]}
        (made,) = request("training", extra, context(), framework="xgboost", **VPC)
        assert [each["ChannelName"] for each in made["InputDataConfig"]] == ["data", "fsx"]
        assert made["InputDataConfig"][1] == channel

    def test_a_name_of_the_tasks_own_is_refused(self, context: Context) -> None:
        channel = {"ChannelName": "data", "DataSource": {"FileSystemDataSource": FILE_SYSTEM}}
        with pytest.raises(PlanError, match="'data' is used more than once"):
            request(
                "training", {"InputDataConfig": [channel]}, context(), framework="xgboost", **VPC
            )

    def test_inputs_count_together(self, context: Context, runtime: RuntimeFiles) -> None:
        inputs = [{"InputName": f"q{n}", "DatasetDefinition": QUERY} for n in range(8)]
        with pytest.raises(PlanError, match="11 inputs"):
            request("processing", {"ProcessingInputs": inputs}, context(runtime=runtime))

    def test_queries_and_feature_groups(self, context: Context, runtime: RuntimeFiles) -> None:
        query = {"InputName": "query", "DatasetDefinition": QUERY}
        output = {
            "OutputName": "f",
            "AppManaged": True,
            "FeatureStoreOutput": {"FeatureGroupName": "features"},
        }
        extra = {"ProcessingInputs": [query], "ProcessingOutputConfig": {"Outputs": [output]}}
        (made,) = request("processing", extra, context(runtime=runtime))
        assert made["ProcessingInputs"][-1] == query
        outputs = made["ProcessingOutputConfig"]["Outputs"]
        assert [each["OutputName"] for each in outputs] == ["cdao", "f"]

    def test_pipeline_has_the_model_at_its_place(
        self, transform_context: Context, faults: Faults
    ) -> None:
        first = {"Image": "before:1", "ContainerHostname": "before"}
        last = {"Image": "after:1", "ContainerHostname": "after"}
        place = {"ContainerHostname": "model"}
        extra = {"CreateModel": {"Containers": [first, place, last]}}
        calls = kind("transform").requests(
            build_spec("transform", {"extra": extra}), transform_context()
        )
        assert faults(calls) == []
        model: Any = calls[0].parameters
        assert "PrimaryContainer" not in model
        assert [model["Containers"][0], model["Containers"][2]] == [first, last]
        own = model["Containers"][1]
        assert own["ContainerHostname"] == "model"
        assert own["ModelDataUrl"].endswith("model.tar.gz")

    def test_what_the_run_itself_sets_is_refused(self) -> None:
        with pytest.raises(PlanError, match=r"extra sets A\.B, which the job itself sets"):
            with_extra({"A": {"B": 1}}, {"A": {"B": 2}})
