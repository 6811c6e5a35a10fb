"""Options that have parts: each is given as a dict, and refused with the name of the part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from cdao_sdk.kinds.fields import (
    Count,
    EntityName,
    ImageUri,
    Line,
    LongTextMap,
    S3Uri,
    TextMap,
    VolumeGigabytes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class OptionGroup(BaseModel):
    """An option that has parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def option_parts(annotation: object) -> Iterator[str]:
    """Names of the parts of an option, from its annotation; none if it has no parts.

    Example:
        >>> sorted(option_parts(tuple[InstanceGroup, ...]))
        ['instance_count', 'instance_type', 'name']
    """
    if isinstance(annotation, type) and issubclass(annotation, OptionGroup):
        yield from annotation.model_fields
    for argument in get_args(annotation):
        yield from option_parts(argument)


class InstanceGroup(OptionGroup):
    """One group of like instances in a training job that has several kinds of them.

    Attributes:
        name: Name of the group; channels may be given to some groups alone.
        instance_type: Such as ``"ml.g5.xlarge"``.
        instance_count: Number of instances.
    """

    name: Annotated[Line, Field(min_length=1, max_length=64)]
    instance_type: str
    instance_count: Count = 1


class Experiment(OptionGroup):
    """Where SageMaker Experiments shows a job.

    Attributes:
        experiment_name: An experiment that exists.
        trial_name: A trial that exists.
        run_name: Name of the run.
        display_name: What Studio shows for the job.
    """

    experiment_name: EntityName | None = None
    trial_name: EntityName | None = None
    run_name: EntityName | None = None
    display_name: EntityName | None = None

    def request(self) -> dict[str, object]:
        """ExperimentConfig of a request."""
        return {
            "ExperimentName": self.experiment_name,
            "TrialName": self.trial_name,
            "TrialComponentDisplayName": self.display_name,
            "RunName": self.run_name,
        }


CollectionName = Annotated[Line, Field(min_length=1, max_length=256)]


class DebugHook(OptionGroup):
    """What Debugger's hook saves of a training job, and where.

    Attributes:
        output_path: S3 prefix for tensors.
        local_path: Where the hook writes in the container.
        parameters: Parameters of the hook, such as ``{"save_interval": "500"}``.
        collections: Parameters of each collection, such as ``{"losses": {}}``.
    """

    output_path: S3Uri
    local_path: Annotated[Line, Field(max_length=4096)] | None = None
    parameters: TextMap = {}
    collections: Annotated[dict[CollectionName, TextMap], Field(max_length=20)] = {}

    def request(self) -> dict[str, object]:
        """DebugHookConfig of a request."""
        return {
            "S3OutputPath": self.output_path,
            "LocalPath": self.local_path,
            "HookParameters": self.parameters,
            "CollectionConfigurations": [
                {"CollectionName": name, "CollectionParameters": parameters}
                for name, parameters in self.collections.items()
            ],
        }


class Rule(OptionGroup):
    """One rule of Debugger or Profiler, which watches a training job from a job of its own.

    Attributes:
        name: Name of the rule's configuration.
        image: Image that evaluates the rule.
        parameters: Such as ``{"rule_to_invoke": "LossNotDecreasing"}``.
        output_path: S3 prefix for the rule's reports.
        local_path: Where the rule writes in its container.
        instance_type: For a rule of one's own; SageMaker's own rules run free of charge.
        volume_size_gb: Disk of that instance in GB.
    """

    name: Annotated[Line, Field(min_length=1, max_length=256)]
    image: ImageUri
    parameters: LongTextMap = {}
    output_path: S3Uri | None = None
    local_path: Annotated[Line, Field(max_length=4096)] | None = None
    instance_type: str | None = None
    volume_size_gb: VolumeGigabytes | None = None


class Profiler(OptionGroup):
    """What Profiler measures of a training job, and where it writes.

    Attributes:
        output_path: S3 prefix for measurements.
        interval_milliseconds: 100, 200, 500, 1000, 5000 or 60000.
        parameters: What to profile in the framework.
    """

    output_path: S3Uri | None = None
    interval_milliseconds: Literal[100, 200, 500, 1000, 5000, 60000] | None = None
    parameters: TextMap = {}


def rule_request(rule: Rule) -> dict[str, object]:
    """One entry of DebugRuleConfigurations or ProfilerRuleConfigurations."""
    return {
        "RuleConfigurationName": rule.name,
        "RuleEvaluatorImage": rule.image,
        "RuleParameters": rule.parameters,
        "S3OutputPath": rule.output_path,
        "LocalPath": rule.local_path,
        "InstanceType": rule.instance_type,
        "VolumeSizeInGB": rule.volume_size_gb,
    }
