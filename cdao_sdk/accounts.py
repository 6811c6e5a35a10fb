"""AWS accounts by Flyte project and domain: which one an attempt's jobs run in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

from cdao_sdk.setting_types import (
    Bucket,
    ExternalId,
    QueueUrl,
    Region,
    Role,
    Url,
    account_of_role,
)

if TYPE_CHECKING:
    from cdao_sdk.settings import Settings

__all__ = ["Account", "AccountKey", "account_for"]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._\-]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"{_NAME}(?:/{_NAME})?|\*/{_NAME}")


def _checked_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        msg = "name an account by '<project>/<domain>', '<project>' or '*/<domain>'"
        raise ValueError(msg)
    return key


AccountKey = Annotated[str, AfterValidator(_checked_key)]


class Account(BaseModel):
    """An AWS account, and how its jobs are to be made there; what is absent is as elsewhere.

    Attributes:
        role_arn: Role to assume for every call; absent: the credentials in force.
        external_id: What that role's trust policy asks for; belongs to ``role_arn``.
        region: Region of the jobs.
        sagemaker_role: Role that the jobs run as.
        default_bucket: Bucket for code, inputs and outputs.
        endpoint_url: Endpoint instead of AWS's own.
        events_queue_url: SQS queue with the account's state changes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role_arn: Role | None = None
    external_id: ExternalId | None = None
    region: Region | None = None
    sagemaker_role: Role | None = None
    default_bucket: Bucket | None = None
    endpoint_url: Url | None = None
    events_queue_url: QueueUrl | None = None

    @field_validator("external_id")
    @classmethod
    def _belongs_to_a_role(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("role_arn", "") is None:
            msg = "it is sent with a role: give role_arn, too"
            raise ValueError(msg)
        return value

    @field_validator("sagemaker_role")
    @classmethod
    def _is_in_the_same_account(cls, value: str | None, info: ValidationInfo) -> str | None:
        assumed = info.data.get("role_arn")
        if value and assumed and account_of_role(value) != account_of_role(assumed):
            msg = (
                f"a job's role must be in the job's account, here {account_of_role(assumed)}"
                f" of role_arn={assumed!r}"
            )
            raise ValueError(msg)
        return value


def account_for(settings: Settings, project: str, domain: str) -> Account:
    """The account for an attempt of a project and domain, with everything filled in.

    The most specific entry of ``accounts`` wins as a whole: ``project/domain``, then ``project``,
    then ``*/domain``; what it leaves out comes from the settings outside the table, but never what
    belongs to another AWS account.

    Args:
        settings: The settings in force.
        project: The attempt's Flyte project.
        domain: The attempt's Flyte domain.

    Returns:
        The account; its region is always set.
    """
    keys = (f"{project}/{domain}", project, f"*/{domain}")
    chosen = next((settings.accounts[key] for key in keys if key in settings.accounts), Account())
    usual = settings.assume_role
    role = chosen.role_arn or usual
    # An entry without a role of its own is the usual account.
    is_usual = role == usual
    external_id = settings.external_id if chosen.role_arn is None else chosen.external_id
    fits = is_usual or (
        role is not None
        and settings.sagemaker_role is not None
        and account_of_role(role) == account_of_role(settings.sagemaker_role)
    )
    region = chosen.region or settings.region_name
    queue = settings.events_queue_url if is_usual and region == settings.region_name else None
    return Account.model_construct(
        role_arn=role,
        external_id=external_id,
        region=region,
        sagemaker_role=chosen.sagemaker_role or (settings.sagemaker_role if fits else None),
        default_bucket=chosen.default_bucket or settings.default_bucket,
        endpoint_url=chosen.endpoint_url or settings.endpoint_url,
        events_queue_url=chosen.events_queue_url or queue,
    )
