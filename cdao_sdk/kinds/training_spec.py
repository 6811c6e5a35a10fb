"""The options of training tasks, and the rules between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from cdao_sdk.catalog import instances
from cdao_sdk.kinds.distribution_rules import distribution_problems
from cdao_sdk.kinds.fields import (  # noqa: TC001 - pydantic reads the annotations
    Algorithm,
    Boolean,
    Compression,
    Count,
    JsonMap,
    S3Uri,
    TrainingPlanArn,
)
from cdao_sdk.kinds.hyperparameters import hyperparameter_problems
from cdao_sdk.kinds.instance_rules import instance_type_problems
from cdao_sdk.kinds.metrics import logged_metric_regex, metric_problems
from cdao_sdk.kinds.option_groups import (  # noqa: TC001 - pydantic reads the annotations
    DebugHook,
    InstanceGroup,
    Profiler,
    Rule,
)
from cdao_sdk.kinds.problem import EnvironmentLimits, Problem
from cdao_sdk.kinds.registry_access import RegistrySpec
from cdao_sdk.kinds.spec import BodyRule, HostSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

SPOT_WAIT_SECONDS = 3600
"""How long a spot job may wait for capacity, beyond its runtime, unless it says otherwise."""

_MAX_RUNTIME = 28 * 24 * 3600

# Developer guide, "Checkpoints in Amazon SageMaker": the built-in algorithms that write some, and
# the longest wait for the others ("Managed Spot Training").
_CHECKPOINTING = ("image-classification", "object-detection", "semantic-segmentation", "xgboost")
_WAIT_WITHOUT_CHECKPOINTS = 3600


class TrainingSpec(HostSpec, RegistrySpec):
    """Options of a training task."""

    component: ClassVar[str] = "training"
    api_operations: ClassVar[tuple[str, ...]] = ("CreateTrainingJob",)
    environment_limits: ClassVar[EnvironmentLimits] = EnvironmentLimits(100, 512, 512)

    instance_type: Annotated[str, Field(description="Such as 'ml.m5.xlarge'.")] = "ml.m5.xlarge"
    max_runtime_seconds: Annotated[
        Count,
        Field(description="The job is stopped after this many seconds.", le=_MAX_RUNTIME),
    ] = 86_400
    algorithm: Annotated[
        Algorithm | None, Field(description="Built-in algorithm; the task's body is then a stub.")
    ] = None
    use_spot_instances: Annotated[Boolean, Field(description="Train on spot instances.")] = False
    spot_instance_max_wait_seconds: Annotated[
        Count | None,
        Field(description="Runtime and wait for capacity together; default: runtime + 3,600."),
    ] = None
    hyperparameters: JsonMap = Field(
        default_factory=dict, description="Hyperparameters known beforehand; inputs win."
    )
    metric_definitions: dict[str, str] = Field(
        default_factory=dict, description="Regular expressions that find metrics in the log."
    )
    metrics: Annotated[
        tuple[str, ...], Field(description="Metrics that the body logs with log_metric.")
    ] = ()
    input_mode: Annotated[
        Literal["File", "FastFile", "Pipe"], Field(description="How channels reach the disk.")
    ] = "File"
    checkpoint_uri: Annotated[
        S3Uri | None, Field(description="S3 prefix for checkpoints; needed to resume after spot.")
    ] = None
    keep_alive_seconds: Annotated[
        int | None, Field(description="Warm pool: keep the instances.", strict=True, ge=0, le=21600)
    ] = None
    max_pending_seconds: Annotated[
        int | None,
        Field(description="Give up waiting for capacity.", strict=True, ge=1800, le=2_419_200),
    ] = None
    retry_attempts: Annotated[
        int | None,
        Field(description="SageMaker's own retries after its faults.", strict=True, ge=1, le=30),
    ] = None
    output_compression: Annotated[
        Compression, Field(description="'GZIP', or 'NONE' for large models.")
    ] = "GZIP"
    model_archive: Annotated[
        Boolean,
        Field(
            description="With output_compression='NONE': also upload the model as one archive, "
            "which a batch transform needs. So it is where a task returns files."
        ),
    ] = False
    distribution: Annotated[
        Literal["torchrun", "mpi", "smddp"] | None,
        Field(description="What starts the function's processes on every host."),
    ] = None
    processes_per_host: Annotated[
        Count | None, Field(description="Processes on a host; default: one for each GPU, else 1.")
    ] = None
    instance_groups: Annotated[
        tuple[InstanceGroup, ...],
        Field(description="Hosts of several types: name, instance_type, instance_count of each."),
    ] = ()
    training_plan: Annotated[
        TrainingPlanArn | None, Field(description="ARN of reserved capacity to train on.")
    ] = None
    tensorboard_output_path: Annotated[
        S3Uri | None, Field(description="S3 prefix for what TensorBoard shows.")
    ] = None
    debug_hook: Annotated[
        DebugHook | None,
        Field(description="Debugger's tensors: output_path, collections, parameters, local_path."),
    ] = None
    debug_rules: Annotated[
        tuple[Rule, ...],
        Field(description="Debugger's rules: name, image, parameters and so on.", max_length=20),
    ] = ()
    profiler: Annotated[
        Profiler | None,
        Field(description="Profiler: output_path, interval_milliseconds, parameters."),
    ] = None
    profiler_rules: Annotated[
        tuple[Rule, ...],
        Field(description="Profiler's rules: name, image, parameters and so on.", max_length=20),
    ] = ()
    disable_profiler: Annotated[
        Boolean, Field(description="Turn SageMaker's own profiling off.")
    ] = False

    @property
    def body_rule(self) -> BodyRule:
        """Built-in algorithms run no function; XGBoost and own images may do either."""
        if self.algorithm:
            return "stub"
        if self.distribution or self.runtime == "flytekit":
            return "required"
        return "required" if self.framework not in (None, "xgboost") else "optional"

    @property
    def image_name(self) -> str | None:
        """The algorithm, or else the framework."""
        return self.algorithm or self.framework

    @property
    def hosts(self) -> tuple[tuple[str, int], ...]:
        """(instance type, number of instances) of each group of hosts."""
        groups = tuple(
            (group.instance_type, group.instance_count) for group in self.instance_groups
        )
        return groups or super().hosts

    @property
    def image_instance_type(self) -> str:
        """All groups share one image; where some have accelerators, it is built for those."""
        names = [name for name, _ in self.hosts]
        return next((name for name in names if instances.processor(name) != "cpu"), names[0])

    def completed(self) -> Self:
        """Also with the wait for spot capacity."""
        spec = super().completed()
        if not spec.use_spot_instances or spec.spot_instance_max_wait_seconds is not None:
            return spec
        wait = spec.max_runtime_seconds + SPOT_WAIT_SECONDS
        if self._restarts_from_nothing:
            wait = _WAIT_WITHOUT_CHECKPOINTS
        return spec.model_copy(update={"spot_instance_max_wait_seconds": wait})

    def problems(self) -> Iterator[Problem]:
        """Also of spot, metrics and hyperparameters."""
        yield from super().problems()
        if self.algorithm and self.framework:
            text = "algorithm and framework exclude each other: a built-in algorithm runs alone"
            yield Problem(("algorithm", "framework"), text)
        if not (self.algorithm or self.framework or self.container_image):
            text = (
                "nothing to train with: name framework='pytorch' (or another), algorithm='xgboost' "
                "(or another), or container_image"
            )
            yield Problem(("algorithm", "framework", "container_image"), text)
        yield from self._archive_problems()
        yield from self._spot_problems()
        yield from self._metric_problems()
        yield from self._group_problems()
        yield from distribution_problems(self)
        yield from self._debugger_problems()
        for text in hyperparameter_problems(self.hyperparameters):
            yield Problem(("hyperparameters",), text)

    def _archive_problems(self) -> Iterator[Problem]:
        if not self.model_archive:
            return
        if self.output_compression == "GZIP":
            text = "model_archive=True without output_compression='NONE': the model is one archive"
            yield Problem(("model_archive", "output_compression"), text)
        if self.algorithm:
            text = "model_archive=True: a built-in algorithm uploads its model itself; leave it out"
            yield Problem(("model_archive", "algorithm"), text)
        if self.runtime == "flytekit":
            text = (
                "model_archive=True: flytekit, which runs the function, packs no model; write the "
                "archive in the function, or leave runtime out"
            )
            yield Problem(("model_archive", "runtime"), text)

    @property
    def _restarts_from_nothing(self) -> bool:
        return self.algorithm is not None and self.algorithm not in _CHECKPOINTING

    def _spot_problems(self) -> Iterator[Problem]:
        wait, runtime = self.spot_instance_max_wait_seconds, self.max_runtime_seconds
        longest = max(wait or 0, runtime)
        if (
            self.use_spot_instances
            and self._restarts_from_nothing
            and longest > _WAIT_WITHOUT_CHECKPOINTS
        ):
            text = (
                f"use_spot_instances=True with algorithm={self.algorithm!r}, which writes no "
                f"checkpoints: SageMaker then takes at most {_WAIT_WITHOUT_CHECKPOINTS} seconds of "
                f"runtime and wait together, not {longest}; give max_runtime_seconds (and "
                "spot_instance_max_wait_seconds) within that"
            )
            fields = ("use_spot_instances", "algorithm", "max_runtime_seconds")
            yield Problem((*fields, "spot_instance_max_wait_seconds"), text)
        if self.use_spot_instances and self.training_plan:
            text = "training_plan and use_spot_instances: a plan's capacity is reserved, not spot"
            yield Problem(("training_plan", "use_spot_instances"), text)
        if self.use_spot_instances and self.keep_alive_seconds:
            text = "keep_alive_seconds and use_spot_instances: spot instances have no warm pool"
            yield Problem(("keep_alive_seconds", "use_spot_instances"), text)
        if wait is None:
            return
        if not self.use_spot_instances:
            text = f"spot_instance_max_wait_seconds={wait} needs use_spot_instances=True"
            yield Problem(("use_spot_instances", "spot_instance_max_wait_seconds"), text)
        elif wait < runtime:
            text = (
                f"spot_instance_max_wait_seconds={wait} is shorter than max_runtime_seconds="
                f"{runtime}: it covers the runtime and the wait for capacity together; "
                f"use at least {runtime}, or leave it out for {runtime + SPOT_WAIT_SECONDS}"
            )
            yield Problem(("spot_instance_max_wait_seconds", "max_runtime_seconds"), text)

    def _metric_problems(self) -> Iterator[Problem]:
        fields = ("metric_definitions", "metrics")
        if self.algorithm and (self.metric_definitions or self.metrics):
            text = "a built-in algorithm brings its own metrics; leave metric_definitions out"
            yield Problem((*fields, "algorithm"), text)
        for name in sorted(set(self.metrics) & set(self.metric_definitions)):
            yield Problem(fields, f"metric {name!r} is in metrics and in metric_definitions")
        for text in metric_problems(self.metric_regexes()):
            yield Problem(fields, text)

    def _instance_problems(self) -> Iterator[Problem]:
        if not self.instance_groups:
            yield from super()._instance_problems()
        for index, group in enumerate(self.instance_groups):
            option = f"instance_groups[{index}]['instance_type']"
            for text in instance_type_problems(option, group.instance_type, self.component):
                yield Problem(("instance_groups",), text)

    def _group_problems(self) -> Iterator[Problem]:
        groups = self.instance_groups
        if not groups:
            return
        fields = ("instance_groups",)
        if len(groups) > 5:
            yield Problem(fields, f"instance_groups has {len(groups)} entries; SageMaker takes 5")
        names = [group.name for group in groups]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem(fields, f"instance_groups: the name {name!r} is used more than once")
        for option in ("instance_type", "fallback_instance_types", "instance_count"):
            if option in self.model_fields_set:
                text = f"{option} and instance_groups exclude each other: groups have their own"
                yield Problem((*fields, option), text)
        processors = {instances.processor(group.instance_type) for group in groups}
        if len(processors - {"cpu"}) > 1:
            text = "instance_groups mix GPUs and Neuron chips, but all groups share one image"
            yield Problem(fields, text)
        if self.distribution and len({group.instance_type for group in groups}) > 1:
            text = (
                f"distribution={self.distribution!r} starts the same processes on every host; "
                "instance_groups of several types are for functions that tell them apart"
            )
            yield Problem((*fields, "distribution"), text)

    def _debugger_problems(self) -> Iterator[Problem]:
        if self.disable_profiler and (self.profiler or self.profiler_rules):
            text = "disable_profiler=True contradicts profiler and profiler_rules; choose one"
            yield Problem(("disable_profiler", "profiler", "profiler_rules"), text)
        names = [rule.name for rule in (*self.debug_rules, *self.profiler_rules)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            text = f"debug_rules and profiler_rules: the name {name!r} is used more than once"
            yield Problem(("debug_rules", "profiler_rules"), text)
        for option, rules in (
            ("debug_rules", self.debug_rules),
            ("profiler_rules", self.profiler_rules),
        ):
            for index, rule in enumerate(rules):
                if rule.instance_type is not None:
                    where = f"{option}[{index}]['instance_type']"
                    for text in instance_type_problems(where, rule.instance_type, "processing"):
                        yield Problem((option,), text)

    def _notes(self) -> Iterator[str]:
        yield from super()._notes()
        kinds = {instances.processor(name) for name, _ in self.hosts}
        if self.max_pending_seconds is not None and kinds == {"cpu"}:
            # API reference of MaxPendingTimeInSeconds.
            yield (
                f"max_pending_seconds={self.max_pending_seconds} has no effect: SageMaker heeds it "
                f"on instances with accelerators, and {self.hosts[0][0]} has none"
            )

    def metric_regexes(self) -> dict[str, str]:
        """Regular expression of each metric, of both kinds."""
        logged = {name: logged_metric_regex(name) for name in self.metrics}
        return {**self.metric_definitions, **logged}
