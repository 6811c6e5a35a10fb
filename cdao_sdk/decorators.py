"""The decorators that make a function a step on SageMaker.

All take SageMaker's options by their usual names, flytekit's own task options (``cache``,
``retries``, ``timeout``, …), and work with and without parentheses.
"""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar, cast, overload

from cdao_sdk.errors import CdaoError, SpecError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Unpack

    from cdao_sdk._options import (
        ProcessingOptions,
        TrainingOptions,
        TransformOptions,
        WorkflowOptions,
    )

__all__ = [
    "sagemaker_batch_transform",
    "sagemaker_batch_transform_task",
    "sagemaker_processing",
    "sagemaker_processing_task",
    "sagemaker_task",
    "sagemaker_training",
    "sagemaker_training_task",
    "sagemaker_workflow",
]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

# Options that are flytekit's: they go to flytekit.task, all others become the job's spec.
FLYTE_OPTIONS = frozenset(
    {
        "cache",
        "cache_ignore_input_vars",
        "cache_serialize",
        "cache_version",
        "deprecated",
        "docs",
        "enable_deck",
        "interruptible",
        "labels",
        "annotations",
        "limits",
        "requests",
        "resources",
        "retries",
        "secret_requests",
        "timeout",
    }
)


WORKFLOW_OPTIONS = frozenset(
    {
        *("failure_policy", "interruptible", "on_failure", "docs", "pickle_untyped"),
        "default_options",
    }
)

# What flytekit raises of a function that it cannot take, beside its own errors; a NameError where
# an annotation names nothing.
_FLYTEKIT_RAISES = (*(ValueError, TypeError, AssertionError, OSError, NameError, AttributeError),)


class Task(Protocol[P, R_co]):
    """A task: called in a workflow it is a node; ``task_function`` is the function itself."""

    name: str

    @property
    def task_function(self) -> Callable[P, R_co]: ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


def _decorate(
    kind: str, function: Callable[P, R_co] | None, options: Mapping[str, object]
) -> Task[P, R_co] | Callable[[Callable[P, R_co]], Task[P, R_co]]:
    if function is not None and not inspect.isfunction(function):
        msg = (
            f"{function!r} was given to a SageMaker decorator without a name; options are named,"
            " such as instance_type='ml.m5.xlarge'."
        )
        raise SpecError(msg)

    def wrap(function: Callable[P, R_co]) -> Task[P, R_co]:
        return _make_task(kind, function, options)

    # Options are checked where they are written, not when a function follows.
    return wrap if function is None else wrap(function)


def _with_flyte_hint(problem: str) -> str:
    """The nearest name for an unknown option, flytekit's own options among them."""
    unknown = re.fullmatch(r"(unknown option '(\w+)'\.)(?: Did you mean '(\w+)'\?)?", problem)
    if unknown is None:
        return problem
    known = FLYTE_OPTIONS | ({unknown[3]} if unknown[3] else set())
    return unknown[1] + did_you_mean(unknown[2], known)


def _make_task(
    kind: str, function: Callable[P, R_co], options: Mapping[str, object]
) -> Task[P, R_co]:
    from flytekit import task
    from flytekit.exceptions.base import FlyteException

    from cdao_sdk.flyte.plugin import load

    load()
    from cdao_sdk.flyte.task import make_config

    flyte = {key: value for key, value in options.items() if key in FLYTE_OPTIONS}
    name = function.__qualname__
    try:
        config = make_config(kind, {k: v for k, v in options.items() if k not in flyte})
        return cast("Task[P, R_co]", task(task_config=config, **flyte)(function))
    except CdaoError as error:
        error.message = f"{name}: {error.message}"
        error.problems = tuple(map(_with_flyte_hint, error.problems))
        raise
    except (FlyteException, *_FLYTEKIT_RAISES) as error:
        msg = f"{name} cannot become a Flyte task: {error}"
        raise SpecError(msg) from error


@overload
def sagemaker_training_task(function: Callable[P, R_co], /) -> Task[P, R_co]: ...
@overload
def sagemaker_training_task(
    **options: Unpack[TrainingOptions],
) -> Callable[[Callable[P, R_co]], Task[P, R_co]]: ...
def sagemaker_training_task(
    function: Callable[P, R_co] | None = None, /, **options: object
) -> Task[P, R_co] | Callable[[Callable[P, R_co]], Task[P, R_co]]:
    """Make a function a SageMaker Training job.

    With ``framework`` or ``container_image`` the body runs in the job. With ``algorithm``, or
    ``framework="xgboost"`` and a stub for a body, it is SageMaker's built-in algorithm; the task
    returns the URI of ``model.tar.gz``.

    Args:
        function: The function, where the decorator is used without parentheses.
        **options: ``instance_type``, ``instance_count``, ``framework``, ``framework_version``,
            ``python_version``, ``algorithm``, ``use_spot_instances``, ``max_runtime_seconds``,
            ``spot_instance_max_wait_seconds``, ``hyperparameters``, ``metrics``,
            ``metric_definitions``, ``checkpoint_uri``, ``volume_size_gb``, …; ``model_fn``,
            ``input_fn``, ``predict_fn`` and ``output_fn`` are functions that serve the model.

    Returns:
        A Flyte task.

    Raises:
        SpecError: All that is wrong with the options or the body.

    Example:
        >>> @sagemaker_training_task(instance_type="ml.m5.xlarge", algorithm="xgboost")
        ... def train(train_data: str, hyperparameters: dict) -> str:
        ...     '''The built-in XGBoost; what it returns is the model's URI.'''
        ...     ...
    """
    return _decorate("training", function, options)


@overload
def sagemaker_processing_task(function: Callable[P, R_co], /) -> Task[P, R_co]: ...
@overload
def sagemaker_processing_task(
    **options: Unpack[ProcessingOptions],
) -> Callable[[Callable[P, R_co]], Task[P, R_co]]: ...
def sagemaker_processing_task(
    function: Callable[P, R_co] | None = None, /, **options: object
) -> Task[P, R_co] | Callable[[Callable[P, R_co]], Task[P, R_co]]:
    """Make a function a SageMaker Processing job; its body runs in the job.

    Args:
        function: The function, where the decorator is used without parentheses.
        **options: ``instance_type``, ``instance_count``, ``framework``, ``framework_version``,
            ``container_image``, ``max_runtime_seconds``, ``volume_size_gb``, ``environment``, …

    Returns:
        A Flyte task.

    Raises:
        SpecError: All that is wrong with the options or the body.

    Example:
        >>> @sagemaker_processing_task(framework="sklearn", framework_version="1.9-0")
        ... def count(text: str) -> int:
        ...     return len(text.split())
        >>> count.task_function("three little words")
        3
    """
    return _decorate("processing", function, options)


@overload
def sagemaker_batch_transform_task(function: Callable[P, R_co], /) -> Task[P, R_co]: ...
@overload
def sagemaker_batch_transform_task(
    **options: Unpack[TransformOptions],
) -> Callable[[Callable[P, R_co]], Task[P, R_co]]: ...
def sagemaker_batch_transform_task(
    function: Callable[P, R_co] | None = None, /, **options: object
) -> Task[P, R_co] | Callable[[Callable[P, R_co]], Task[P, R_co]]:
    """Make a function a SageMaker Batch Transform job.

    The service does the work: the body is a stub, one parameter names the model, one the input,
    and the task returns the URI under which the predictions are.

    Args:
        function: The function, where the decorator is used without parentheses.
        **options: ``instance_type``, ``instance_count``, ``max_payload_mb``,
            ``max_concurrent_transforms``, ``strategy``, ``content_type``, ``accept``,
            ``input_filter``, ``join_source``, ``output_filter``, …

    Returns:
        A Flyte task.

    Raises:
        SpecError: All that is wrong with the options or the body.

    Example:
        >>> @sagemaker_batch_transform_task(instance_type="ml.m5.large", strategy="SingleRecord")
        ... def predict(model_path: str, input_data_path: str) -> str:
        ...     '''Batch Transform writes the predictions.'''
        ...     ...
    """
    return _decorate("transform", function, options)


def sagemaker_task(
    function: None = None, /, *, job_type: str = "", **options: object
) -> Callable[[Callable[P, R_co]], Task[P, R_co]]:
    """Make a function a SageMaker job of the kind that ``job_type`` names.

    Args:
        job_type: ``"training"``, ``"processing"`` or ``"batch_transform"``.
        **options: The options of that kind.

    Returns:
        A decorator.

    Raises:
        SpecError: There is no such kind, or the options do not fit it.

    Example:
        >>> @sagemaker_task(job_type="processing", framework="sklearn")
        ... def double(number: int) -> int:
        ...     return 2 * number
    """

    if function is not None or not job_type:
        msg = (
            "sagemaker_task needs job_type='training', 'processing' or 'batch_transform':"
            " @sagemaker_task(job_type='processing', …)."
        )
        raise SpecError(msg)

    def wrap(function: Callable[P, R_co]) -> Task[P, R_co]:
        return _make_task(job_type, function, options)

    return wrap


class Workflow(Protocol[P, R_co]):
    """A workflow: called in another workflow it is a subworkflow."""

    name: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


@overload
def sagemaker_workflow(function: Callable[P, R_co], /) -> Workflow[P, R_co]: ...
@overload
def sagemaker_workflow(
    **options: Unpack[WorkflowOptions],
) -> Callable[[Callable[P, R_co]], Workflow[P, R_co]]: ...
def sagemaker_workflow(
    function: Callable[P, R_co] | None = None, /, **options: object
) -> Workflow[P, R_co] | Callable[[Callable[P, R_co]], Workflow[P, R_co]]:
    """Make a function a Flyte workflow, as flytekit's ``workflow`` does.

    Args:
        function: The function, where the decorator is used without parentheses.
        **options: flytekit's own: ``failure_policy``, ``interruptible``, ``on_failure``, ``docs``.

    Returns:
        A Flyte workflow.

    Raises:
        SpecError: The function or an option cannot be taken.

    Example:
        >>> @sagemaker_workflow
        ... def pipeline(number: int) -> int:
        ...     return number
    """
    unknown = [name for name in options if name not in WORKFLOW_OPTIONS]
    if unknown:
        msg = "The workflow's options are not valid."
        problems = [
            f"unknown option {name!r}.{did_you_mean(name, WORKFLOW_OPTIONS)}" for name in unknown
        ]
        raise SpecError(msg, problems=problems)

    def wrap(function: Callable[P, R_co]) -> Workflow[P, R_co]:
        return _make_workflow(function, options)

    return wrap if function is None else wrap(function)


def _make_workflow(function: Callable[P, R_co], options: Mapping[str, object]) -> Workflow[P, R_co]:
    from flytekit import workflow
    from flytekit.exceptions.base import FlyteException

    try:
        return cast("Workflow[P, R_co]", workflow(function, **options))
    except (FlyteException, *_FLYTEKIT_RAISES) as error:
        name = getattr(function, "__qualname__", repr(function))
        msg = f"{name} cannot become a Flyte workflow: {error}"
        raise SpecError(msg) from error


sagemaker_training = sagemaker_training_task
sagemaker_processing = sagemaker_processing_task
sagemaker_batch_transform = sagemaker_batch_transform_task
