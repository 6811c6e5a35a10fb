"""The workflow that a ``@dynamic`` function makes of its inputs, as it is made on a cluster."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flytekit.core.context_manager import ExecutionState, FlyteContextManager
from flytekit.core.python_function_task import PythonFunctionTask
from flytekit.core.type_engine import TypeEngine
from flytekit.core.workflow import (
    PythonFunctionWorkflow,
    WorkflowFailurePolicy,
    WorkflowMetadata,
    WorkflowMetadataDefaults,
)

if TYPE_CHECKING:
    from flytekit.models.literals import LiteralMap

__all__ = ["is_dynamic", "workflow_of"]


def is_dynamic(entity: Any) -> bool:
    """Whether an entity is a ``@dynamic`` function."""
    return (
        isinstance(entity, PythonFunctionTask)
        and entity.execution_mode == PythonFunctionTask.ExecutionBehavior.DYNAMIC
    )


def workflow_of(task: PythonFunctionTask, inputs: LiteralMap) -> PythonFunctionWorkflow:
    """Run the function, and give the workflow whose nodes it has called.

    flytekit keeps one workflow a task; each call gets its own here, since several run at once.
    """
    context = FlyteContextManager.current_context()
    values = TypeEngine.literal_map_to_kwargs(context, inputs, task.python_interface.inputs)
    workflow = PythonFunctionWorkflow(
        task.task_function,
        metadata=WorkflowMetadata(on_failure=WorkflowFailurePolicy.FAIL_IMMEDIATELY),
        default_metadata=WorkflowMetadataDefaults(interruptible=bool(task.metadata.interruptible)),
    )
    state = context.new_execution_state().with_params(
        mode=ExecutionState.Mode.DYNAMIC_TASK_EXECUTION
    )
    builder = context.with_compilation_state(context.new_compilation_state(prefix="d"))
    with FlyteContextManager.with_context(builder.with_execution_state(state)):
        workflow.compile(**cast("dict[str, object]", values))
    return workflow
