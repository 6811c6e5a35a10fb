"""A Flyte task that runs as a SageMaker job."""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import contextlib
import inspect
import logging
import typing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from flytekit.core.context_manager import ExecutionState, FlyteContextManager
from flytekit.core.promise import (
    Promise,
    VoidPromise,
    create_task_output,
    translate_inputs_to_literals,
)
from flytekit.core.python_function_task import PythonFunctionTask
from flytekit.core.type_engine import TypeEngine
from flytekit.extend import TaskPlugins
from flytekit.models.literals import LiteralMap

from cdao_sdk.errors import SpecError, did_you_mean
from cdao_sdk.flyte import flytekit_runtime
from cdao_sdk.flyte.bundle import entry_point
from cdao_sdk.flyte.image_specs import checked_spec, name_in_local_run, with_registered_image
from cdao_sdk.flyte.inputs import holds, parameter_type
from cdao_sdk.flyte.local_tasks import run_job
from cdao_sdk.flyte.node_overrides import guard_overrides
from cdao_sdk.flyte.payload import TaskPayload
from cdao_sdk.flyte.secret_references import check_secrets
from cdao_sdk.flyte.type_rules import WORKING_TYPES, check_types
from cdao_sdk.flyte.union_types import with_fields_in_unions
from cdao_sdk.kinds.body import runs_body
from cdao_sdk.kinds.parameters import Channel, Parameter
from cdao_sdk.kinds.registry import kind as find_kind
from cdao_sdk.kinds.syntax import too_new_for
from cdao_sdk.kinds.training_spec import TrainingSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from flytekit import FlyteContext
    from flytekit.configuration import SerializationSettings
    from flytekit.image_spec.image_spec import ImageSpec
    from flytekit.models.types import LiteralType

    from cdao_sdk.kinds.job import JobKind
    from cdao_sdk.kinds.parameters import ParameterType
    from cdao_sdk.kinds.spec import JobSpec

__all__ = ["HANDLERS", "SageMakerTask", "SageMakerTaskConfig", "make_config", "register_task_types"]

logger = logging.getLogger(__name__)

_FILES = frozenset({"file", "directory", "dataframe"})

HANDLERS = ("model_fn", "input_fn", "predict_fn", "output_fn")


@dataclass(frozen=True)
class SageMakerTaskConfig:
    """What a decorator was told: the kind, its spec, functions that serve the model, the image."""

    kind: str
    spec: JobSpec
    handlers: Mapping[str, Callable[..., object]] = field(
        default_factory=dict[str, "Callable[..., object]"]
    )
    image: ImageSpec | None = None


def make_config(kind_name: str, options: Mapping[str, object]) -> SageMakerTaskConfig:
    """Check a decorator's options.

    Args:
        kind_name: ``"training"``, ``"processing"`` or ``"transform"``.
        options: What the decorator was given, unchecked.

    Raises:
        SpecError: All that is wrong with them.
    """
    name = find_kind(kind_name).name
    named = {key: options[key] for key in HANDLERS if options.get(key) is not None}
    problems = [
        f"{key}={value!r}: give a function" for key, value in named.items() if not callable(value)
    ]
    if named and name != "training":
        problems.append(
            f"{', '.join(named)}: only a training task packs handlers into its model; name them"
            " there, and any transform of that model uses them."
        )
    if problems:
        msg = "The model's handlers are not valid."
        raise SpecError(msg, problems=problems)
    handlers = cast("dict[str, Callable[..., object]]", named)
    others = {k: v for k, v in options.items() if k not in HANDLERS}
    spec, image = checked_spec(name, others)
    return SageMakerTaskConfig(name, spec, handlers, image)


class SageMakerTask(PythonFunctionTask):
    """A task whose job runs on SageMaker.

    Called directly it behaves as any flytekit task; ``task.task_function(...)`` runs the body here.
    """

    def __init__(
        self,
        task_config: SageMakerTaskConfig,
        task_function: Callable[..., object],
        **kwargs: object,
    ) -> None:
        job_kind = find_kind(task_config.kind)
        body = inspect.unwrap(task_function)
        self._runs_body = runs_body(task_config.spec, body)
        if flytekit_runtime.uses_flytekit(task_config.spec):
            flytekit_runtime.check(
                body.__qualname__, handlers=task_config.handlers, channels=_channels(body)
            )
            kwargs["container_image"] = task_config.spec.container_image
        else:
            check_types(body)
        if task_config.image is not None:
            kwargs["container_image"] = task_config.image
        with _stubs_allowed(not self._runs_body):
            super().__init__(
                task_config=task_config,
                task_function=task_function,
                task_type=job_kind.task_type,
                **kwargs,
            )
        self._interface = with_fields_in_unions(
            self.interface, self.python_interface.inputs, self.python_interface.outputs
        )
        if not flytekit_runtime.uses_flytekit(task_config.spec):
            # The connector writes a deck for each job; said here, Flyte shows it while it runs and
            # when it has failed, too.
            self._metadata = replace(
                self.metadata, generates_deck=kwargs.get("enable_deck") is not False
            )
        _check_outputs(self, runs=self._runs_body)
        check_secrets(self.name, self.security_context, task_config.spec, runs_body=self._runs_body)
        if task_config.handlers and not self._runs_body:
            msg = (
                f"{', '.join(task_config.handlers)}: the job is SageMaker's own algorithm, which"
                " serves its models itself; leave them out."
            )
            raise SpecError(msg)
        self._spec = self._with_plain_files(task_config.spec)
        self._roles = (
            flytekit_runtime.roles(_parameters(self, body))
            if flytekit_runtime.uses_flytekit(self._spec)
            else job_kind.parameters(
                _parameters(self, body), has_body=self._runs_body, spec=self._spec
            )
        )
        unused = [role.why for role in self._roles if role.role == "unused"]
        for note in (*task_config.spec.notes, *self._too_new(body), *unused, *_notes(self)):
            logger.warning("%s: %s", self.name, note)

    def _too_new(self, body: Callable[..., object]) -> list[str]:
        """That the image's Python cannot import what runs in it."""
        python = self._spec.image_python
        found = too_new_for(body, python) if self._runs_body and python else None
        if not found:
            return []
        module = body.__module__
        return [f"the image has Python {python}, which cannot import {module}: {found}"]

    def _with_plain_files(self, spec: JobSpec) -> JobSpec:
        """A training job's outputs are one archive; a file returned in it could not be named.

        A batch transform takes a model that is one archive only, so that is uploaded, too.
        """
        variables = self.interface.outputs.values()
        holds_files = any(holds(variable.type, _FILES) for variable in variables)
        if flytekit_runtime.uses_flytekit(spec):
            return spec  # flytekit uploads files by itself
        if isinstance(spec, TrainingSpec) and self._runs_body and holds_files:
            archive = spec.output_compression != "NONE" or spec.model_archive
            return spec.model_copy(update={"output_compression": "NONE", "model_archive": archive})
        return spec

    @property
    def job_kind(self) -> JobKind[Any]:
        """The kind of SageMaker job."""
        return find_kind(self.task_config.kind)

    @property
    def has_stand_in(self) -> bool:
        """Whether a test has put something in its place, with ``flytekit.testing``."""
        return "execute" in vars(self)

    @property
    def runs_body(self) -> bool:
        """Whether the function's body runs in the job."""
        return self._runs_body

    @property
    def functions(self) -> list[Callable[..., object]]:
        """The functions whose code a job of this task needs."""
        body = [inspect.unwrap(self.task_function)] if self._runs_body else []
        return [*body, *self.task_config.handlers.values()]

    def get_custom(self, settings: SerializationSettings) -> dict[str, object]:
        """The payload for ``TaskTemplate.custom``."""
        fast = settings.fast_serialization_settings
        code_uri = fast.distribution_location if fast and fast.enabled else None
        config = self.task_config
        payload = TaskPayload(
            kind=config.kind,
            spec=with_registered_image(self, self._spec, settings),
            roles=self._roles,
            runs_body=self._runs_body,
            entry=entry_point(inspect.unwrap(self.task_function)),
            handlers={name: entry_point(function) for name, function in config.handlers.items()},
            outputs=tuple(self.interface.outputs),
            code_uri=code_uri,
        )
        custom = payload.to_json()
        if "use_spot_instances" in self._spec.model_fields_set:
            # Said is said, also where it is the default: interruptible does not change it then.
            spot = {"use_spot_instances": getattr(self._spec, "use_spot_instances", False)}
            custom["spec"] = {**cast("dict[str, object]", custom["spec"]), **spot}
        return custom

    def get_image(self, settings: SerializationSettings) -> str:
        """The container image's name; an ImageSpec is built at registration only."""
        return name_in_local_run(self.container_image) or str(super().get_image(settings))

    @property
    def _task_config(self) -> SageMakerTaskConfig:
        return self.__config

    @_task_config.setter
    def _task_config(self, config: SageMakerTaskConfig) -> None:
        # flytekit's with_overrides(task_config=…) sets it, for all nodes of the task.
        if hasattr(self, "_spec"):
            msg = (
                f"{self.name}: with_overrides(task_config=…) would change every step that uses this"
                " task; decorate the function a second time with the other options."
            )
            raise SpecError(msg)
        self.__config = config

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Call the task: in a workflow it becomes a node, elsewhere its job runs."""
        found = super().__call__(*args, **kwargs)
        state = FlyteContextManager.current_context().compilation_state
        if state is not None and state.nodes:
            guard_overrides(state.nodes[-1])
        return found

    def local_execute(self, ctx: FlyteContext, **kwargs: object) -> object:
        """Run the job for a call that flytekit's own local run makes.

        flytekit's would look into its local cache first, and unpickle what it finds there.
        """
        if self.has_stand_in:
            return super().local_execute(ctx, **kwargs)
        literals = translate_inputs_to_literals(
            ctx,
            incoming_values=kwargs,
            flyte_interface_types=self.interface.inputs,
            native_types=self.get_input_types(),
        )
        outputs = run_job(self, LiteralMap(literals)).literals
        if not outputs:
            return VoidPromise(self.name)
        promises = [Promise(name, outputs[name]) for name in self.interface.outputs]
        return create_task_output(promises, self.python_interface)

    def execute(self, **kwargs: object) -> object:
        """Run the job for Python values, as flytekit's local map tasks ask for it."""
        context = FlyteContextManager.current_context()
        state = context.execution_state
        if state is None or not state.is_local_execution():
            return super().execute(**kwargs)
        literals = TypeEngine.dict_to_literal_map(context, kwargs, self.python_interface.inputs)
        values = TypeEngine.literal_map_to_kwargs(
            context, run_job(self, literals), self.python_interface.outputs
        )
        results = tuple(values[name] for name in self.python_interface.outputs)
        return results[0] if len(results) == 1 else results or None

    def dispatch_execute(self, ctx: FlyteContext, input_literal_map: LiteralMap) -> LiteralMap:
        """Run the job: by the connector in a local run, by the body itself in a container."""
        state = ctx.execution_state
        if state is not None and state.is_local_execution() and not self.has_stand_in:
            return run_job(self, input_literal_map)
        return cast("LiteralMap", super().dispatch_execute(ctx, input_literal_map))


@contextlib.contextmanager
def _stubs_allowed(allowed: bool) -> Generator[None]:
    """Let a stub declare what its job returns: flytekit else looks for a ``return`` in the text.

    It looks only where nothing is being executed (flytekit.core.interface, 1.16.31).
    """
    if not allowed:
        yield
        return
    context = FlyteContextManager.current_context()
    state = context.new_execution_state().with_params(mode=ExecutionState.Mode.LOCAL_TASK_EXECUTION)
    with FlyteContextManager.with_context(context.with_execution_state(state)):
        yield


def _check_outputs(task: SageMakerTask, *, runs: bool) -> None:
    if flytekit_runtime.uses_flytekit(task.task_config.spec):
        return  # flytekit writes them, pickles too, and nothing here reads one
    outputs = task.interface.outputs
    pickled = [name for name, variable in outputs.items() if holds(variable.type, {"pickle"})]
    if pickled:
        msg = (
            f"{task.name} returns a type that Flyte can only pickle ({', '.join(pickled)}): declare"
            f" it, for example as dict, Dict[str, float], a dataclass or FlyteFile. {WORKING_TYPES}"
        )
        raise SpecError(msg)
    if not runs and len(outputs) > 1:
        msg = (
            f"{task.name} returns {len(outputs)} values, but its job produces one: the S3 URI of"
            " what the service made. Declare `-> str`, FlyteFile or FlyteDirectory."
        )
        raise SpecError(msg)


def _notes(task: SageMakerTask) -> Iterator[str]:
    if task.metadata.interruptible and task.job_kind.name != "training":
        yield f"interruptible is ignored: {task.job_kind.title} jobs have no spot instances"


def _parameters(task: SageMakerTask, body: Callable[..., object]) -> list[Parameter]:
    channels = _channels(body)
    defaults = task.python_interface.inputs_with_defaults
    return [
        Parameter(
            name,
            _type_for(task, variable.type),
            channel=channels.get(name),
            has_default=defaults[name][1] is not None,
        )
        for name, variable in task.interface.inputs.items()
    ]


def _type_for(task: SageMakerTask, literal_type: LiteralType) -> ParameterType:
    """The parameter's type; where no Python runs, whatever holds a pickle is one."""
    if not task.runs_body and holds(literal_type, {"pickle"}):
        return "pickle"
    return cast("ParameterType", parameter_type(literal_type))


def _channels(body: Callable[..., object]) -> dict[str, Channel]:
    hints = typing.get_type_hints(body, include_extras=True)
    return {
        name: part
        for name, hint in hints.items()
        for part in getattr(hint, "__metadata__", ())
        if isinstance(part, Channel)
    }


class DictTask(SageMakerTask):
    """Plain flytekit's ``@task(task_config={"platform": "sagemaker", "job_type": …, …})``."""

    def __init__(
        self,
        task_config: Mapping[str, object],
        task_function: Callable[..., object],
        **kwargs: object,
    ) -> None:
        options = dict(task_config)
        platform = options.pop("platform", None)
        if platform != "sagemaker":
            hint = did_you_mean(str(platform), ["sagemaker"])
            msg = (
                f"task_config has platform={platform!r}; a dict as task_config goes to"
                f" 'sagemaker'.{hint}"
            )
            raise SpecError(msg)
        job_type = options.pop("job_type", None)
        if not isinstance(job_type, str):
            msg = (
                f"task_config has job_type={job_type!r}; name one: 'training', 'processing' or"
                " 'batch_transform'."
            )
            raise SpecError(msg)
        image = kwargs.pop("container_image", None)
        if image is not None:
            options.setdefault("container_image", image)
        super().__init__(make_config(job_type, options), task_function, **kwargs)


def register_task_types() -> None:
    """Make flytekit route our configurations, and plain dicts, to these tasks."""
    TaskPlugins.register_pythontask_plugin(SageMakerTaskConfig, SageMakerTask)
    if TaskPlugins.find_pythontask_plugin(dict) is PythonFunctionTask:
        TaskPlugins.register_pythontask_plugin(dict, DictTask)
