"""Where jobs go: AWS, or whatever endpoint the settings or the caller name."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cdao_sdk.accounts import account_for
from cdao_sdk.aws.job_status import StatusOptions
from cdao_sdk.aws.session import AwsTarget, embedded_target, shared_clients
from cdao_sdk.aws.status import status_watcher
from cdao_sdk.errors import ConfigurationError
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdao_sdk.accounts import Account
    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.aws.status import StatusWatcher
    from cdao_sdk.settings import Settings

__all__ = [
    "EMBEDDED_BUCKET",
    "EMBEDDED_ROLE",
    "Services",
    "check_bucket",
    "services_for",
    "services_for_attempt",
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
        status: How often to look at jobs; None: as suits the endpoint.
    """

    clients: AwsClients
    role_arn: str | None
    bucket: str | None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    status: StatusOptions | None = None

    @property
    def watcher(self) -> StatusWatcher:
        """Answers where jobs stand, on the running loop."""
        options = self.status or StatusOptions.for_target(self.clients.target)
        return status_watcher(self.clients, options)

    def root(self, output_prefix: str) -> str:
        """S3 prefix for everything of ours: in the bucket, else below Flyte's own prefix."""
        return f"s3://{self.bucket}/cdao" if self.bucket else output_prefix.rstrip("/")


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
    return services_for_attempt(settings, settings.project, settings.domain)


def services_for(settings: Settings, embedded_url: Callable[[], str]) -> Services:
    """The AWS that jobs are on: of runs in this process, or of the cluster that is set.

    Args:
        settings: The settings in force.
        embedded_url: Gives the embedded SageMaker's URL, starting it if it has to be; no cluster
            sends its jobs there.
    """
    account = account_for(settings, settings.project, settings.domain)
    on_aws = settings.sagemaker_backend == "aws" or settings.admin_endpoint is not None
    if not on_aws and not account.endpoint_url:
        account = account.model_copy(update={"endpoint_url": embedded_url()})
    return _of_account(account, settings)


def services_for_attempt(settings: Settings, project: str, domain: str) -> Services:
    """The services for the jobs of a Flyte project and domain.

    Args:
        settings: The settings in force.
        project: The attempt's Flyte project.
        domain: The attempt's Flyte domain.

    Returns:
        The account's; the same object for the same account, with clients that are shared.
    """
    return _of_account(account_for(settings, project, domain), settings)


def _of_account(account: Account, settings: Settings) -> Services:
    region, url = account.region or "us-east-1", account.endpoint_url
    assumed = {"role_arn": account.role_arn, "external_id": account.external_id}
    target = embedded_target(url, region, **assumed) if url else AwsTarget(region, **assumed)
    services = _services(
        target,
        account.sagemaker_role or (EMBEDDED_ROLE if url else None),
        account.default_bucket or (EMBEDDED_BUCKET if url else None),
        tuple(settings.tags.items()),
        StatusOptions.for_target(
            target,
            interval_seconds=settings.status_interval_seconds,
            longest_interval_seconds=settings.status_longest_interval_seconds,
            sweep_seconds=settings.status_sweep_seconds,
            events_queue_url=account.events_queue_url,
        ),
    )
    services.clients.rates.configure(settings.api_rates)
    return services


@functools.lru_cache(maxsize=256)
def _services(
    target: AwsTarget,
    role_arn: str | None,
    bucket: str | None,
    tags: tuple[tuple[str, str], ...],
    status: StatusOptions,
) -> Services:
    return Services(
        clients=shared_clients(target),
        role_arn=role_arn,
        bucket=bucket,
        tags=dict(tags),
        status=status,
    )
