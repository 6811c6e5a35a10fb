"""The decorators' options, for editors and type checkers; the specs in ``kinds`` check them."""

# pyright: reportUnknownVariableType=false
# (flytekit has no types)
from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal

    from flytekit import Cache, Resources, Secret


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

    instance_type: str
    instance_count: int
    framework: str
    framework_version: str
    python_version: str
    container_image: str
    image_uri: str
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


class HostOptions(JobOptions, total=False):
    """Options of the kinds that own their instances' disks."""

    volume_size_gb: int
    max_runtime_seconds: int
    encrypt_inter_container_traffic: bool


class ProcessingOptions(HostOptions, total=False):
    """Options of Processing jobs."""


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


class WorkflowOptions(TypedDict, total=False):
    """flytekit's own workflow options."""

    failure_policy: object
    interruptible: bool
    on_failure: object
    docs: object
    pickle_untyped: bool
    default_options: object
