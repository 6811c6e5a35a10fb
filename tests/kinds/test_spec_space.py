"""A spec is refused with its problems, or all its requests are valid: over the whole space."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from cdao_sdk.errors import PlanError, SpecError
from cdao_sdk.kinds.body import runs_body
from cdao_sdk.kinds.build import build_spec, load_spec
from cdao_sdk.kinds.job import JobContext, RuntimeFiles
from cdao_sdk.kinds.registry import KINDS, kind

words = st.text(max_size=8)
small_maps = st.dictionaries(st.one_of(st.sampled_from(["A", "B_1", "CDAO_X"]), words), words)
positive = st.one_of(st.integers(-1, 200), st.integers(1, 3_000_000))
TYPES = st.one_of(
    st.sampled_from(
        ["ml.m5.large", "ml.m5.xlarge", "ml.g5.xlarge", "ml.p4d.24xlarge", "ml.m77.large"]
    ),
    words,
)
PLAN = "arn:aws:sagemaker:us-east-1:123456789012:training-plan/plan"
LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function:log-in"
uris = st.one_of(st.just("s3://bucket/prefix"), words)
rules = st.lists(
    st.fixed_dictionaries(
        {"name": words, "image": st.just("rules:1")},
        optional={
            "parameters": small_maps,
            "instance_type": TYPES,
            "volume_size_gb": positive,
            "output_path": uris,
            "local_path": words,
        },
    ),
    max_size=2,
)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "instance_type": TYPES,
    "fallback_instance_types": st.lists(TYPES, max_size=3),
    "instance_count": positive,
    "volume_size_gb": positive,
    "max_runtime_seconds": positive,
    "framework": st.sampled_from(
        ["sklearn", "xgboost", "PyTorch", "tensorflow", "huggingface", "caffe"]
    ),
    "framework_version": st.sampled_from(["1.2-1", "0.23-1", "2.6", "1.8.0", "2.19", "x"]),
    "python_version": st.sampled_from(["py36", "3.9", "py3", "3.12", "py27"]),
    "algorithm": st.sampled_from(["xgboost", "k-means", "Linear Learner", "magic"]),
    "container_image": st.one_of(st.just("own/image:1"), words),
    "environment": small_maps,
    "model_environment": small_maps,
    "tags": small_maps,
    "kms_key_id": st.one_of(st.just("alias/key"), words),
    "output_kms_key_id": st.one_of(st.just("1234"), words),
    "subnets": st.lists(st.one_of(st.sampled_from(["subnet-1", "sg-1"]), words), max_size=20),
    "security_group_ids": st.lists(st.sampled_from(["sg-1", "sg-2"]), max_size=7),
    "enable_network_isolation": st.one_of(st.booleans(), st.none(), st.just("yes")),
    "output_path": st.one_of(st.just("s3://bucket/x/"), words),
    "use_spot_instances": st.booleans(),
    "spot_instance_max_wait_seconds": positive,
    "hyperparameters": st.dictionaries(
        words,
        st.one_of(words, st.integers(), st.floats(), st.booleans(), st.lists(st.integers())),
    ),
    "metric_definitions": st.dictionaries(words, words, max_size=3),
    "metrics": st.lists(words, max_size=3),
    "input_mode": st.sampled_from(["File", "FastFile", "Pipe", "file"]),
    "checkpoint_uri": st.one_of(st.just("s3://bucket/c"), words),
    "keep_alive_seconds": st.integers(-1, 30_000),
    "max_pending_seconds": positive,
    "retry_attempts": st.integers(-1, 40),
    "output_compression": st.sampled_from(["none", "GZIP", "zip"]),
    "model_archive": st.sampled_from([True, False, "yes"]),
    "max_payload_mb": st.integers(-1, 110),
    "max_concurrent_transforms": st.integers(-1, 110),
    "strategy": st.sampled_from(["SingleRecord", "MultiRecord", "Many"]),
    "content_type": st.one_of(st.just("text/csv"), words),
    "accept": st.one_of(st.just("application/json"), words),
    "split_type": st.sampled_from(["Line", "None", "RecordIO", "line"]),
    "assemble_with": st.sampled_from(["Line", "None"]),
    "input_filter": st.one_of(st.just("$[1:]"), words),
    "join_source": st.sampled_from(["Input", "None"]),
    "model_timeout_seconds": st.integers(-1, 4000),
    "model_max_retries": st.integers(-1, 5),
    "sagemaker_role": st.one_of(st.just("arn:aws:iam::123456789012:role/R"), words),
    "volume_kms_key_id": st.one_of(st.just("1234"), words),
    "encrypt_inter_container_traffic": st.booleans(),
    "output_filter": st.one_of(st.just("$['out']"), words),
    "experiment": st.dictionaries(
        st.sampled_from(["experiment_name", "trial_name", "run_name", "display_name", "name"]),
        st.one_of(st.just("credit-risk"), words),
    ),
    "runtime": st.sampled_from(["script", "flytekit", "docker"]),
    "output_upload_mode": st.sampled_from(["EndOfJob", "Continuous", "Never"]),
    "distribution": st.sampled_from(["torchrun", "mpi", "smddp", "horovod"]),
    "processes_per_host": st.integers(-1, 9),
    "instance_groups": st.lists(
        st.fixed_dictionaries(
            {"name": st.one_of(st.sampled_from("abcdef"), words), "instance_type": TYPES},
            optional={"instance_count": st.integers(-1, 9)},
        ),
        max_size=6,
    ),
    "training_plan": st.one_of(st.just(PLAN), words),
    "repository_access": st.sampled_from(["Platform", "Vpc", "Hub"]),
    "repository_credentials_provider": st.one_of(st.just(LAMBDA), words),
    "tensorboard_output_path": uris,
    "debug_hook": st.fixed_dictionaries(
        {"output_path": uris},
        optional={
            "parameters": small_maps,
            "collections": st.dictionaries(words, small_maps, max_size=3),
            "local_path": words,
        },
    ),
    "debug_rules": rules,
    "profiler": st.fixed_dictionaries(
        {},
        optional={
            "output_path": uris,
            "interval_milliseconds": st.sampled_from([500, 501, "500"]),
            "parameters": small_maps,
        },
    ),
    "profiler_rules": rules,
    "disable_profiler": st.booleans(),
    "data_capture_path": uris,
    "data_capture_kms_key_id": st.one_of(st.just("1234"), words),
    "data_capture_inference_id": st.booleans(),
}


# Parts of `extra`: right ones, wrong ones, and some that belong to options.
flags = st.one_of(st.booleans(), st.just(1))
MLFLOW_ARN = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/t"
FILE_SYSTEM = {
    "FileSystemId": "fs-0123456789abcdef0",
    "FileSystemAccessMode": "ro",
    "FileSystemType": "EFS",
    "DirectoryPath": "/data",
}
QUERY = {
    "Catalog": "c",
    "Database": "d",
    "QueryString": "SELECT 1",
    "OutputS3Uri": "s3://b/q",
    "OutputFormat": "PARQUET",
}
extra_channels = st.fixed_dictionaries(
    {
        "ChannelName": st.sampled_from(["fsx", "efs", "data", "cdao", "no blanks"]),
        "DataSource": st.sampled_from([{"FileSystemDataSource": FILE_SYSTEM}, {}, {"S3": 1}]),
    },
    optional={"ContentType": words, "ShuffleConfig": st.just({"Seed": 2**40})},
)
extra_inputs = st.fixed_dictionaries(
    {"InputName": st.sampled_from(["query", "data", "cdao"])},
    optional={
        "DatasetDefinition": st.sampled_from(
            [
                {"AthenaDatasetDefinition": QUERY, "LocalPath": "/opt/ml/processing/query"},
                {"AthenaDatasetDefinition": QUERY},
                {},
            ]
        ),
        "AppManaged": flags,
    },
)
extra_outputs = st.fixed_dictionaries(
    {"OutputName": st.sampled_from(["features", "more", "cdao"])},
    optional={"FeatureStoreOutput": st.just({"FeatureGroupName": "g"}), "AppManaged": flags},
)
EXTRA: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "CreateTrainingJob": {
        "AlgorithmSpecification": st.sampled_from(
            [
                {"ContainerEntrypoint": ["sh"]},
                {"EnableSageMakerMetricsTimeSeries": True},
                {"TrainingImage": "x"},
                3,
            ]
        ),
        "CheckpointConfig": st.just({"LocalPath": "/opt/ml/checkpoints"}),
        "EnableManagedSpotTraining": flags,
        "InfraCheckConfig": st.fixed_dictionaries({}, optional={"EnableInfraCheck": flags}),
        "InputDataConfig": st.lists(extra_channels, max_size=3),
        "MlflowConfig": st.fixed_dictionaries(
            {}, optional={"MlflowResourceArn": st.just(MLFLOW_ARN), "MlflowRunName": words}
        ),
        "Mistake": words,
        "OutputDataConfig": st.just({}),
        "RemoteDebugConfig": st.fixed_dictionaries({"EnableRemoteDebug": flags}),
        "ResourceConfig": st.sampled_from(
            [{"InstanceCount": 2}, {"InstancePlacementConfig": {"EnableMultipleJobs": True}}]
        ),
        "ServerlessJobConfig": st.just({}),
        "TensorBoardOutputConfig": st.just({"LocalPath": "/opt/ml/output/tensorboard"}),
    },
    "CreateProcessingJob": {
        "AppSpecification": st.just({"ContainerArguments": ["--x"]}),
        "NetworkConfig": st.just({"EnableNetworkIsolation": True}),
        "ProcessingInputs": st.lists(extra_inputs, max_size=3),
        "ProcessingOutputConfig": st.fixed_dictionaries(
            {"Outputs": st.lists(extra_outputs, max_size=3)}
        ),
    },
    "CreateModel": {
        "Containers": st.lists(
            st.sampled_from([{}, {"Image": "own:1"}, {"Environment": {}}]), max_size=4
        ),
        "InferenceExecutionConfig": st.fixed_dictionaries(
            {"Mode": st.sampled_from(["Serial", "serial"])}
        ),
        "PrimaryContainer": st.sampled_from(
            [{"Mode": "MultiModel"}, {"Image": "x"}, {"ContainerHostname": "host-1"}]
        ),
    },
    "CreateTransformJob": {
        "MaxPayloadInMB": st.integers(),
        "TransformResources": st.fixed_dictionaries({"TransformAmiVersion": words}),
    },
}


@st.composite
def extras(draw: st.DrawFn, operations: tuple[str, ...]) -> dict[str, Any]:
    parts = {}
    for operation in operations:
        names = st.lists(st.sampled_from(sorted(EXTRA[operation])), unique=True, max_size=2)
        parts[operation] = {name: draw(EXTRA[operation][name]) for name in draw(names)}
    return parts[operations[0]] if len(operations) == 1 else parts


def test_every_option_is_drawn() -> None:
    fields = {field for each in KINDS.values() for field in each.spec.model_fields}
    assert fields == {*VALUES, "extra"}


@st.composite
def job_options(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(sorted(KINDS)))
    spec = KINDS[name].spec
    fields = sorted(VALUES.keys() & spec.model_fields.keys())
    chosen = draw(st.lists(st.sampled_from(fields), unique=True, max_size=4))
    options = {field: draw(VALUES[field]) for field in chosen}
    if draw(st.integers(0, 2)) == 0:
        options["extra"] = draw(extras(spec.api_operations))
    if name == "training" and not options.keys() & {"framework", "algorithm", "container_image"}:
        options["framework"] = draw(st.sampled_from(["xgboost", "pytorch", "sklearn"]))
    return name, options


def through_a_template(values: dict[str, Any]) -> dict[str, Any]:
    """What a dump looks like after Flyte has kept it: whole numbers are floats."""
    struct = Struct()
    struct.update(values)
    return MessageToDict(struct)


def a_body() -> str:
    return str(len("body"))


@settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(job=job_options(), has_body=st.booleans())
def test_a_spec_is_refused_or_its_requests_are_valid(
    *,
    job: tuple[str, dict[str, Any]],
    has_body: bool,
    context: Callable[..., JobContext],
    transform_context: Callable[..., JobContext],
    runtime: RuntimeFiles,
    faults: Callable[..., list[str]],
) -> None:
    name, options = job
    try:
        spec = build_spec(name, options)
        has_body = spec.body_rule != "stub" and (has_body or spec.body_rule == "required")
        if has_body:
            runs_body(spec, a_body)
    except SpecError as error:
        event("refused")
        refusal = str(error)
        spec = None
    if spec is None:
        assert refusal
        return
    event("accepted")
    dump = spec.model_dump(mode="json", exclude_defaults=True)
    assert load_spec(name, through_a_template(dump)) == spec
    make = transform_context if name == "transform" else context
    run = make(runtime=runtime if has_body else None)
    try:
        calls = kind(name).requests(spec, run)
    except PlanError as error:  # what only the run knows: the names of the task's own channels
        event("refused for this run")
        assert "used more than once" in str(error)  # noqa: PT017 - most specs raise nothing
        return
    assert faults(calls) == []


WRONG: dict[str, tuple[Any, str]] = {
    "container_image": ("an image", "container_image='an image'"),
    "environment": ({"1": ""}, "environment: '1'"),
    "experiment": ({"run_name": "-"}, "experiment['run_name']='-'"),
    "extra": ({"Mistake": 1}, "Mistake is no field"),
    "instance_type": ("ml.m5.lage", "instance_type='ml.m5.lage'"),
    "kms_key_id": ("no key", "kms_key_id='no key'"),
    "output_path": ("bucket", "output_path='bucket'"),
    "sagemaker_role": ("role", "sagemaker_role='role'"),
    "subnets": (["subnet-1"], "security_group_ids missing"),
    "tags": ({"aws:x": ""}, "AWS's own"),
    "debug_hook": ({"output_path": "x"}, "debug_hook['output_path']='x'"),
    "debug_rules": ([{"name": "r"}], "lacks 'image'"),
    "instance_groups": ([{"name": "a", "instance_type": "m5"}], "must look like"),
    "metrics": ([""], "metric name ''"),
    "processes_per_host": (0, "processes_per_host=0"),
    "profiler": ({"interval_milliseconds": 7}, "interval_milliseconds"),
    "repository_access": ("Vpc", "reaches a registry in your VPC"),
    "retry_attempts": (31, "retry_attempts=31"),
    "spot_instance_max_wait_seconds": (60, "needs use_spot_instances=True"),
    "training_plan": ("arn", "training_plan='arn'"),
    "volume_size_gb": (0, "volume_size_gb=0"),
}
# Both break rules of the same fields; or one rule needs the other option to be right.
TOGETHER = [{"subnets", "repository_access"}, {"instance_type", "instance_groups"}]


@given(st.lists(st.sampled_from(sorted(WRONG)), min_size=2, max_size=5, unique=True))
def test_independent_mistakes_are_all_named(names: list[str]) -> None:
    assume(not any(pair <= set(names) for pair in TOGETHER))
    options = {name: WRONG[name][0] for name in names}
    with pytest.raises(SpecError) as caught:
        build_spec("training", {"framework": "pytorch", **options})
    for name in names:
        assert WRONG[name][1] in str(caught.value)


@pytest.mark.parametrize("module", ["cdao_sdk.kinds.registry", "cdao_sdk.kinds.build"])
def test_kinds_import_nothing_heavy(module: str) -> None:
    heavy = "{'boto3', 'botocore', 'flytekit', 'rich', 'pandas', 'IPython'}"
    code = f"import sys, {module}; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
