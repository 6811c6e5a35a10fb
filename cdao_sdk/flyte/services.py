"""Where jobs go: AWS, or whatever endpoint the settings or the caller name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cdao_sdk.aws.session import AwsTarget, embedded_target, shared_clients
from cdao_sdk.errors import ConfigurationError
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.settings import Settings

__all__ = [
    "EMBEDDED_BUCKET",
    "EMBEDDED_ROLE",
    "Services",
    "check_bucket",
    "services_for",
    "services_from_settings",
]

EMBEDDED_BUCKET = "cdao-local"
EMBEDDED_ROLE = "arn:aws:iam::123456789012:role/cdao-local"


@dataclass(frozen=True)
class Services:
    """What a connector needs of its surroundings.

    Attributes:
        clients: The AWS endpoint's shared clients.
        role_arn: Role for jobs whose spec names none.
        bucket: Bucket for code and outputs; None: below Flyte's own output prefix.
        tags: Tags for every resource.
    """

    clients: AwsClients
    role_arn: str | None
    bucket: str | None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


def check_bucket(services: Services) -> None:
    """Refuse a run in this process that would have nowhere to put its code and outputs.

    Raises:
        ConfigurationError: There is no bucket.
    """
    if services.bucket is None:
        msg = (
            "A run in this process on AWS needs a bucket for code and outputs:"
            " configure(default_bucket='…') or CDAO_DEFAULT_BUCKET."
        )
        raise ConfigurationError(msg)


def services_from_settings() -> Services:
    """The services that the settings name, for a connector that stands alone."""
    settings = holder.gather().settings
    if settings.endpoint_url:
        return _on_endpoint(settings, settings.endpoint_url)
    return _on_aws(settings)


def services_for(settings: Settings, embedded_url: Callable[[], str]) -> Services:
    """The services for a run in this process.

    Args:
        settings: The settings in force.
        embedded_url: Gives the embedded SageMaker's URL, starting it if it has to be.
    """
    if settings.sagemaker_backend == "aws" and not settings.endpoint_url:
        return _on_aws(settings)
    return _on_endpoint(settings, settings.endpoint_url or embedded_url())


def _on_endpoint(settings: Settings, url: str) -> Services:
    return Services(
        clients=shared_clients(embedded_target(url, settings.region_name)),
        role_arn=settings.sagemaker_role or EMBEDDED_ROLE,
        bucket=settings.default_bucket or EMBEDDED_BUCKET,
        tags=settings.tags,
    )


def _on_aws(settings: Settings) -> Services:
    return Services(
        clients=shared_clients(AwsTarget(settings.region_name)),
        role_arn=settings.sagemaker_role,
        bucket=settings.default_bucket,
        tags=settings.tags,
    )
