"""Why an execution on a cluster failed, as the error that a run in this process would raise."""

# flyteidl ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.errors import CdaoError, JobFailed
from cdao_sdk.flyte.node_tree import read_nodes, walk
from cdao_sdk.kinds.observation import plain_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdao_sdk.flyte.node_tree import NodeExecution, TaskAttempt
    from cdao_sdk.flyte.remote import Cluster

__all__ = ["failure_of"]

logger = logging.getLogger(__name__)


def failure_of(cluster: Cluster, execution: Any, url: str) -> JobFailed:
    """The error of an execution that has failed.

    Args:
        cluster: Where it ran.
        execution: FlyteAdmin's message of it.
        url: Where people can look further.
    """
    try:
        node, attempt = _culprit(read_nodes(cluster, execution.id))
    except CdaoError as error:
        logger.info("the nodes of %s cannot be read: %s", execution.id.name, error)
        node, attempt = None, None
    whole = str(execution.closure.error.message).strip() or "no reason given"
    if node is None:
        return JobFailed(f"Execution {execution.id.name} failed: {whole}\n{url}")
    info: Mapping[str, object] = attempt.custom_info if attempt else {}
    why = (attempt.error if attempt else "") or node.error or whole
    task = attempt.task.rpartition(".")[2] if attempt else ""
    where = f"node {node.id} ({task})" if task else f"node {node.id}"
    tries = f" at attempt {attempt.number + 1}" if attempt and attempt.number else ""
    log_tail = info.get("log_tail")
    return JobFailed(
        f"Execution {execution.id.name} failed at {where}{tries}: {why}\n{url}",
        job_name=attempt.job_name if attempt else "",
        reason=plain_reason(str(info.get("failure_reason", "") or why)),
        user_traceback=str(info.get("user_traceback", "")),
        log_tail=[str(line) for line in cast("list[object]", log_tail)]
        if isinstance(log_tail, list)
        else (),
    )


def _culprit(
    nodes: Iterable[NodeExecution],
) -> tuple[NodeExecution | None, TaskAttempt | None]:
    """The innermost node that failed, and its last attempt (or the map's element) that did."""
    failed = [node for node in walk(nodes) if node.is_failed]
    leaves = [node for node in failed if not any(child.is_failed for child in node.children)]
    if not leaves:
        return None, None
    node = leaves[0]
    if not node.attempts:
        return node, None
    last = node.attempts[-1]
    broken = [one for one in last.elements if one.phase == "FAILED" and one.custom_info]
    return node, (broken[0] if broken else last)
