"""What FlyteAdmin is told of a workflow: its tasks, workflows and launch plans as messages.

They are made twice: once with placeholders in the place of the version and of the code's URI, so
that the version can be a hash of all that they say; and once as they are registered.
"""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flytekit.configuration import (
    FastSerializationSettings,
    Image,
    ImageConfig,
    SerializationSettings,
)
from flytekit.configuration.default_images import DefaultImages
from flytekit.core.base_task import PythonTask
from flytekit.core.context_manager import FlyteContextManager, FlyteEntities
from flytekit.core.data_persistence import FileAccessProvider
from flytekit.core.interface import transform_inputs_to_parameters
from flytekit.core.launch_plan import LaunchPlan
from flytekit.core.reference_entity import ReferenceEntity
from flytekit.core.workflow import WorkflowBase
from flytekit.models.admin.workflow import WorkflowSpec
from flytekit.models.launch_plan import LaunchPlan as LaunchPlanModel
from flytekit.models.literals import LiteralMap
from flytekit.models.task import TaskSpec
from flytekit.remote.remote_callable import RemoteEntity
from flytekit.tools.translator import get_serializable, get_serializable_launch_plan

from cdao_sdk._version import __version__
from cdao_sdk.errors import CdaoError, ConfigurationError, PlanError
from cdao_sdk.flyte.cluster_code import cluster_code, importable_from_notebook, plain_tasks
from cdao_sdk.kinds.registry import KINDS
from cdao_sdk.settings import flyte_config_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flytekit import FlyteContext

    from cdao_sdk.flyte.bundle import CodeBundle
    from cdao_sdk.flyte.run_inputs import Entity
    from cdao_sdk.settings import Settings

__all__ = ["KIND_WORDS", "Prepared", "Unit", "prepare"]

logger = logging.getLogger(__name__)

_PLACEHOLDER = "cdao-placeholder"
_CODE_PLACEHOLDER = "s3://cdao-placeholder/code.tar.gz"
# Flyte's version may have 128 characters; so many make two equal ones a matter of 2^64 releases.
_VERSION_LENGTH = 32

KIND_WORDS = {"task": "task", "workflow": "workflow", "launch_plan": "launch plan"}


@dataclass(frozen=True)
class Unit:
    """One thing that is registered by one call.

    Attributes:
        kind: ``"task"``, ``"workflow"`` or ``"launch_plan"``.
        name: Its name.
        request: The message that creates it.
        activate: Whether it is a launch plan that asks to be active.
    """

    kind: str
    name: str
    request: Any = field(repr=False)
    activate: bool = False


@dataclass(frozen=True)
class Prepared:
    """Something that can be registered.

    Attributes:
        entities: What was asked for.
        version: A hash of all that would be registered, code included.
        names: (kind, name) of each thing that would be registered.
        code: The archive; None if no code of the user's runs.
        settings: What it was made with.
    """

    entities: tuple[Entity, ...]
    version: str
    names: tuple[tuple[str, str], ...]
    code: CodeBundle | None
    settings: Settings = field(repr=False)

    def units(self, context: FlyteContext, version: str, code_uri: str | None) -> list[Unit]:
        """The calls that register it, in an order in which nothing names what is not there yet.

        Args:
            context: Where the files lie that are default inputs.
            version: The version.
            code_uri: Where the archive lies.
        """
        made = _Serializer(self.settings, context, version, code_uri)
        return made.units(made.mapping(self.entities))


def prepare(entities: Sequence[Entity], settings: Settings) -> Prepared:
    """Pack and hash what is to be registered; nothing is sent.

    Args:
        entities: Workflows, launch plans and tasks.
        settings: The settings in force.

    Raises:
        PlanError: Something cannot be serialised, or its code has no file or is too large.
    """
    for entity in entities:
        if isinstance(entity, (ReferenceEntity, RemoteEntity)):
            msg = (
                f"{entity.name} is a reference to what is registered elsewhere: call it inside a"
                " workflow of yours, or execute it with FlyteRemote."
            )
            raise PlanError(msg)
    with tempfile.TemporaryDirectory(prefix="cdao-version-") as folder:
        access = _HashedFiles(folder)
        context = FlyteContextManager.current_context().with_file_access(access).build()
        made = _Serializer(settings, context, _PLACEHOLDER, _CODE_PLACEHOLDER)
        mapping = made.mapping(entities)
        units = made.units(mapping)
    code = cluster_code(_tasks(mapping), settings.copy_style)
    _warn_of_image(plain_tasks(_tasks(mapping)), settings)
    digest = hashlib.sha256(f"cdao-sdk {__version__}\n".encode())
    digest.update((code.digest if code else "").encode())
    for unit in sorted(units, key=lambda unit: (unit.kind, unit.name)):
        digest.update(unit.request.SerializeToString(deterministic=True))
    return Prepared(
        entities=tuple(entities),
        version=digest.hexdigest()[:_VERSION_LENGTH],
        names=tuple((unit.kind, unit.name) for unit in units),
        code=code,
        settings=settings,
    )


def _tasks(mapping: OrderedDict[Any, Any]) -> list[PythonTask]:
    return [entity for entity in mapping if isinstance(entity, PythonTask)]


_warned: set[str] = set()


def _warn_of_image(tasks: Sequence[Any], settings: Settings) -> None:
    """flytekit's default image has no cdao_sdk, which the module of a mixed workflow imports."""
    unset = [task.name for task in tasks if task.container_image is None]
    if settings.image or not unset or unset[0] in _warned:
        return
    _warned.add(unset[0])
    logger.warning(
        "plain Flyte tasks (%s) run on the cluster in flytekit's image %s, without cdao-sdk: name"
        " an image that has it, if their module imports cdao_sdk: image='…' or CDAO_IMAGE",
        ", ".join(unset),
        DefaultImages.default_image(),
    )


class _Serializer:
    def __init__(
        self, settings: Settings, context: FlyteContext, version: str, code_uri: str | None
    ) -> None:
        self._settings = settings
        is_draft = version == _PLACEHOLDER
        self._flyte = SerializationSettings(
            image_config=_images(settings),
            project=_PLACEHOLDER if is_draft else settings.project,
            domain=_PLACEHOLDER if is_draft else settings.domain,
            version=version,
            fast_serialization_settings=FastSerializationSettings(
                enabled=code_uri is not None, destination_dir=".", distribution_location=code_uri
            ),
        )
        self._context = context

    def mapping(self, entities: Iterable[Entity]) -> OrderedDict[Any, Any]:
        """Every entity that these need → flytekit's model of it, dependencies first."""
        found: OrderedDict[Any, Any] = OrderedDict()
        with FlyteContextManager.with_context(
            self._context.with_serialization_settings(self._flyte)
        ):
            for entity in entities:
                try:
                    with importable_from_notebook(_all_tasks(entity)):
                        get_serializable(found, self._flyte, entity)
                except CdaoError:
                    raise
                except Exception as error:  # flytekit's translator raises of any class
                    msg = f"{entity.name} cannot be registered: {type(error).__name__}: {error}"
                    raise PlanError(msg) from error
        return found

    def units(self, mapping: OrderedDict[Any, Any]) -> list[Unit]:
        """The calls that create them; each workflow has its default launch plan."""
        models = [
            model
            for model in mapping.values()
            if isinstance(model, (TaskSpec, WorkflowSpec, LaunchPlanModel))
            and not isinstance(model, RemoteEntity)
        ]
        units = [self._unit(model) for model in models]
        named = {unit.name for unit in units if unit.kind == "launch_plan"}
        for entity in mapping:
            is_own = isinstance(entity, WorkflowBase) and not isinstance(entity, ReferenceEntity)
            if is_own and entity.name not in named:
                units.append(self._unit(self._default_launch_plan(entity)))
        return units

    def _unit(self, model: Any) -> Unit:
        if isinstance(model, TaskSpec):
            self._complete(model)
            request = task_pb2.TaskCreateRequest(
                id=model.template.id.to_flyte_idl(), spec=model.to_flyte_idl()
            )
            return Unit("task", model.template.id.name, request)
        if isinstance(model, WorkflowSpec):
            request = workflow_pb2.WorkflowCreateRequest(
                id=model.template.id.to_flyte_idl(), spec=model.to_flyte_idl()
            )
            return Unit("workflow", model.template.id.name, request)
        request = launch_plan_pb2.LaunchPlanCreateRequest(
            id=model.id.to_flyte_idl(), spec=model.spec.to_flyte_idl()
        )
        activate = bool(getattr(model, "should_auto_activate", False))
        return Unit("launch_plan", model.id.name, request, activate)

    def _complete(self, model: Any) -> None:
        """Role and tags of the settings go along: the connector's own are those of its platform."""
        if model.template.type not in _TASK_TYPES:
            return
        spec = cast("dict[str, Any]", model.template.custom["spec"])
        if self._settings.sagemaker_role:
            spec.setdefault("sagemaker_role", self._settings.sagemaker_role)
        if self._settings.tags:
            spec["tags"] = {**self._settings.tags, **spec.get("tags", {})}

    def _default_launch_plan(self, workflow: WorkflowBase) -> Any:
        """Not flytekit's, which is kept for the process with the files of whoever asked first."""
        options = workflow.default_options
        with FlyteContextManager.with_context(self._context.new_builder()) as context:
            plan = LaunchPlan(
                name=workflow.name,
                workflow=workflow,
                parameters=transform_inputs_to_parameters(context, workflow.python_interface),
                fixed_inputs=LiteralMap(literals={}),
                labels=options.labels if options else None,
                annotations=options.annotations if options else None,
            )
        # It would be taken for one of the user's by whoever registers all that there is.
        FlyteEntities.entities[:] = [one for one in FlyteEntities.entities if one is not plan]
        return get_serializable_launch_plan(
            OrderedDict(), self._flyte, plan, recurse_downstream=False
        )


_TASK_TYPES = frozenset(kind.task_type for kind in KINDS.values())


def _images(settings: Settings) -> ImageConfig:
    file = flyte_config_file()
    image = settings.image or DefaultImages.default_image()
    try:
        Image.look_up_image_info("default", image)
        return ImageConfig.auto(str(file) if file else None, img_name=image)
    except Exception as error:  # flytekit's reader raises of any class
        msg = f"image={image!r} (or one of `images` in {file}) is no image's name: {error}"
        raise ConfigurationError(msg) from error


def _all_tasks(entity: Any) -> list[object]:
    """The tasks of a graph, without serialising it."""
    if isinstance(entity, LaunchPlan):
        return _all_tasks(entity.workflow)
    if isinstance(entity, WorkflowBase) and not isinstance(entity, ReferenceEntity):
        nodes = [*entity.nodes, *([entity.failure_node] if entity.failure_node else [])]
        return [task for node in nodes for task in _all_tasks(node.flyte_entity)]
    branches = getattr(entity, "_ifelse_block", None)
    if branches is not None:
        found = [branches.case.then_node, *(case.then_node for case in branches.other or [])]
        nodes = [node for node in (*found, branches.else_node) if node is not None]
        return [task for node in nodes for task in _all_tasks(node.flyte_entity)]
    return [entity] if isinstance(entity, PythonTask) else []


class _HashedFiles(FileAccessProvider):
    """flytekit's file access, which uploads nothing: a file's place is named by what is in it."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, folder)

    async def _put(self, from_path: str, *_: object, **__: object) -> str:
        return _place_by_content(Path(from_path))


def _place_by_content(path: Path) -> str:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(path.parent)).encode())
        digest.update(file.read_bytes())
    return f"s3://{digest.hexdigest()}/{path.name}"
