"""What one workflow needs of AWS: images, and room in the quotas."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from cdao_sdk._doctor.findings import failed, first_line, found, skipped, warned
from cdao_sdk.aws.calls import call
from cdao_sdk.errors import CdaoError, NotFound, SubmissionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk._doctor.account import Account
    from cdao_sdk._doctor.findings import Finding

__all__ = ["Instances", "Needs", "Resources"]

_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/"
    r"(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_ASK = "name a workflow: `cdao doctor FILE WORKFLOW`"
_PAGES = 40
"""Most pages of quotas that are read; SageMaker has some thousands of quotas, 100 a page."""


@dataclass(frozen=True, order=True)
class Instances:
    """Instances that one job uses at the same time.

    Attributes:
        instance_type: Such as ``"ml.m5.large"``.
        usage: As quotas call it: ``"training job"``, ``"spot training job"``, ….
        count: How many.
    """

    instance_type: str
    usage: str
    count: int

    @property
    def quota_name(self) -> str:
        """The quota's name. Source: Service Quotas, list of Amazon SageMaker, 2026-11."""
        return f"{self.instance_type} for {self.usage} usage"


@dataclass(frozen=True)
class Needs:
    """What a workflow's jobs use.

    Attributes:
        images: Own images' URIs; AWS's are in the catalog.
        known_images: Number of AWS's own images.
        roles: Roles that tasks name themselves, or the settings'.
        instances: The largest need for each quota.
        problem: Why the workflow's needs cannot be told; empty if they can.
    """

    images: tuple[str, ...] = ()
    known_images: int = 0
    roles: tuple[str, ...] = ()
    instances: tuple[Instances, ...] = ()
    problem: str = field(default="")


@dataclass(frozen=True)
class Resources:
    """Checks of what a workflow needs.

    Attributes:
        account: Whose.
        needs: What; None if no workflow was named.
    """

    account: Account
    needs: Needs | None

    async def images(self) -> Finding:
        """Whether own images are there, in the jobs' region."""
        if self.needs is None:
            return skipped("images", _ASK)
        own = self.needs.images
        if not own:
            return found("images", f"{self.needs.known_images} of AWS's own")
        try:
            await self.account.identity()
        except CdaoError:
            return skipped("images", "it needs credentials")
        findings = await asyncio.gather(*(self._image(uri) for uri in own))
        for status in ("fail", "warn"):
            bad = [finding for finding in findings if finding.status == status]
            if bad:
                return bad[0]
        return found("images", f"{len(own)} own, {self.needs.known_images} of AWS's")

    async def _image(self, uri: str) -> Finding:
        match = _ECR.fullmatch(uri)
        if match is None:
            text = f"{uri} is not in ECR, from where SageMaker takes its images"
            return warned("images", text, "push it to ECR; other registries need a VPC")
        region = self.account.region
        if match["region"] != region:
            text = f"{uri} is in {match['region']}, jobs run in {region}"
            return failed("images", text, f"replicate it to {region}")
        named = (
            {"imageDigest": match["digest"]}
            if match["digest"]
            else {"imageTag": match["tag"] or "latest"}
        )
        parameters = {
            "registryId": match["account"],
            "repositoryName": match["repository"],
            "imageIds": [named],
        }
        try:
            await call(self.account.clients, "ecr", "DescribeImages", parameters)
        except NotFound as error:
            return failed("images", f"{uri}: {first_line(error)}", "push it, or correct the URI")
        except SubmissionError as error:
            if error.code in ("RepositoryNotFoundException", "ImageNotFoundException"):
                return failed("images", f"{uri} is not there", "push it, or correct the URI")
            text = f"{uri}: {first_line(error)}"
            return warned("images", text, "allow ecr:DescribeImages, or look at it in the console")
        return found("images", uri)

    async def quotas(self) -> Finding:
        """Whether the quotas have room for the workflow's largest jobs."""
        if self.needs is None:
            return skipped("quotas", _ASK)
        if not self.needs.instances:
            return skipped("quotas", "no step is a SageMaker job")
        try:
            await self.account.identity()
        except CdaoError:
            return skipped("quotas", "it needs credentials")
        wanted = {need.quota_name.lower(): need for need in self.needs.instances}
        try:
            values = await self._values(set(wanted))
        except CdaoError as error:
            mend = "allow servicequotas:ListServiceQuotas, or look at Service Quotas' console"
            return warned("quotas", f"cannot be read: {first_line(error)}", mend)
        short = [
            (need, values[name])
            for name, need in wanted.items()
            if name in values and values[name][0] < need.count
        ]
        if short:
            return _too_small(short, self.account.region)
        unknown = [need.quota_name for name, need in wanted.items() if name not in values]
        if unknown:
            text = f"there is none named {', '.join(unknown)}"
            return warned("quotas", text, "look at Service Quotas' console")
        rooms = (f"{n.instance_type} {n.usage}: {values[k][0]:g}" for k, n in wanted.items())
        return found("quotas", ", ".join(rooms))

    async def _values(self, names: set[str]) -> dict[str, tuple[float, str]]:
        """(value, code) of quotas by lower-case name; reading ends when all are found."""
        found: dict[str, tuple[float, str]] = {}
        parameters: dict[str, object] = {"ServiceCode": "sagemaker", "MaxResults": 100}
        for _ in range(_PAGES):
            answer = await call(
                self.account.clients, "service-quotas", "ListServiceQuotas", parameters
            )
            for quota in cast("Sequence[Mapping[str, object]]", answer["Quotas"]):
                name = str(quota["QuotaName"]).lower()
                if name in names:
                    found[name] = (float(cast("float", quota["Value"])), str(quota["QuotaCode"]))
            token = answer.get("NextToken")
            if not token or set(found) == names:
                break
            parameters["NextToken"] = token
        return found


def _too_small(short: Sequence[tuple[Instances, tuple[float, str]]], region: str) -> Finding:
    text = "; ".join(
        f"{need.quota_name} is {value:g}, one job needs {need.count}" for need, (value, _) in short
    )
    need, (_, code) = short[0]
    mend = (
        "aws service-quotas request-service-quota-increase --service-code sagemaker"
        f" --quota-code {code} --desired-value {need.count} --region {region}"
    )
    return failed("quotas", text, mend)
