"""What every job spec has: fields, cross-field rules, and the image that follows from them.

A spec is what a decorator's options become. It is frozen, holds no secrets of the run, and travels
as JSON in the task's template. ``kinds/build.py`` makes specs and gathers every problem.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from cdao_sdk.catalog import images, instances
from cdao_sdk.errors import PlanError, did_you_mean
from cdao_sdk.kinds.fields import (  # noqa: TC001 - pydantic reads the annotations
    Boolean,
    Count,
    Framework,
    ImageUri,
    KmsKey,
    PythonVersion,
    RoleArn,
    S3Uri,
    SecurityGroups,
    Subnets,
    VolumeGigabytes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from typing_extensions import Self

BodyRule = Literal["required", "optional", "stub"]

_ENVIRONMENT_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TAG_NAME_OR_VALUE = re.compile(r"[\w .:/=+\-@]*")
_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9-]+")

OWN_TAGS = 10
"""Tags that every job gets from us: execution, project, domain, workflow, node, owner and so on."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec.

    Attributes:
        fields: The fields whose values together make the problem.
        text: What is wrong, the rule, and the mend.
    """

    fields: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class EnvironmentLimits:
    """How much environment one kind of job takes: entries, and characters of a name or value."""

    entries: int
    name: int
    value: int


class JobSpec(BaseModel):
    """Options that all kinds share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    component: ClassVar[str]
    """The kind's name in the catalog of instances and prices."""
    image_scope: ClassVar[images.Scope] = "training"
    environment_limits: ClassVar[EnvironmentLimits]
    absent: ClassVar[Mapping[str, str]] = {}
    """Options of other kinds which this one cannot have, each with the reason."""

    instance_type: Annotated[str, Field(description="Such as 'ml.m5.xlarge'.")] = "ml.m5.large"
    instance_count: Annotated[Count, Field(description="Number of instances.")] = 1
    framework: Annotated[
        Framework | None,
        Field(description="'scikit-learn', 'xgboost', 'pytorch', 'tensorflow' or 'huggingface'."),
    ] = None
    framework_version: Annotated[
        str | None,
        Field(description="Version of the framework or algorithm; default: the newest known."),
    ] = None
    python_version: Annotated[
        PythonVersion | None, Field(description="'py36' or '3.6'; default: the image's own.")
    ] = None
    container_image: Annotated[
        ImageUri | None, Field(description="Image URI; replaces the framework's. Also image_uri.")
    ] = None
    sagemaker_role: Annotated[
        RoleArn | None, Field(description="Execution role; default: the settings'. Also role.")
    ] = None
    environment: dict[str, str] = Field(
        default_factory=dict, description="Environment variables of the job's container."
    )
    tags: dict[str, str] = Field(
        default_factory=dict, description="Tags of the job; they win over ours."
    )
    kms_key_id: Annotated[
        KmsKey | None, Field(description="KMS key for volumes and outputs alike.")
    ] = None
    volume_kms_key_id: Annotated[
        KmsKey | None, Field(description="KMS key for volumes; default: kms_key_id.")
    ] = None
    output_kms_key_id: Annotated[
        KmsKey | None, Field(description="KMS key for outputs; default: kms_key_id.")
    ] = None
    subnets: Annotated[Subnets, Field(description="Subnets of the job's VPC.")] = ()
    security_group_ids: Annotated[
        SecurityGroups, Field(description="Security groups of the job's VPC.")
    ] = ()
    enable_network_isolation: Annotated[
        Boolean, Field(description="Cut the container off from the network.")
    ] = False
    output_path: Annotated[
        S3Uri | None, Field(description="S3 prefix for outputs; default: the settings' bucket.")
    ] = None

    @property
    def body_rule(self) -> BodyRule:
        """Whether the decorated function runs in the job: always, if it is no stub, or never."""
        return "required"

    @property
    def image_name(self) -> str | None:
        """Framework or algorithm whose image is used; ``None`` with an own image alone."""
        return self.framework

    @property
    def volume_key(self) -> str | None:
        """KMS key for volumes."""
        return self.volume_kms_key_id or self.kms_key_id

    @property
    def output_key(self) -> str | None:
        """KMS key for outputs."""
        return self.output_kms_key_id or self.kms_key_id

    @property
    def vpc(self) -> dict[str, list[str]] | None:
        """VpcConfig of a request, or ``None``."""
        if not self.subnets:
            return None
        return {
            "SecurityGroupIds": list(self.security_group_ids),
            "Subnets": list(self.subnets),
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, though nothing of it is an error: one sentence each."""
        return tuple(self._notes())

    def image(self, region: str) -> str:
        """URI of the container image.

        Args:
            region: AWS region.

        Raises:
            PlanError: The region, or this version of the SDK, knows no such image.
        """
        if self.container_image:
            return self.container_image
        if self.image_name is None or self.framework_version is None:
            msg = "no container image: name framework and framework_version, or container_image"
            raise PlanError(msg)
        try:
            return images.image_uri(
                self.image_name,
                version=self.framework_version,
                region=region,
                instance_type=self.instance_type,
                scope=self.image_scope,
                python_version=self.python_version,
            )
        except images.UnknownImage as error:
            msg = f"no container image: {error}. Name it with container_image=…"
            raise PlanError(msg) from error

    def completed(self) -> Self:
        """The same spec with what can be derived filled in: the framework's newest version."""
        if self.framework_version or self.image_name is None or self.container_image:
            return self
        newest = images.newest_version(self.image_name, self.image_scope)
        return self.model_copy(update={"framework_version": newest})

    def problems(self) -> Iterator[Problem]:
        """Everything wrong that no single field shows."""
        yield from self._instance_problems()
        yield from self._image_problems()
        yield from environment_problems("environment", self.environment, self.environment_limits)
        yield from self._tag_problems()
        if bool(self.subnets) != bool(self.security_group_ids):
            missing = "security_group_ids" if self.subnets else "subnets"
            text = f"{missing} missing: a VPC needs both subnets and security_group_ids"
            yield Problem(("subnets", "security_group_ids"), text)

    def _notes(self) -> Iterator[str]:
        if not instances.is_known_family(self.instance_type):
            yield (
                f"instance_type={self.instance_type!r} is of a family that this version of the SDK "
                "does not know; SageMaker will say whether it exists"
            )
        account = images.rightful_account(self.container_image) if self.container_image else None
        if account:
            yield (
                f"container_image={self.container_image!r}: AWS keeps this repository in account "
                f"{account}; leave container_image out, and framework and version find it"
            )

    def _instance_problems(self) -> Iterator[Problem]:
        name = self.instance_type
        fields = ("instance_type",)
        full = name if name.startswith("ml.") else f"ml.{name}"
        offered = instances.instance_types(self.component)
        known = instances.instance(name)
        if not _INSTANCE_TYPE.fullmatch(name):
            near = did_you_mean(full, offered)
            yield Problem(fields, f"instance_type={name!r} must look like 'ml.m5.xlarge'.{near}")
        elif known is not None and self.component not in known.components:
            like = [t for t in offered if instances.processor(t) == instances.processor(name)]
            text = (
                f"instance_type={name!r} is offered for {' and '.join(known.components)} jobs "
                f"only, not for {self.component} jobs.{did_you_mean(name, like)}"
            )
            yield Problem(fields, text)
        elif known is None and instances.is_known_family(name):
            near = did_you_mean(name, offered)
            yield Problem(fields, f"instance_type={name!r} does not exist.{near}")

    def _image_problems(self) -> Iterator[Problem]:
        name, version = self.image_name, self.framework_version
        if name is None or self.container_image:
            return
        fields = ("framework", "algorithm", "framework_version", "instance_type")
        try:
            image = images.find(
                name, version or images.newest_version(name, self.image_scope), self.image_scope
            )
        except images.UnknownImage as error:
            near = did_you_mean(version or "", images.versions(name, self.image_scope))
            yield Problem(fields[:3], f"framework_version={version!r}: {error}.{near}")
            return
        try:
            images.check_processor(name, image.version, self.instance_type, self.image_scope)
        except images.UnknownImage as error:
            yield Problem(fields, f"{error}; choose another, or name your own container_image")
        wanted = self.python_version
        if wanted and image.python and wanted not in ("3", image.python):
            text = (
                f"python_version={wanted!r} contradicts the image of {name} {image.version}, "
                f"which has Python {image.python}; leave python_version out"
            )
            yield Problem((*fields[:3], "python_version"), text)

    def _tag_problems(self) -> Iterator[Problem]:
        room = 50 - OWN_TAGS
        if len(self.tags) > room:
            text = f"tags has {len(self.tags)} entries; at most {room} (ours take {OWN_TAGS} of 50)"
            yield Problem(("tags",), text)
        for name, value in self.tags.items():
            if not 1 <= len(name) <= 128 or not _TAG_NAME_OR_VALUE.fullmatch(name):
                text = f"tag name {name!r}: 1 to 128 letters, digits, blanks or any of _.:/=+-@"
                yield Problem(("tags",), text)
            elif name.lower().startswith("aws:"):
                yield Problem(("tags",), f"tag name {name!r}: names with 'aws:' are AWS's own")
            if len(value) > 256 or not _TAG_NAME_OR_VALUE.fullmatch(value):
                text = f"tag {name!r}: its value {value!r} may have up to 256 letters, digits, "
                yield Problem(("tags",), text + "blanks or any of _.:/=+-@")


class HostSpec(JobSpec):
    """Options of the kinds that rent hosts for as long as the user's code runs."""

    volume_size_gb: Annotated[
        VolumeGigabytes, Field(description="Disk of each instance in GB.")
    ] = 30
    max_runtime_seconds: Annotated[
        Count, Field(description="The job is stopped after this many seconds.")
    ] = 86_400
    encrypt_inter_container_traffic: Annotated[
        Boolean, Field(description="Encrypt what the instances say to each other.")
    ] = False


def environment_problems(
    option: str, environment: Mapping[str, str], limits: EnvironmentLimits, *, ours: bool = False
) -> Iterator[Problem]:
    """What is wrong with a map of environment variables.

    Args:
        option: The option that holds it.
        environment: The variables.
        limits: What SageMaker takes.
        ours: Whether names that are reserved for us may be in it.
    """
    if len(environment) > limits.entries:
        text = f"{option} has {len(environment)} entries; SageMaker takes {limits.entries}"
        yield Problem((option,), text)
    for name, value in environment.items():
        if len(name) > limits.name or not _ENVIRONMENT_NAME.fullmatch(name):
            text = f"{option}: {name[:80]!r} is no name: letters, digits and _, up to {limits.name}"
            yield Problem((option,), text)
        elif name.startswith("CDAO_") and not ours:
            yield Problem((option,), f"{option}: {name!r} is reserved: names with CDAO_ are ours")
        if len(value) > limits.value:
            text = (
                f"{option}: the value of {name[:80]!r} has {len(value)} characters; SageMaker "
                f"takes {limits.value}. Pass long values as inputs of the task"
            )
            yield Problem((option,), text)
