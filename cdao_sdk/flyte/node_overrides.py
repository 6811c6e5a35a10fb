"""What ``with_overrides`` may say of a step whose job runs on SageMaker."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.errors import SpecError

if TYPE_CHECKING:
    from flytekit.core.node import Node

__all__ = ["guard_overrides", "lost_overrides"]

# flytekit writes these for Flyte's own containers; a connector is not told of them.
_LOST = (
    *("container_image", "resources", "requests", "limits"),
    *("accelerator", "shared_memory", "pod_template"),
)


def guard_overrides(node: Node) -> None:
    """Let a node refuse what would not reach its job, where it is written."""
    cast("Any", node).with_overrides = functools.partial(_with_overrides, node)


def _with_overrides(node: Node, *args: object, **overrides: object) -> Node:
    named = [name for name in _LOST if overrides.get(name) is not None]
    if named:
        msg = f"{node.flyte_entity.name}, node {node.id}: {lost_overrides(named)}"
        raise SpecError(msg)
    return type(node).with_overrides(node, *args, **overrides)


def lost_overrides(names: list[str]) -> str:
    """That these overrides do not reach a job, and what does."""
    return (
        f"with_overrides({', '.join(names)}) does not reach a SageMaker job; say it on the task:"
        " container_image=, instance_type=, volume_size_gb="
    )
