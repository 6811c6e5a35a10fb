"""What an execution on a cluster returned, as Python values."""

# flytekit and flyteidl ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyteidl.admin import common_pb2, execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flytekit.clients.raw import RawSynchronousFlyteClient as Admin
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.models.interface import Variable
from flytekit.models.literals import LiteralMap

from cdao_sdk.errors import CdaoError
from cdao_sdk.flyte.downloads import bind_downloads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.flyte.remote import Cluster

__all__ = ["read_outputs"]


def read_outputs(
    cluster: Cluster, execution: Any, types: Mapping[str, type] | None
) -> dict[str, object]:
    """The outputs of an execution that has succeeded; files are downloaded when they are opened.

    Args:
        cluster: Where it ran.
        execution: FlyteAdmin's message of it.
        types: Python's types; None: guessed from Flyte's.

    Raises:
        CdaoError: A value does not fit its type, or cannot be read from here.
    """
    request = execution_pb2.WorkflowExecutionGetDataRequest(id=execution.id)
    answer = cluster.call(Admin.get_execution_data, request)
    access = cluster.remote.file_access
    message = answer.full_outputs
    if not message.literals and answer.outputs.bytes > 0:
        message = _downloaded(cluster, answer.outputs.url)
    literals = LiteralMap.from_flyte_idl(message).literals
    if types is None:
        types = _guessed(cluster, execution.spec.launch_plan)
    context = FlyteContextManager.current_context().with_file_access(access)
    values: dict[str, object] = {}
    with FlyteContextManager.with_context(context) as inside:
        for name, literal in literals.items():
            try:
                values[name] = TypeEngine.to_python_value(inside, literal, types[name])
            except Exception as error:  # flytekit's transformers raise of any class
                msg = f"Output {name!r} cannot be read here: {type(error).__name__}: {error}"
                raise CdaoError(msg) from error
    bind_downloads(values, access)
    return values


def _downloaded(cluster: Cluster, url: str) -> Any:
    """Outputs that are too large for FlyteAdmin's answer."""
    with tempfile.TemporaryDirectory(prefix="cdao-outputs-") as folder:
        path = Path(folder) / "outputs.pb"
        cluster.remote.file_access.get_data(url, str(path))
        return literals_pb2.LiteralMap.FromString(path.read_bytes())


def _guessed(cluster: Cluster, launched: Any) -> dict[str, Any]:
    """Python's types for Flyte's own, of the version that ran."""
    request = common_pb2.ObjectGetRequest(id=launched)
    if launched.resource_type == identifier_pb2.ResourceType.TASK:
        task = cluster.call(Admin.get_task, request)
        variables = task.closure.compiled_task.template.interface.outputs.variables
    else:
        variables = cluster.call(Admin.get_launch_plan, request).closure.expected_outputs.variables
    return {
        name: TypeEngine.guess_python_type(Variable.from_flyte_idl(variable).type)
        for name, variable in variables.items()
    }
