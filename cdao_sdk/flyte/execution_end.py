"""Whether FlyteAdmin says that an execution is over, for the reaper."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING

from cdao_sdk.errors import CdaoError, NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cdao_sdk.settings import Settings

__all__ = ["execution_end"]

logger = logging.getLogger(__name__)


def execution_end(settings: Settings) -> Callable[[str, str, str], Awaitable[bool | None]] | None:
    """Asks FlyteAdmin of an execution (project, domain, name); None if the settings name none."""
    if not settings.admin_endpoint:
        return None

    async def is_over(project: str, domain: str, name: str) -> bool | None:
        asking = functools.partial(_is_over, settings, project, domain, name)
        try:
            return await asyncio.to_thread(asking)
        except NotFound:
            return None  # a run in somebody's process, or another cluster's
        except CdaoError as error:
            logger.warning("FlyteAdmin does not tell whether %s is over: %s", name, error)
            return None

    return is_over


def _is_over(settings: Settings, project: str, domain: str, name: str) -> bool:
    from flyteidl.admin.execution_pb2 import WorkflowExecutionGetRequest
    from flyteidl.core.execution_pb2 import WorkflowExecution
    from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
    from flytekit.clients.raw import RawSynchronousFlyteClient

    from cdao_sdk.flyte.remote import cluster_for

    identifier = WorkflowExecutionIdentifier(project=project, domain=domain, name=name)
    request = WorkflowExecutionGetRequest(id=identifier)
    execution = cluster_for(settings).call(RawSynchronousFlyteClient.get_execution, request)
    return execution.closure.phase in (
        WorkflowExecution.SUCCEEDED,
        WorkflowExecution.FAILED,
        WorkflowExecution.ABORTED,
        WorkflowExecution.TIMED_OUT,
    )
