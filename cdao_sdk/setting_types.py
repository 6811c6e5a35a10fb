"""The kinds of values that settings hold, each with its rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from cdao_sdk.catalog.api_rates import OPERATIONS
from cdao_sdk.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "AdminEndpoint",
    "ApiOperation",
    "ApiRate",
    "Bucket",
    "BucketPattern",
    "ExternalId",
    "FlyteName",
    "ImagePattern",
    "QueueUrl",
    "Region",
    "Role",
    "RolePattern",
    "Url",
    "account_of_role",
]

_ROLE = re.compile(r"arn:aws[a-z\-]*:iam::\d{12}:role/[\w+=,.@\-/]{1,512}")
_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d")  # eusc-de-east-1 is Europe's sovereign cloud
_FLYTE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._\-]{0,61}[A-Za-z0-9])?")


def _matching(pattern: re.Pattern[str], rule: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(rule)
        return value

    return check


Role = Annotated[
    str,
    AfterValidator(
        _matching(_ROLE, "give the role's ARN: arn:aws:iam::<12-digit account>:role/<name>")
    ),
]
Bucket = Annotated[
    str,
    AfterValidator(
        _matching(
            _BUCKET,
            "give a bucket's name without 's3://' or a path: 3-63 of a-z, 0-9, '.' and '-'",
        )
    ),
]
Region = Annotated[
    str, AfterValidator(_matching(_REGION, "give a region's code such as 'us-east-1'"))
]
FlyteName = Annotated[
    str,
    AfterValidator(_matching(_FLYTE_NAME, "use letters, digits, '.', '_' and '-' (≤ 63)")),
]
Url = Annotated[
    str,
    AfterValidator(
        _matching(
            re.compile(r"https?://[^\s/]+(/\S*)?"), "give a URL that begins http:// or https://"
        )
    ),
]
AdminEndpoint = Annotated[
    str,
    AfterValidator(
        _matching(
            re.compile(r"((https?|dns)://+)?[A-Za-z0-9.\-\[\]:]+(:\d+)?/?"),
            "give https://host, dns:///host or host[:port]",
        )
    ),
]
# Source: API reference of AssumeRole, November 2026.
ExternalId = Annotated[
    str,
    AfterValidator(
        _matching(
            re.compile(r"[\w+=,.@:/\-]{2,1224}", re.ASCII),
            "use 2-1224 of A-Z, a-z, 0-9 and _+=,.@:/-",
        )
    ),
]
QueueUrl = Annotated[
    str,
    AfterValidator(
        _matching(
            re.compile(r"https?://[^\s/]+/\d{12}/[\w\-]{1,80}(\.fifo)?", re.ASCII),
            "give an SQS queue's URL: https://sqs.<region>.amazonaws.com/<12-digit account>/<name>",
        )
    ),
]


def _known_operation(name: str) -> str:
    if name not in OPERATIONS:
        msg = f"no operation of AWS that is called here.{did_you_mean(name, OPERATIONS)}"
        raise ValueError(msg)
    return name


ApiOperation = Annotated[str, AfterValidator(_known_operation)]
ApiRate = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)] | None


def account_of_role(role_arn: str) -> str:
    """The 12-digit account of a role's ARN.

    Example:
        >>> account_of_role("arn:aws:iam::123456789012:role/x")
        '123456789012'
    """
    return role_arn.split(":")[4]


# Patterns of fnmatch, for lists of what is allowed.
RolePattern = Annotated[
    str,
    AfterValidator(
        _matching(re.compile(r"arn:\S+|\*"), "give a role's ARN; '*', '?' and '[…]' may be in it")
    ),
]
BucketPattern = Annotated[
    str,
    AfterValidator(
        _matching(
            re.compile(r"[a-z0-9.*?!\[\]\-]+"),
            "give a bucket's name; '*', '?' and '[…]' may be in it",
        )
    ),
]
ImagePattern = Annotated[
    str,
    AfterValidator(
        _matching(
            re.compile(r"(?!\w+://)\S+"),
            "give a registry, or registry/path; '*', '?' and '[…]' may be in it",
        )
    ),
]
