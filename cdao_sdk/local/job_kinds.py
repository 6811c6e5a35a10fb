"""The kinds of jobs that the embedded SageMaker runs, as a table: one row is one kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.local.jobs import Kind

ACCOUNT = "123456789012"

Order = Literal["Ascending", "Descending"]


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """One kind of job, and how the API calls what belongs to it.

    Attributes:
        kind: Its word in the state directory.
        title: Its word in operations and members (`TrainingJob`).
        noun: Its word in sentences and ARNs (`training job`).
        stem: How its times are called (`Training` → TrainingStartTime).
        summary: The members of its entry in a list.
        list_order: SortOrder where the request names none.
        defaults: What Describe says where the request says nothing.
        has_secondary_status: Whether Describe tells the phases of a job.
        resources: The way to the member with its instances.
        inputs: The member with the S3 inputs whose absence refuses the request.
        has_channels: Whether that member is a list of channels.
    """

    kind: Kind
    title: str
    noun: str
    stem: str
    summary: tuple[str, ...]
    list_order: Order
    defaults: Mapping[str, object]
    resources: tuple[str, ...]
    has_secondary_status: bool = False
    inputs: str | None = None
    has_channels: bool = False

    @property
    def name_member(self) -> str:
        """`TrainingJobName`."""
        return f"{self.title}Name"

    @property
    def arn_member(self) -> str:
        """`TrainingJobArn`."""
        return f"{self.title}Arn"

    @property
    def status_member(self) -> str:
        """`TrainingJobStatus`."""
        return f"{self.title}Status"

    @property
    def start_member(self) -> str:
        """`TrainingStartTime`."""
        return f"{self.stem}StartTime"

    @property
    def end_member(self) -> str:
        """`TrainingEndTime`."""
        return f"{self.stem}EndTime"

    @property
    def resource(self) -> str:
        """Its word in an ARN: `training-job`."""
        return self.noun.replace(" ", "-")

    @property
    def log_group(self) -> str:
        """The log group of its jobs."""
        return f"/aws/sagemaker/{self.title}s"

    def arn(self, region: str, name: str) -> str:
        """The ARN of one job."""
        return arn(region, self.resource, name)


def arn(region: str, resource: str, name: str) -> str:
    """The ARN of something of SageMaker's."""
    return f"arn:aws:sagemaker:{region}:{ACCOUNT}:{resource}/{name}"


_ONE_DAY = {"MaxRuntimeInSeconds": 86_400}

# Source: botocore's SageMaker model and the API reference, November 2026.
JOB_KINDS: tuple[JobKind, ...] = (
    JobKind(
        kind="training",
        title="TrainingJob",
        noun="training job",
        stem="Training",
        summary=(
            *("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime"),
            *("LastModifiedTime", "TrainingJobStatus", "SecondaryStatus"),
        ),
        list_order="Ascending",
        defaults={
            "StoppingCondition": _ONE_DAY,
            "EnableNetworkIsolation": False,
            "EnableInterContainerTrafficEncryption": False,
            "EnableManagedSpotTraining": False,
        },
        resources=("ResourceConfig",),
        has_secondary_status=True,
        inputs="InputDataConfig",
        has_channels=True,
    ),
    JobKind(
        kind="processing",
        title="ProcessingJob",
        noun="processing job",
        stem="Processing",
        summary=(
            *("ProcessingJobName", "ProcessingJobArn", "CreationTime", "ProcessingEndTime"),
            *("LastModifiedTime", "ProcessingJobStatus", "FailureReason", "ExitMessage"),
        ),
        list_order="Ascending",
        defaults={"StoppingCondition": _ONE_DAY},
        resources=("ProcessingResources", "ClusterConfig"),
    ),
    JobKind(
        kind="transform",
        title="TransformJob",
        noun="transform job",
        stem="Transform",
        summary=(
            *("TransformJobName", "TransformJobArn", "CreationTime", "TransformEndTime"),
            *("LastModifiedTime", "TransformJobStatus", "FailureReason"),
        ),
        list_order="Descending",
        defaults={},
        resources=("TransformResources",),
        inputs="TransformInput",
    ),
)


def kind_of_operation(operation: str) -> tuple[str, JobKind] | None:
    """Verb and kind of an operation on jobs: `ListTrainingJobs` → ("List", training)."""
    for kind in JOB_KINDS:
        verb, found, rest = operation.partition(kind.title)
        if found and rest == ("s" if verb == "List" else ""):
            return verb, kind
    return None


def kind_of_log_group(group: str) -> JobKind | None:
    """The kind whose logs are in `group`."""
    return next((kind for kind in JOB_KINDS if kind.log_group == group), None)
