"""The decorators' options, for editors and type checkers; the specs in ``kinds`` check them."""

# pyright: reportUnknownVariableType=false
# (flytekit has no types)
from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal

    from flytekit import Cache, ImageSpec, Resources, Secret
    from typing_extensions import Required


class InstanceGroup(TypedDict, total=False):
    """A group of like instances."""

    name: Required[str]
    instance_type: Required[str]
    instance_count: int


class Experiment(TypedDict, total=False):
    """Where SageMaker Experiments shows a job."""

    experiment_name: str
    trial_name: str
    run_name: str
    display_name: str


class DebugHook(TypedDict, total=False):
    """What Debugger saves."""

    output_path: Required[str]
    local_path: str
    parameters: Mapping[str, str]
    collections: Mapping[str, Mapping[str, str]]


class Rule(TypedDict, total=False):
    """One rule of Debugger or Profiler."""

    name: Required[str]
    image: Required[str]
    parameters: Mapping[str, str]
    output_path: str
    local_path: str
    instance_type: str
    volume_size_gb: int


class Profiler(TypedDict, total=False):
    """What Profiler measures."""

    output_path: str
    interval_milliseconds: Literal[100, 200, 500, 1000, 5000, 60000]
    parameters: Mapping[str, str]


class FlyteOptions(TypedDict, total=False):
    """flytekit's own task options."""

    annotations: Mapping[str, str]
    cache: bool | Cache
    cache_ignore_input_vars: tuple[str, ...]
    cache_serialize: bool
    cache_version: str
    deprecated: str
    docs: object
    enable_deck: bool
    interruptible: bool
    labels: Mapping[str, str]
    limits: Resources
    requests: Resources
    resources: Resources
    retries: int
    secret_requests: list[Secret]
    timeout: dt.timedelta | int


class JobOptions(FlyteOptions, total=False):
    """Options of every kind of job."""

    instance_type: str | Sequence[str]
    fallback_instance_types: Sequence[str]
    instance_count: int
    framework: str
    framework_version: str
    python_version: str
    container_image: str | ImageSpec
    image_uri: str | ImageSpec
    sagemaker_role: str
    role: str
    environment: Mapping[str, str]
    tags: Mapping[str, str]
    kms_key_id: str
    volume_kms_key_id: str
    output_kms_key_id: str
    subnets: Sequence[str]
    security_group_ids: Sequence[str]
    enable_network_isolation: bool
    output_path: str
    experiment: Experiment
    extra: Mapping[str, object]


class HostOptions(JobOptions, total=False):
    """Options of the kinds that own their instances' disks."""

    volume_size_gb: int
    max_runtime_seconds: int
    encrypt_inter_container_traffic: bool
    runtime: Literal["script", "flytekit"]


class ProcessingOptions(HostOptions, total=False):
    """Options of Processing jobs."""

    output_upload_mode: Literal["EndOfJob", "Continuous"]


class TrainingOptions(HostOptions, total=False):
    """Options of Training jobs."""

    algorithm: str
    use_spot_instances: bool
    spot_instance_max_wait_seconds: int
    hyperparameters: Mapping[str, object]
    metric_definitions: Mapping[str, str]
    metrics: Sequence[str]
    input_mode: Literal["File", "FastFile", "Pipe"]
    checkpoint_uri: str
    keep_alive_seconds: int
    max_pending_seconds: int
    retry_attempts: int
    output_compression: Literal["GZIP", "NONE"]
    model_archive: bool
    distribution: Literal["torchrun", "mpi", "smddp"]
    processes_per_host: int
    instance_groups: Sequence[InstanceGroup]
    training_plan: str
    repository_access: Literal["Platform", "Vpc"]
    repository_credentials_provider: str
    tensorboard_output_path: str
    debug_hook: DebugHook
    debug_rules: Sequence[Rule]
    profiler: Profiler
    profiler_rules: Sequence[Rule]
    disable_profiler: bool
    model_fn: Callable[..., object]
    input_fn: Callable[..., object]
    predict_fn: Callable[..., object]
    output_fn: Callable[..., object]


class TransformOptions(JobOptions, total=False):
    """Options of Batch Transform jobs."""

    max_payload_mb: int
    max_concurrent_transforms: int
    strategy: Literal["MultiRecord", "SingleRecord"]
    content_type: str
    accept: str
    split_type: Literal["Line", "None", "RecordIO", "TFRecord"]
    assemble_with: Literal["Line", "None"]
    input_filter: str
    output_filter: str
    join_source: Literal["Input", "None"]
    model_environment: Mapping[str, str]
    model_timeout_seconds: int
    model_max_retries: int
    repository_access: Literal["Platform", "Vpc"]
    repository_credentials_provider: str
    data_capture_path: str
    data_capture_kms_key_id: str
    data_capture_inference_id: bool


class WorkflowOptions(TypedDict, total=False):
    """flytekit's own workflow options."""

    failure_policy: object
    interruptible: bool
    on_failure: object
    docs: object
    pickle_untyped: bool
    default_options: object
