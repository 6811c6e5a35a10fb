"""What Propeller sends with a connector's ``Create``: the task's template, and who asks for it."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast

from flytekit.configuration import FastSerializationSettings, ImageConfig, SerializationSettings
from flytekit.models.core.identifier import (
    Identifier,
    NodeExecutionIdentifier,
    ResourceType,
    TaskExecutionIdentifier,
    WorkflowExecutionIdentifier,
)
from flytekit.models.task import TaskExecutionMetadata

if TYPE_CHECKING:
    from flytekit.models.task import TaskTemplate

    from cdao_sdk.flyte.local_run import LocalRun
    from cdao_sdk.flyte.task import SageMakerTask

__all__ = ["execution_metadata", "task_template"]


def task_template(task: SageMakerTask, code_uri: str | None) -> TaskTemplate:
    """A task as fast registration would serialise it.

    Args:
        task: The task.
        code_uri: Where its code lies; None: it needs none.
    """
    from flytekit.tools.translator import get_serializable

    settings = SerializationSettings(
        image_config=ImageConfig.auto_default_image(),
        fast_serialization_settings=FastSerializationSettings(
            enabled=code_uri is not None, distribution_location=code_uri
        ),
    )
    return cast("TaskTemplate", get_serializable(OrderedDict(), settings, task).template)


def execution_metadata(
    run: LocalRun,
    task_name: str,
    *,
    node: str,
    attempt: int = 0,
    interruptible: bool | None = None,
) -> TaskExecutionMetadata:
    """Which attempt of which node of an execution asks for a job.

    Args:
        run: The execution.
        task_name: The task's name.
        node: The node's id, those of the workflows around it before.
        attempt: The attempt's number, from 0.
        interruptible: Whether it may run on spot instances; None: nobody said.
    """
    task_id = Identifier(ResourceType.TASK, run.project, run.domain, task_name, "local")
    execution_id = WorkflowExecutionIdentifier(run.project, run.domain, run.execution)
    node_id = NodeExecutionIdentifier(node, execution_id)
    metadata = TaskExecutionMetadata(
        TaskExecutionIdentifier(task_id, node_id, attempt),
        namespace="",
        labels={},
        annotations={},
        k8s_service_account="",
        environment_variables={},
        identity=None,
    )
    if interruptible is not None:
        cast("Any", metadata).interruptible = interruptible  # flytekit's class lacks the field
    return metadata
