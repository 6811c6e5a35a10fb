"""The flytekit runtime: the image's own ``pyflyte-execute`` runs the function.

For images that carry flytekit, and for types that only flytekit knows. flytekit reads the inputs
from where Flyte put them and writes ``outputs.pb``, ``error.pb`` and ``deck.html`` below the
attempt's output prefix. Its arguments reach the job by file, as an item of ``ContainerArguments``
takes 256 characters and Flyte's URIs are longer.

``pyflyte-execute`` ends well even where the function failed, so a job is judged by what it left.
Sources: flytekit 1.16.31, ``bin/entrypoint.py``; Flyte 1.16, ``flyteplugins/go/tasks/plugins/``.
"""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from flyteidl.core.errors_pb2 import ContainerError, ErrorDocument
from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.literals_pb2 import LiteralMap as LiteralMapMessage
from flytekit.models.literals import LiteralMap
from google.protobuf.message import DecodeError

from cdao_sdk.aws.storage import list_names, put, read_object
from cdao_sdk.errors import JobFailed, PlanError, SpecError
from cdao_sdk.flyte.payload import TaskPayload
from cdao_sdk.kinds.job import Phase
from cdao_sdk.kinds.parameters import ParameterRole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flytekit.models.task import Container, TaskExecutionMetadata, TaskTemplate

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.flyte.services import Services
    from cdao_sdk.kinds.job import Observation
    from cdao_sdk.kinds.parameters import Parameter
    from cdao_sdk.kinds.spec import JobSpec

__all__ = [
    "FlytekitCall",
    "Verdict",
    "check",
    "flytekit_call",
    "judge",
    "read_outputs",
    "roles",
    "staged",
    "uses_flytekit",
]

_ERROR, _OUTPUTS, _DECK = "error.pb", "outputs.pb", "deck.html"
_PLACEHOLDER = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")
# Without these flytekit cannot even begin; it knows what to do without the others.
_NEEDED = frozenset({"input", "outputPrefix", "remote_package_path"})
_LIMIT_BYTES = 64 * 1024 * 1024  # Flyte's own metadata documents are far smaller
_MESSAGE_HEAD = "\nMessage:\n"
# A frame of flytekit's or ours, with the source below it, which is indented deeper.
_OWN_FRAME = re.compile(
    r"""^(\ +)File\ "[^"\n]*[/\\](?:flytekit|cdao_sdk)[/\\][^"\n]*",.*\n(?:\1\ .*\n)*""",
    re.MULTILINE | re.VERBOSE,
)


def uses_flytekit(spec: JobSpec) -> bool:
    """Whether flytekit's own entry point runs the function."""
    return getattr(spec, "runtime", "script") == "flytekit"


# --- decoration -----------------------------------------------------------------------------


def check(name: str, *, handlers: Iterable[str], channels: Iterable[str]) -> None:
    """Refuse what the flytekit runtime cannot do; the spec has refused options that contradict it.

    Args:
        name: The task's name, for the error.
        handlers: Names of functions that are to serve the model.
        channels: Names of parameters that are annotated as channels.

    Raises:
        SpecError: All that is wrong.
    """
    problems: list[str] = []
    if serving := ", ".join(handlers):
        problems.append(f"{serving}: only runtime='script' packs handlers into the model")
    if annotated := ", ".join(channels):
        problems.append(
            f"{annotated}: flytekit hands the function Flyte's own values and fills no channel;"
            " annotate FlyteFile or FlyteDirectory instead of Channel"
        )
    if problems:
        msg = f"{name} cannot have runtime='flytekit'."
        raise SpecError(msg, problems=problems)


def roles(parameters: Iterable[Parameter]) -> tuple[ParameterRole, ...]:
    """What parameters become: flytekit reads all of them, and SageMaker brings none."""
    return tuple(
        ParameterRole(
            parameter.name, "value", f"{parameter.name} is read by flytekit inside the job"
        )
        for parameter in parameters
    )


# --- creation -------------------------------------------------------------------------------


@dataclass(frozen=True)
class FlytekitCall:
    """How flytekit is started inside a job.

    Attributes:
        args: The command and its arguments, nothing left to be filled in.
        environment: Variables that Flyte gives to a container of its own.
    """

    args: tuple[str, ...]
    environment: Mapping[str, str]


def flytekit_call(
    template: TaskTemplate, metadata: TaskExecutionMetadata | None, output_prefix: str
) -> FlytekitCall:
    """The command for a task whose template has come in.

    Args:
        template: The template; whoever sends it has rendered its container's arguments.
        metadata: Which execution it belongs to.
        output_prefix: Where flytekit writes; the arguments name it too.

    Raises:
        PlanError: There is no container, no output prefix, or arguments are not rendered.
    """
    container = cast("Container | None", template.container)
    if container is None or not container.args:
        msg = (
            "runtime='flytekit' needs a container in the task's template, and there is none: a"
            " pod_template cannot run on SageMaker, leave it out."
        )
        raise PlanError(msg)
    args = tuple(map(str, container.args))
    open_names = {name for arg in args for name in _PLACEHOLDER.findall(arg)} & _NEEDED
    if open_names or not output_prefix:
        missing = ", ".join(sorted(open_names)) or "an output prefix"
        msg = (
            f"runtime='flytekit': the request leaves {missing} open, so flytekit would find neither"
            " inputs nor code. Flyte fills this in; register the task with `pyflyte register` and"
            " run it from Flyte or by cdao_sdk.run()."
        )
        raise PlanError(msg)
    environment = {str(key): str(value) for key, value in (container.env or {}).items()}
    if metadata is not None:
        environment.update(metadata.environment_variables or {})
        environment.update(_flyte_environment(metadata))
    return FlytekitCall(_without_dest_dir(args), environment)


def _without_dest_dir(args: tuple[str, ...]) -> tuple[str, ...]:
    """Where nobody said so, the code goes to the image's working directory, as Flyte has it."""
    return tuple(_filled(arg, {"dest_dir": "."}) for arg in args)


def _flyte_environment(metadata: TaskExecutionMetadata) -> dict[str, str]:
    """What Flyte tells a container that it starts itself (flytek8s/k8s_resource_adds.go)."""
    identifier = metadata.task_execution_id
    if identifier is None:
        return {}
    execution = identifier.node_execution_id.execution_id
    task = identifier.task_id
    known = {
        "FLYTE_INTERNAL_EXECUTION_ID": execution.name,
        "FLYTE_INTERNAL_EXECUTION_PROJECT": execution.project,
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": execution.domain,
        "FLYTE_INTERNAL_TASK_PROJECT": task.project,
        "FLYTE_INTERNAL_TASK_DOMAIN": task.domain,
        "FLYTE_INTERNAL_TASK_NAME": task.name,
        "FLYTE_INTERNAL_TASK_VERSION": task.version,
        "FLYTE_INTERNAL_PROJECT": task.project,
        "FLYTE_INTERNAL_DOMAIN": task.domain,
        "FLYTE_INTERNAL_NAME": task.name,
        "FLYTE_INTERNAL_VERSION": task.version,
        "FLYTE_ATTEMPT_NUMBER": identifier.retry_attempt,
    }
    return {name: str(value) for name, value in known.items() if value not in (None, "")}


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


async def staged(
    services: Services,
    template: TaskTemplate,
    inputs: LiteralMap,
    metadata: TaskExecutionMetadata,
) -> tuple[TaskTemplate, str]:
    """Do for a run in this process what Flyte does before it asks a connector.

    Args:
        services: Where the run keeps its files.
        template: The task's template.
        inputs: The task's inputs; they are written where flytekit reads them.
        metadata: Which attempt of which node it is.

    Returns:
        The template with its container's arguments rendered, and the attempt's output prefix: both
        as they were, the prefix empty, for a task of the script runtime.
    """
    payload = TaskPayload.from_json(cast("Mapping[str, object]", template.custom))
    if not uses_flytekit(payload.spec):
        return template, ""
    identifier = metadata.task_execution_id
    node = identifier.node_execution_id
    execution = node.execution_id
    parts = (execution.project, execution.domain, execution.name, node.node_id)
    base = "/".join((f"s3://{services.bucket}/cdao", *filter(None, parts), "flyte"))
    attempt = identifier.retry_attempt
    prefix = f"{base}/{attempt}"
    values = {
        "input": f"{base}/inputs.pb",
        "outputPrefix": prefix,
        "rawOutputDataPrefix": f"{prefix}/raw",
        "checkpointOutputPrefix": f"{prefix}/checkpoints",
        "prevCheckpointPrefix": f"{base}/{attempt - 1}/checkpoints" if attempt else '""',
    }
    await put(services.clients, values["input"], inputs.to_flyte_idl().SerializeToString())
    own = type(template).from_flyte_idl(template.to_flyte_idl())
    if own.container is not None:
        args = [_filled(arg, values) for arg in own.container.args]
        # The archive that goes along names modules as they are imported here.
        own.container._args = _with_module(args, payload.entry.module)  # noqa: SLF001 # the model has no setter
    return own, prefix


def _with_module(args: list[str], module: str) -> list[str]:
    if "task-module" not in args:
        return args
    place = args.index("task-module") + 1
    return [*args[:place], module, *args[place + 1 :]]


# --- the end --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """How a job of the flytekit runtime ended.

    Attributes:
        phase: Its phase, by what flytekit has left.
        reason: Why it failed: one line, then the traceback's, indented; else empty.
        deck_uri: The task's deck; None if it has made none.
    """

    phase: Phase
    reason: str = ""
    deck_uri: str | None = None


async def judge(
    clients: AwsClients, prefix: str, observation: Observation, *, has_outputs: bool
) -> Verdict:
    """Read what flytekit has left.

    Args:
        clients: Where to read.
        prefix: The attempt's output prefix.
        observation: What SageMaker says of the job.
        has_outputs: Whether the task declares outputs.

    Returns:
        The verdict: the observation's own where flytekit has nothing to add.
    """
    phase, reason = observation.phase, observation.failure_reason or observation.message
    if not phase.is_terminal:
        return Verdict(phase)
    root = prefix.rstrip("/")
    names = await list_names(clients, f"{root}/")
    verdict = Verdict(phase, reason, f"{root}/{_DECK}" if _DECK in names else None)
    if phase is Phase.STOPPED:
        return verdict
    if _ERROR in names:
        content = await read_object(clients, f"{root}/{_ERROR}", _LIMIT_BYTES)
        return _with_error(verdict, content or b"")
    if phase is Phase.SUCCEEDED and has_outputs and _OUTPUTS not in names:
        reason = (
            f"flytekit ended well, but wrote no {_OUTPUTS} to {root}: the function ended the"
            " process (os._exit, a crash of its interpreter) before it returned"
        )
        return replace(verdict, phase=Phase.FAILED, reason=reason)
    return verdict


def _with_error(verdict: Verdict, content: bytes) -> Verdict:
    try:
        error = ErrorDocument.FromString(content).error
    except DecodeError as problem:
        reason = f"flytekit reported an error that cannot be read ({problem}); see the log"
        return replace(verdict, phase=Phase.FAILED, reason=reason)
    again = error.kind == ContainerError.RECOVERABLE
    phase = Phase.RETRYABLE if again else Phase.FAILED
    return replace(verdict, phase=phase, reason=_told(error))


def _told(error: ContainerError) -> str:
    """flytekit's text, its last part first: what happened, then the traceback, indented."""
    trace, found, message = error.message.rpartition(_MESSAGE_HEAD)
    if not found:
        trace, message = "", error.message
    summary = " ".join(message.split()) or error.code
    if error.origin == ExecutionError.SYSTEM:
        summary += " (outside of the function: reading inputs, writing outputs or in flytekit)"
    else:
        trace = _OWN_FRAME.sub("", trace)
    lines = textwrap.dedent(trace.removeprefix("Trace:\n")).strip("\n")
    return "\n".join([summary, textwrap.indent(lines, "  ")]).rstrip()


async def read_outputs(clients: AwsClients, prefix: str) -> LiteralMap:
    """A job's outputs, for a run in this process; elsewhere Flyte itself reads them.

    Args:
        clients: Where to read.
        prefix: The attempt's output prefix.

    Raises:
        JobFailed: They are not there, or cannot be read.
    """
    uri = f"{prefix.rstrip('/')}/{_OUTPUTS}"
    content = await read_object(clients, uri, _LIMIT_BYTES)
    if content is None:
        msg = f"The job has left no {uri}."
        raise JobFailed(msg)
    try:
        return LiteralMap.from_flyte_idl(LiteralMapMessage.FromString(content))
    except DecodeError as error:
        msg = f"The job's {uri} cannot be read: {error}"
        raise JobFailed(msg) from error
