"""Hosts of several types, and several processes on each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cdao_sdk.errors import SpecError
from cdao_sdk.kinds.build import build_spec
from cdao_sdk.kinds.job import JobContext, RuntimeFiles
from cdao_sdk.kinds.training import KIND

Context = Callable[..., JobContext]
Faults = Callable[..., list[str]]

CPU = {"name": "prepare", "instance_type": "ml.c5.4xlarge", "instance_count": 2}
GPU = {"name": "train", "instance_type": "ml.g5.xlarge"}


def problems(**options: Any) -> str:
    with pytest.raises(SpecError) as caught:
        build_spec("training", {"framework": "pytorch", **options})
    return "\n".join(caught.value.problems)


class TestInstanceGroups:
    def test_groups_take_the_place_of_one_type(
        self, context: Context, runtime: RuntimeFiles, faults: Faults
    ) -> None:
        options = {"framework": "pytorch", "framework_version": "2.6"}
        spec = build_spec("training", {**options, "instance_groups": [CPU, GPU]})
        calls = KIND.requests(spec, context(runtime=runtime))
        assert faults(calls) == []
        request: Any = calls[0].parameters
        resources = request["ResourceConfig"]
        assert "InstanceType" not in resources
        assert [group["InstanceGroupName"] for group in resources["InstanceGroups"]] == [
            "prepare",
            "train",
        ]
        assert "gpu" in request["AlgorithmSpecification"]["TrainingImage"]
        assert request["Environment"]["NCCL_SOCKET_IFNAME"] == "eth0"
        assert spec.hosts == (("ml.c5.4xlarge", 2), ("ml.g5.xlarge", 1))
        assert spec.host_count == 3

    @pytest.mark.parametrize(
        ("groups", "seen"),
        [([CPU, GPU], ("ml.c5.4xlarge + ml.g5.xlarge", 3)), ([CPU], ("ml.c5.4xlarge", 2))],
    )
    def test_observation_names_all_types(
        self, context: Context, groups: list[Any], seen: tuple[str, int]
    ) -> None:
        spec = build_spec("training", {"framework": "pytorch", "instance_groups": groups})
        (call,) = KIND.requests(spec, context())
        described = {"TrainingJobStatus": "InProgress", **call.parameters}
        observation = KIND.observe(described)
        assert (observation.instance_type, observation.instance_count) == seen

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"instance_groups": [GPU], "instance_type": "ml.g5.xlarge"}, "exclude each other"),
            ({"instance_groups": [GPU], "instance_count": 1}, "groups have their own"),
            ({"instance_groups": [GPU, GPU]}, "'train' is used more than once"),
            ({"instance_groups": [{**GPU, "name": f"g{n}"} for n in range(6)]}, "takes 5"),
            ({"instance_groups": [{**GPU, "instance_type": "ml.g5.xlrge"}]}, "Did you mean"),
            ({"instance_groups": [{**GPU, "count": 2}]}, "known are name, instance_type, ins"),
            ({"instance_groups": [{"name": "train"}]}, "lacks 'instance_type'"),
            ({"instance_groups": [CPU, GPU], "distribution": "torchrun"}, "same processes"),
            (
                {"instance_groups": [GPU, {"name": "n", "instance_type": "ml.trn1.2xlarge"}]},
                "mix GPUs and Neuron",
            ),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, options: dict[str, Any], text: str) -> None:
        assert text in problems(**options)


class TestDistribution:
    @pytest.mark.parametrize("kind", ["torchrun", "mpi"])
    def test_function_must_be_there(self, kind: str) -> None:
        options = {"container_image": "own:1", "distribution": kind, "processes_per_host": 4}
        assert build_spec("training", options).body_rule == "required"

    def test_smddp_on_its_instances(self) -> None:
        options = {"framework": "pytorch", "instance_type": "ml.p4d.24xlarge"}
        spec = build_spec("training", {**options, "distribution": "smddp"})
        assert spec.model_dump(mode="json", exclude_defaults=True)["distribution"] == "smddp"

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"distribution": "horovod"}, "is not one of 'torchrun', 'mpi'"),
            ({"processes_per_host": 2}, "needs a distribution"),
            ({"distribution": "smddp", "instance_type": "ml.g5.xlarge"}, "not run on ml.g5.xlarge"),
            (
                {"distribution": "smddp", "framework": "huggingface"},
                "is for pytorch and tensorflow",
            ),
            ({"distribution": "smddp", "processes_per_host": 8}, "one process for each GPU"),
            ({"distribution": "mpi", "runtime": "flytekit"}, "needs runtime='script'"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, options: dict[str, Any], text: str) -> None:
        assert text in problems(**options)

    def test_algorithm_starts_no_function(self) -> None:
        with pytest.raises(SpecError, match="'kmeans' runs none"):
            build_spec("training", {"algorithm": "kmeans", "distribution": "mpi"})


class TestFlytekitRuntime:
    def test_own_image_is_enough(self) -> None:
        options = {"container_image": "own:1", "runtime": "flytekit"}
        for kind in ("training", "processing"):
            assert build_spec(kind, options).body_rule == "required"

    def test_everything_that_is_missing_is_named(self) -> None:
        said = problems(runtime="flytekit", enable_network_isolation=True)
        assert "needs container_image" in said
        assert "reads and writes S3 by itself" in said

    def test_algorithm_runs_no_function(self) -> None:
        with pytest.raises(SpecError, match="an algorithm runs none"):
            build_spec("training", {"algorithm": "kmeans", "runtime": "flytekit"})


def test_debugger_profiler_and_the_rest(
    context: Context, runtime: RuntimeFiles, faults: Faults
) -> None:
    rule = {"name": "loss", "image": "rules:1", "parameters": {"rule_to_invoke": "Loss"}}
    options = {
        "framework": "pytorch",
        "tensorboard_output_path": "s3://bucket/board",
        "debug_hook": {"output_path": "s3://bucket/tensors", "collections": {"losses": {"a": "1"}}},
        "debug_rules": [rule],
        "profiler": {"interval_milliseconds": 500, "parameters": {"a": "b"}},
        "profiler_rules": [
            {**rule, "name": "usage", "instance_type": "ml.m5.large", "volume_size_gb": 10}
        ],
        "training_plan": "arn:aws:sagemaker:us-east-1:123456789012:training-plan/plan",
        "repository_access": "Platform",
        "experiment": {"trial_name": "t"},
    }
    calls = KIND.requests(build_spec("training", options), context(runtime=runtime))
    assert faults(calls) == []
    request: Any = calls[0].parameters
    assert request["DebugHookConfig"] == {
        "S3OutputPath": "s3://bucket/tensors",
        "CollectionConfigurations": [
            {"CollectionName": "losses", "CollectionParameters": {"a": "1"}}
        ],
    }
    assert request["DebugRuleConfigurations"] == [
        {
            "RuleConfigurationName": "loss",
            "RuleEvaluatorImage": "rules:1",
            "RuleParameters": {"rule_to_invoke": "Loss"},
        }
    ]
    assert request["ProfilerConfig"] == {
        "ProfilingIntervalInMilliseconds": 500,
        "ProfilingParameters": {"a": "b"},
    }
    assert request["ProfilerRuleConfigurations"][0]["InstanceType"] == "ml.m5.large"
    assert request["TensorBoardOutputConfig"] == {"S3OutputPath": "s3://bucket/board"}
    assert request["ResourceConfig"]["TrainingPlanArn"].endswith("/plan")
    assert request["ExperimentConfig"] == {"TrialName": "t"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"disable_profiler": True, "profiler": {}}, "contradicts profiler"),
        ({"profiler": {"interval_milliseconds": 300}}, "interval_milliseconds"),
        ({"debug_rules": [{"name": "r", "image": "i", "instance_type": "m"}]}, "must look like"),
        ({"debug_hook": {"output_path": "s3://b/x", "parameters": {"": ""}}}, "names of 1 to"),
        ({"training_plan": "x" * 60}, "must be a training plan's ARN"),
        ({"repository_credentials_provider": "arn"}, "must be a Lambda function's ARN"),
    ],
)
def test_watching_options_are_checked(options: dict[str, Any], text: str) -> None:
    assert text in problems(**options)


def test_profiler_can_be_turned_off(context: Context) -> None:
    spec = build_spec("training", {"framework": "xgboost", "disable_profiler": True})
    (call,) = KIND.requests(spec, context())
    assert call.parameters["ProfilerConfig"] == {"DisableProfiler": True}
