"""How one node is run: how often, how long, on what kind of instance, from the cache or not."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from flytekit.core.base_task import PythonTask
    from flytekit.models.core.workflow import NodeMetadata

__all__ = ["CacheRule", "NodePolicy", "node_policy"]


@dataclass(frozen=True)
class CacheRule:
    """When an earlier result stands for a run.

    Attributes:
        version: The cache's version, as the task or the node names it.
        serialize: Whether of several equal runs at one time one runs and the others wait for it.
        ignored: Inputs that do not count.
    """

    version: str
    serialize: bool = False
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodePolicy:
    """What holds for a node: the node's own word first, then the task's, then the workflow's.

    Attributes:
        retries: How often a recoverable failure is tried again.
        timeout_seconds: How long one attempt may take; 0: as long as it takes.
        interruptible: Whether it may run on spot instances.
        cache: None: it is always run.
    """

    retries: int = 0
    timeout_seconds: float = 0.0
    interruptible: bool = False
    cache: CacheRule | None = None


def node_policy(
    task: PythonTask, node: NodeMetadata | None = None, *, interruptible: bool = False
) -> NodePolicy:
    """The policy of a task's node.

    Args:
        task: The task.
        node: The node's metadata, into which ``with_overrides`` writes; None: the task alone.
        interruptible: What the workflow says, where neither task nor node does.
    """
    own = task.metadata
    if node is None:
        retries, timeout, spot = own.retries, own.timeout, own.interruptible
    else:
        retries = node.retries.retries if node.retries else 0
        timeout, spot = node.timeout, node.interruptible
    return NodePolicy(
        retries=cast("int", retries or 0),
        timeout_seconds=_seconds(timeout),
        interruptible=interruptible if spot is None else bool(spot),
        cache=_cache_rule(task, node),
    )


def _seconds(timeout: object) -> float:
    if isinstance(timeout, timedelta):
        return timeout.total_seconds()
    return float(cast("float", timeout or 0))


def _cache_rule(task: PythonTask, node: NodeMetadata | None) -> CacheRule | None:
    own = task.metadata
    on = own.cache if node is None or node.cacheable is None else node.cacheable
    if not on:
        return None
    version, serialize = own.cache_version, own.cache_serialize
    if node is not None:
        version = node.cache_version or version
        serialize = serialize if node.cache_serializable is None else node.cache_serializable
    return CacheRule(
        version=str(version or ""),
        serialize=bool(serialize),
        ignored=tuple(own.cache_ignore_input_vars or ()),
    )
