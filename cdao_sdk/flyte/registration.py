"""Registers workflows with FlyteAdmin: once for what is equal, wherever it comes from."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyteidl.admin import common_pb2, launch_plan_pb2
from flyteidl.core import identifier_pb2
from flytekit.clients.raw import RawSynchronousFlyteClient as Admin
from flytekit.core.base_task import PythonTask
from flytekit.core.launch_plan import LaunchPlan

from cdao_sdk.errors import NotFound, SubmissionError
from cdao_sdk.flyte.admin_errors import EntityExists
from cdao_sdk.flyte.registered import RegisteredMemory, RegisteredName
from cdao_sdk.flyte.serialization import KIND_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cdao_sdk.flyte.remote import Cluster
    from cdao_sdk.flyte.run_inputs import Entity
    from cdao_sdk.flyte.serialization import Prepared, Unit
    from cdao_sdk.settings import Settings

__all__ = ["Registered", "Registrar"]

logger = logging.getLogger(__name__)

_CALLS_AT_ONCE = 8
# A workflow of hundreds of nodes is compiled by FlyteAdmin before it answers.
_CREATE_SECONDS = 60.0
_UPLOAD_SECONDS = 30.0
_ARCHIVE = "code.tar.gz"

_CREATE: Mapping[str, Callable[..., Any]] = {
    "task": Admin.create_task,
    "workflow": Admin.create_workflow,
    "launch_plan": Admin.create_launch_plan,
}


@dataclass(frozen=True)
class Registered:
    """What was registered, or was there already.

    Attributes:
        version: The version.
        is_new: Whether anything was sent.
    """

    version: str
    is_new: bool = False


class Registrar:
    """Registers with one cluster.

    Args:
        cluster: Where.
        settings: Tell where the memory of what is registered lies.
    """

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster = cluster
        self._memory = RegisteredMemory(settings.state_path / "registered")

    def launch_id(self, entity: Entity, version: str) -> identifier_pb2.Identifier:
        """What an execution of an entity names: a launch plan, or a task itself."""
        types = identifier_pb2.ResourceType
        target = self._cluster.target
        return identifier_pb2.Identifier(
            resource_type=types.TASK if isinstance(entity, PythonTask) else types.LAUNCH_PLAN,
            project=target.project,
            domain=target.domain,
            name=entity.name,
            version=version,
        )

    def ensure(self, prepared: Prepared, *, anew: bool = False) -> Registered:
        """Register under the version that the content has, unless it is there.

        Args:
            prepared: What is to be there.
            anew: Whether FlyteAdmin has said that it is not, whatever is remembered.

        Raises:
            CdaoError: FlyteAdmin refused.
        """
        version = prepared.version
        names = {entity: self._name(entity, version) for entity in prepared.entities}
        if anew:
            for name in names.values():
                self._memory.forget(name)
        else:
            unknown = [entity for entity, name in names.items() if name not in self._memory]
            if all(self._is_there(entity, version) for entity in unknown):
                for entity in unknown:
                    self._memory.add(names[entity])
                return Registered(version)
        registered = self.register(prepared, version)
        for name in names.values():
            self._memory.add(name)
        return registered

    def register(self, prepared: Prepared, version: str) -> Registered:
        """Upload the code and register everything; what is there already is left as it is.

        Args:
            prepared: What to register.
            version: Under which version.

        Raises:
            SubmissionError: The version holds something else, or FlyteAdmin refused.
        """
        code_uri = self._upload(prepared)
        with self._cluster.files() as context:
            units = prepared.units(context, version, code_uri)
        logger.info("registering %d entities as version %s", len(units), version)
        with ThreadPoolExecutor(_CALLS_AT_ONCE, "cdao-register") as pool:
            for wave in _waves(units):
                # Each in a context of its own: the deadline of a call is kept there.
                calls = [pool.submit(copy_context().run, self._create, unit) for unit in wave]
                for call in calls:
                    call.result()
        return Registered(version, is_new=True)

    def activate(self, name: str, version: str) -> None:
        """Make a version of a launch plan the active one.

        Args:
            name: The launch plan.
            version: Its version.
        """
        target = self._cluster.target
        request = launch_plan_pb2.LaunchPlanUpdateRequest(
            id=identifier_pb2.Identifier(
                resource_type=identifier_pb2.ResourceType.LAUNCH_PLAN,
                project=target.project,
                domain=target.domain,
                name=name,
                version=version,
            ),
            state=launch_plan_pb2.LaunchPlanState.ACTIVE,
        )
        self._cluster.call(Admin.update_launch_plan, request)

    def _name(self, entity: Entity, version: str) -> RegisteredName:
        target = self._cluster.target
        kind = "launch plan" if isinstance(entity, LaunchPlan) else "workflow"
        kind = "task" if isinstance(entity, PythonTask) else kind
        return RegisteredName(
            target.endpoint, target.project, target.domain, kind, str(entity.name), version
        )

    def _is_there(self, entity: Entity, version: str) -> bool:
        """Whether another machine has registered it; launch plans come last, so all is there."""
        request = common_pb2.ObjectGetRequest(id=self.launch_id(entity, version))
        method = Admin.get_task if isinstance(entity, PythonTask) else Admin.get_launch_plan
        try:
            self._cluster.call(method, request)
        except NotFound:
            return False
        return True

    def _upload(self, prepared: Prepared) -> str | None:
        """Where the archive lies; FlyteAdmin names the place by the content's MD5."""
        code = prepared.code
        if code is None:
            return None
        with tempfile.TemporaryDirectory(prefix="cdao-code-") as folder:
            path = Path(folder) / _ARCHIVE
            path.write_bytes(code.content)
            target = self._cluster.target
            upload = functools.partial(
                self._cluster.remote.upload_file, path, target.project, target.domain
            )
            _, uri = self._cluster.doing(upload, deadline=_UPLOAD_SECONDS)
        return str(uri)

    def _create(self, unit: Unit) -> None:
        try:
            with contextlib.suppress(EntityExists):
                self._cluster.call(_CREATE[unit.kind], unit.request, deadline=_CREATE_SECONDS)
        except SubmissionError as error:
            raise _refusal(unit, error) from error
        if unit.activate:
            self.activate(unit.name, unit.request.id.version)


def _waves(units: list[Unit]) -> Iterator[list[Unit]]:
    """Groups that may be created at once: all tasks; then runs of workflows, or of launch plans.

    Those of one kind do not name each other, and flytekit lists first what others name.
    """
    tasks = [unit for unit in units if unit.kind == "task"]
    if tasks:
        yield tasks
    others = [unit for unit in units if unit.kind != "task"]
    for _, group in itertools.groupby(others, key=lambda unit: unit.kind):
        yield list(group)


def _refusal(unit: Unit, error: SubmissionError) -> SubmissionError:
    what = f"{KIND_WORDS[unit.kind]} {unit.name}"
    if "different structure" in error.message:
        msg = (
            f"Version {unit.request.id.version!r} of {what} is registered with other content: name"
            " another version, or none (a hash of the content is taken then)."
        )
        return SubmissionError(msg, code=error.code)
    return type(error)(f"{what} was not registered. {error.message}", code=error.code)
