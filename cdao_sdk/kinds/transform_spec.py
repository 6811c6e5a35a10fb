"""The options of batch transform tasks, and the rules between them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from cdao_sdk.kinds.fields import (  # noqa: TC001 - pydantic reads the annotations
    Boolean,
    HostCount,
    JsonPath,
    KmsKey,
    MimeType,
    S3Uri,
)
from cdao_sdk.kinds.problem import EnvironmentLimits, Problem, environment_problems
from cdao_sdk.kinds.registry_access import RegistrySpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdao_sdk.catalog.images import Scope
    from cdao_sdk.kinds.spec import BodyRule

MODEL_LIMITS = EnvironmentLimits(100, 1024, 1024, total_bytes=32 * 1024)
"""Environment of the model's container."""

_NO_SPOT = "Batch transform has no spot instances; SageMaker has them for training jobs only"
_NO_RUNTIME = "Batch transform has no time limit in SageMaker; use the timeout of Flyte's task"
_NO_VOLUME = "Batch transform has no volume to size in SageMaker; choose a larger instance_type"


class TransformSpec(RegistrySpec):
    """Options of a batch transform task."""

    component: ClassVar[str] = "transform"
    api_operations: ClassVar[tuple[str, ...]] = ("CreateModel", "CreateTransformJob")
    image_scope: ClassVar[Scope] = "inference"
    environment_limits: ClassVar[EnvironmentLimits] = EnvironmentLimits(16, 1024, 10_240)
    absent: ClassVar[Mapping[str, str]] = {
        "use_spot_instances": _NO_SPOT,
        "spot_instance_max_wait_seconds": _NO_SPOT,
        "checkpoint_uri": "Batch transform has no checkpoints in SageMaker",
        "distribution": "Batch transform runs the model's own server; no function is started",
        "encrypt_inter_container_traffic": "Batch transform's instances do not talk to each other",
        "instance_groups": "Batch transform has instances of one type in SageMaker",
        "keep_alive_seconds": "Batch transform has no warm pool in SageMaker",
        "max_runtime_seconds": _NO_RUNTIME,
        "retry_attempts": "Batch transform has no retries of its own; see model_max_retries",
        "runtime": "Batch transform runs the model's own server; no function is started",
        "volume_size_gb": _NO_VOLUME,
    }

    instance_type: Annotated[str, Field(description="Such as 'ml.m5.large'.")] = "ml.m5.large"
    instance_count: Annotated[HostCount, Field(description="Number of instances, up to 100.")] = 1
    max_payload_mb: Annotated[
        int, Field(description="Largest request in MB; 0: unlimited.", strict=True, ge=0, le=100)
    ] = 6
    max_concurrent_transforms: Annotated[
        int | None,
        Field(description="Requests at once for each instance.", strict=True, ge=0, le=100),
    ] = None
    strategy: Annotated[
        Literal["MultiRecord", "SingleRecord"],
        Field(description="Many records in a request, or one."),
    ] = "MultiRecord"
    content_type: Annotated[
        MimeType | None, Field(description="Of the input; default: by its name, else text/csv.")
    ] = None
    accept: Annotated[
        MimeType | None,
        Field(description="Of the output; default: CSV for CSV, else the model's own."),
    ] = None
    split_type: Annotated[
        Literal["Line", "RecordIO", "TFRecord", "None"],
        Field(description="How the input falls into records."),
    ] = "Line"
    assemble_with: Annotated[
        Literal["Line", "None"], Field(description="What stands between results.")
    ] = "Line"
    input_filter: Annotated[
        JsonPath | None, Field(description="JSONPath: what of a record the model sees.")
    ] = None
    output_filter: Annotated[
        JsonPath | None, Field(description="JSONPath: what of the result is kept.")
    ] = None
    join_source: Annotated[
        Literal["Input", "None"], Field(description="'Input' puts each record before its result.")
    ] = "None"
    model_environment: dict[str, str] = Field(
        default_factory=dict, description="Environment variables of the model's container."
    )
    model_timeout_seconds: Annotated[
        int | None, Field(description="For one request.", strict=True, ge=1, le=3600)
    ] = None
    model_max_retries: Annotated[
        int | None, Field(description="For one request.", strict=True, ge=0, le=3)
    ] = None
    data_capture_path: Annotated[
        S3Uri | None, Field(description="S3 prefix where requests and answers are kept.")
    ] = None
    data_capture_kms_key_id: Annotated[
        KmsKey | None, Field(description="KMS key for what is kept; default: the outputs' key.")
    ] = None
    data_capture_inference_id: Annotated[
        Boolean, Field(description="Give each captured inference an ID.")
    ] = False

    @property
    def body_rule(self) -> BodyRule:
        """SageMaker runs the model; there is nothing for a function to do."""
        return "stub"

    def problems(self) -> Iterator[Problem]:
        """Also of payload, strategy and the model's environment."""
        yield from super().problems()
        yield from environment_problems("model_environment", self.model_environment, MODEL_LIMITS)
        if self.data_capture_path is None:
            for option in ("data_capture_kms_key_id", "data_capture_inference_id"):
                if getattr(self, option):
                    text = f"{option} needs data_capture_path: where captured data goes"
                    yield Problem((option, "data_capture_path"), text)
        total = self.max_payload_mb * (self.max_concurrent_transforms or 0)
        if total > 100:
            text = (
                f"max_concurrent_transforms={self.max_concurrent_transforms} times max_payload_mb="
                f"{self.max_payload_mb} is {total} MB; SageMaker takes 100 MB together"
            )
            yield Problem(("max_concurrent_transforms", "max_payload_mb"), text)
        yield from self._record_problems()

    def _record_problems(self) -> Iterator[Problem]:
        fields = ("input_filter", "output_filter", "join_source")
        used = [name for name in fields if getattr(self, name) not in (None, "None")]
        if used and self.split_type in ("RecordIO", "TFRecord"):
            text = f"{' and '.join(used)}: for CSV and JSON only, not for {self.split_type} records"
            yield Problem((*fields, "split_type"), text)
        if used and self.content_type and not re.search("csv|json", self.content_type.lower()):
            text = f"{' and '.join(used)}: for CSV and JSON only, not {self.content_type!r}"
            yield Problem((*fields, "content_type"), text)
        if self.strategy == "SingleRecord" and self.split_type == "None":
            text = "strategy='SingleRecord' needs a split_type: 'Line', 'RecordIO' or 'TFRecord'"
            yield Problem(("strategy", "split_type"), text)
