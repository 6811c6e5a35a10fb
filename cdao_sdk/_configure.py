"""``configure()``: what the SDK is to know about its surroundings."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from typing_extensions import Unpack

from cdao_sdk.settings import Settings, holder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Literal

__all__ = ["configure", "configure_sagemaker"]


class OtherSettings(TypedDict, total=False):
    """Settings beside SageMaker's own two; ``Settings`` says what each means."""

    admin_endpoint: str | None
    insecure: bool
    project: str
    domain: str
    image: str | None
    copy_style: Literal["auto", "all"]
    region: str | None
    sagemaker_backend: Literal["embedded", "aws"]
    endpoint_url: str | None
    state_dir: str | Path
    local_concurrency: int
    local_faults: str | None
    poll_interval_seconds: float
    ui: Literal["auto", "widget", "html", "rich", "plain"]
    tags: Mapping[str, str]
    assume_role: str | None
    external_id: str | None
    accounts: Mapping[str, Mapping[str, str]]
    status_interval_seconds: float | None
    status_longest_interval_seconds: float | None
    status_sweep_seconds: float
    events_queue_url: str | None
    api_rates: Mapping[str, float | None]
    allowed_roles: Sequence[str]
    allowed_buckets: Sequence[str]
    allowed_images: Sequence[str]


class SettingOptions(OtherSettings, total=False):
    """Every setting, as ``configure`` takes it."""

    sagemaker_role: str | None
    default_bucket: str | None


def configure(**settings: Unpack[SettingOptions]) -> Settings:
    """Set what all later calls use; what is not given stays as it is.

    With no ``admin_endpoint`` workflows run in this process, their jobs on the embedded SageMaker:
    no AWS account is needed.

    Args:
        **settings: The settings by name; see ``cdao config show`` for all of them.

    Returns:
        The settings in force now, from all layers.

    Raises:
        ConfigurationError: Unknown names or malformed values, all at once; nothing is changed.

    Example:
        >>> configure(project="ml-experiments", domain="development").project
        'ml-experiments'
    """
    return holder.update(settings).settings


def configure_sagemaker(
    sagemaker_role: str, default_bucket: str | None = None, **settings: Unpack[OtherSettings]
) -> Settings:
    """``configure()`` with the two settings that SageMaker needs.

    Args:
        sagemaker_role: ARN of the role that SageMaker jobs assume.
        default_bucket: Bucket for code, inputs and outputs, without ``s3://``.
        **settings: Any other setting.

    Returns:
        The settings in force now.

    Raises:
        ConfigurationError: Unknown names or malformed values.

    Example:
        >>> configure_sagemaker(
        ...     sagemaker_role="arn:aws:iam::123456789012:role/SageMakerExecutionRole",
        ...     default_bucket="my-ml-bucket",
        ... ).default_bucket
        'my-ml-bucket'
    """
    values: dict[str, object] = {**settings, "sagemaker_role": sagemaker_role}
    if default_bucket is not None:
        values["default_bucket"] = default_bucket
    return holder.update(values).settings
