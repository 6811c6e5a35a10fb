"""Images in a private Docker registry: the options that training and models share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from cdao_sdk.kinds.fields import LambdaArn  # noqa: TC001 - pydantic reads the annotations
from cdao_sdk.kinds.problem import Problem
from cdao_sdk.kinds.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Iterator


class RegistrySpec(JobSpec):
    """Options of the kinds whose image may come from a registry in the user's VPC."""

    repository_access: Annotated[
        Literal["Platform", "Vpc"] | None,
        Field(description="'Vpc': the image is in a private registry in your VPC."),
    ] = None
    repository_credentials_provider: Annotated[
        LambdaArn | None, Field(description="Lambda function that logs in to that registry.")
    ] = None

    def problems(self) -> Iterator[Problem]:
        """Also of the access to that registry."""
        yield from super().problems()
        if self.repository_credentials_provider and self.repository_access != "Vpc":
            text = "repository_credentials_provider needs repository_access='Vpc'"
            yield Problem(("repository_access", "repository_credentials_provider"), text)
        if self.repository_access == "Vpc" and not self.subnets:
            text = (
                "repository_access='Vpc' reaches a registry in your VPC: "
                "give subnets and security_group_ids"
            )
            yield Problem(("repository_access", "subnets"), text)
