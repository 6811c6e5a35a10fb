"""What every job spec has: fields, cross-field rules, and the image that follows from them.

A spec is what a decorator's options become. It is frozen, holds no secrets of the run, and travels
as JSON in the task's template. ``kinds/build.py`` makes specs and gathers every problem.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from cdao_sdk.catalog import images, instances
from cdao_sdk.catalog.advice import advice
from cdao_sdk.errors import PlanError, did_you_mean
from cdao_sdk.kinds.extra import extra_problems
from cdao_sdk.kinds.fields import (  # noqa: TC001 - pydantic reads the annotations
    Boolean,
    Count,
    Framework,
    ImageUri,
    JsonMap,
    KmsKey,
    PythonVersion,
    RoleArn,
    S3Uri,
    SecurityGroups,
    Subnets,
    VolumeGigabytes,
)
from cdao_sdk.kinds.instance_rules import instance_type_problems
from cdao_sdk.kinds.option_groups import Experiment  # noqa: TC001 - pydantic reads it
from cdao_sdk.kinds.problem import (
    EnvironmentLimits,
    Problem,
    environment_problems,
    tag_problems,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from typing_extensions import Self

BodyRule = Literal["required", "optional", "stub"]


class JobSpec(BaseModel):
    """Options that all kinds share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    component: ClassVar[str]
    """The kind's name in the catalog of instances and prices."""
    api_operations: ClassVar[tuple[str, ...]]
    """The operations that start a job; with several, ``extra`` says which one it means."""
    image_scope: ClassVar[images.Scope] = "training"
    environment_limits: ClassVar[EnvironmentLimits]
    absent: ClassVar[Mapping[str, str]] = {}
    """Options of other kinds which this one cannot have, each with the reason."""

    instance_type: Annotated[str, Field(description="Such as 'ml.m5.xlarge'.")] = "ml.m5.large"
    fallback_instance_types: Annotated[
        tuple[str, ...],
        Field(
            description="Tried in this order where there is no capacity for instance_type; "
            "or give instance_type a list.",
            max_length=9,
        ),
    ] = ()
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

    experiment: Annotated[
        Experiment | None,
        Field(description="experiment_name, trial_name, run_name, display_name: any of them."),
    ] = None
    extra: Annotated[
        JsonMap,
        Field(description="Other fields of the request, in SageMaker's own spelling."),
    ] = {}

    @property
    def body_rule(self) -> BodyRule:
        """Whether the decorated function runs in the job: always, if it is no stub, or never."""
        return "required"

    @property
    def image_name(self) -> str | None:
        """Framework or algorithm whose image is used; ``None`` with an own image alone."""
        return self.framework

    @property
    def hosts(self) -> tuple[tuple[str, int], ...]:
        """(instance type, number of instances) of each group of hosts: mostly one."""
        return ((self.instance_type, self.instance_count),)

    @property
    def host_count(self) -> int:
        """Number of hosts, of all groups."""
        return sum(count for _, count in self.hosts)

    @property
    def image_instance_type(self) -> str:
        """Instance type that the image must be built for."""
        return self.instance_type

    @property
    def choices(self) -> tuple[Self, ...]:
        """This spec on each instance type that it names, in the order in which they are tried."""
        return tuple(
            self.model_copy(update={"instance_type": name, "fallback_instance_types": ()})
            for name in (self.instance_type, *self.fallback_instance_types)
        )

    @property
    def volume_key(self) -> str | None:
        """KMS key for volumes; none where hosts have disks of their own: SageMaker refuses one."""
        return None if self._has_local_storage else self.volume_kms_key_id or self.kms_key_id

    @property
    def _has_local_storage(self) -> bool:
        return all(instances.has_local_storage(name) for name, _ in self.hosts)

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

    @property
    def image_python(self) -> str | None:
        """Minor version of Python in the image, such as ``"3.9"``; ``None`` if no source says.

        Of an own image it is what ``python_version`` says.
        """
        if self.container_image:
            return self.python_version if "." in (self.python_version or "") else None
        image = self._catalog_image()
        return image.python if image else None

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
                instance_type=self.image_instance_type,
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
        newest = images.newest_version(
            self.image_name, self.image_scope, instance_type=self.image_instance_type
        )
        return self.model_copy(update={"framework_version": newest})

    def problems(self) -> Iterator[Problem]:
        """Everything wrong that no single field shows."""
        yield from self._instance_problems()
        yield from self._image_problems()
        yield from environment_problems("environment", self.environment, self.environment_limits)
        yield from tag_problems(self.tags)
        if self.volume_kms_key_id and self._has_local_storage:
            # API reference of VolumeKmsKeyId.
            text = (
                f"volume_kms_key_id: {self.hosts[0][0]} has disks of its own, which its hardware "
                "encrypts, and SageMaker takes no key for them; leave it out"
            )
            yield Problem(("volume_kms_key_id", "instance_type", "instance_groups"), text)
        if bool(self.subnets) != bool(self.security_group_ids):
            missing = "security_group_ids" if self.subnets else "subnets"
            text = f"{missing} missing: a VPC needs both subnets and security_group_ids"
            yield Problem(("subnets", "security_group_ids"), text)
        for text in extra_problems(self.extra, self.api_operations, self):
            yield Problem(("extra",), text)

    def _notes(self) -> Iterator[str]:
        for name, _ in self.hosts:
            if not instances.is_known_family(name):
                yield (
                    f"instance_type={name!r} is of a family that this version of the SDK "
                    "does not know; SageMaker will say whether it exists"
                )
        if self.kms_key_id and self._has_local_storage:
            yield (
                f"kms_key_id is for the outputs only: {self.hosts[0][0]} has disks of its own, "
                "which its hardware encrypts"
            )
        account = images.rightful_account(self.container_image) if self.container_image else None
        if account:
            yield (
                f"container_image={self.container_image!r}: AWS keeps this repository in account "
                f"{account}; leave container_image out, and framework and version find it"
            )
        image = self._catalog_image()
        said = advice(image, dt.datetime.now(dt.timezone.utc).date()) if image else ""
        if image and said:
            yield f"{image.name} {image.version}: {said}"

    def _catalog_image(self) -> images.Image | None:
        """The catalog's image, unless the spec names its own or one that nobody knows."""
        if self.container_image or self.image_name is None or self.framework_version is None:
            return None
        with contextlib.suppress(images.UnknownImage):
            return images.find(
                self.image_name,
                self.framework_version,
                self.image_scope,
                instance_type=self.image_instance_type,
            )
        return None

    def _instance_problems(self) -> Iterator[Problem]:
        for text in instance_type_problems("instance_type", self.instance_type, self.component):
            yield Problem(("instance_type",), text)

    def _image_problems(self) -> Iterator[Problem]:
        name, version = self.image_name, self.framework_version
        if name is None or self.container_image:
            return
        fields = ("framework", "algorithm", "framework_version", "instance_type")
        scope, on = self.image_scope, self.image_instance_type
        try:
            newest = version or images.newest_version(name, scope, instance_type=on)
            image = images.find(name, newest, scope, instance_type=on)
        except images.UnknownImage as error:
            near = did_you_mean(version or "", images.versions(name, scope, instance_type=on))
            given = f"framework_version={version!r}: " if version else ""
            yield Problem(fields[:3], f"{given}{error}.{near}")
            return
        try:
            images.check_processor(name, image.version, on, scope)
        except images.UnknownImage as error:
            yield Problem(fields, f"{error}; choose another, or name your own container_image")
        wanted = self.python_version
        if wanted and image.python and wanted not in ("3", image.python):
            text = (
                f"python_version={wanted!r} contradicts the image of {name} {image.version}, "
                f"which has Python {image.python}; leave python_version out"
            )
            yield Problem((*fields[:3], "python_version"), text)


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
    runtime: Annotated[
        Literal["script", "flytekit"],
        Field(description="What runs the function: 'flytekit' needs an own image that has it."),
    ] = "script"

    def _notes(self) -> Iterator[str]:
        yield from super()._notes()
        if "volume_size_gb" in self.model_fields_set and self._has_local_storage:
            yield (
                f"volume_size_gb={self.volume_size_gb} has no effect: "
                f"{self.hosts[0][0]} has disks of its own, of a fixed size"
            )

    def problems(self) -> Iterator[Problem]:
        """Also of the runtime."""
        yield from super().problems()
        if self.runtime == "script":
            return
        if self.container_image is None:
            text = "runtime='flytekit' needs container_image: an image that has flytekit in it"
            yield Problem(("runtime", "container_image"), text)
        if self.enable_network_isolation:
            text = (
                "runtime='flytekit' reads and writes S3 by itself, "
                "which enable_network_isolation=True forbids; use runtime='script'"
            )
            yield Problem(("runtime", "enable_network_isolation"), text)
        if self.body_rule == "stub":
            text = "runtime='flytekit' runs the task's function, and an algorithm runs none"
            yield Problem(("runtime", "algorithm"), text)
