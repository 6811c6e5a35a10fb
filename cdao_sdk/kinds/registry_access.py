"""Images in a private Docker registry: the rules that training and models share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdao_sdk.kinds.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def repository_problems(
    access: str | None, credentials_provider: str | None, subnets: Sequence[str]
) -> Iterator[Problem]:
    """What is wrong with the access to a registry.

    Args:
        access: ``"Platform"`` for Amazon ECR, ``"Vpc"`` for a private registry.
        credentials_provider: ARN of the Lambda function that logs in.
        subnets: The job's own; a private registry is reached through them.
    """
    if credentials_provider and access != "Vpc":
        text = "repository_credentials_provider needs repository_access='Vpc'"
        yield Problem(("repository_access", "repository_credentials_provider"), text)
    if access == "Vpc" and not subnets:
        text = (
            "repository_access='Vpc' reaches a registry in your VPC: "
            "give subnets and security_group_ids"
        )
        yield Problem(("repository_access", "subnets"), text)
