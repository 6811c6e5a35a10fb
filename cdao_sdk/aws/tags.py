"""Tags of what is in SageMaker."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cdao_sdk.aws.calls import call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk.aws.session import AwsClients

__all__ = ["tags_of"]


async def tags_of(clients: AwsClients, arn: str) -> dict[str, str]:
    """The tags of a job or a model, as ListTags gives them.

    Args:
        clients: Where to look.
        arn: ARN of what is tagged.

    Raises:
        SubmissionError: AWS refused.
    """
    answer = await call(clients, "sagemaker", "ListTags", {"ResourceArn": arn})
    tags = cast("Sequence[Mapping[str, str]]", answer.get("Tags", []))
    return {tag["Key"]: tag["Value"] for tag in tags}
