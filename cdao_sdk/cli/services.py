"""The AWS that the settings name, for commands that look at jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.flyte.remote_execution import RemoteExecution
    from cdao_sdk.settings import Settings

__all__ = ["connected", "on_cluster"]


def connected() -> tuple[AwsClients, Settings]:
    """Clients and settings; the embedded SageMaker is started if it is the one that is meant."""
    from cdao_sdk._connect import connect
    from cdao_sdk.settings import holder

    settings = holder.gather().settings
    return connect(settings).clients, settings


def on_cluster(identifier: str, *, aws_will_do: bool = True) -> RemoteExecution | None:
    """The execution of that id on the cluster; None without a cluster, and if it has none.

    Args:
        identifier: Its id, ``project:domain:id``, or its URL in Flyte's console.
        aws_will_do: Whether None is given where FlyteAdmin does not answer, for AWS tells enough.

    Raises:
        SubmissionError: FlyteAdmin does not answer, or refused.
    """
    from cdao_sdk.settings import holder

    if not holder.gather().settings.admin_endpoint:
        return None
    from cdao_sdk._run import get_execution
    from cdao_sdk.errors import NotFound, ResourcesUnavailable
    from cdao_sdk.flyte.remote_execution import RemoteExecution

    try:
        found = get_execution(identifier)
    except NotFound:
        return None  # a job's name
    except ResourcesUnavailable as error:
        if not aws_will_do:
            raise
        click.echo(f"As AWS tells, without Flyte: {error}", err=True)
        return None
    return found if isinstance(found, RemoteExecution) else None
