"""One planned job: from a task and the requests that would be sent for it."""

# flytekit ships no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from cdao_sdk.flyte.node_policy import node_policy
from cdao_sdk.flyte.planning import requests as sent
from cdao_sdk.flyte.planning.costs import instance_counts, most
from cdao_sdk.flyte.planning.images import image_facts
from cdao_sdk.flyte.planning.placeholders import described
from cdao_sdk.flyte.planning.values import PlannedInstances, PlannedJob, PlannedParameter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flytekit.models.core.workflow import NodeMetadata

    from cdao_sdk.flyte.payload import TaskPayload
    from cdao_sdk.flyte.planning.placeholders import Value
    from cdao_sdk.flyte.planning.values import Branch
    from cdao_sdk.flyte.task import SageMakerTask
    from cdao_sdk.kinds.job import ApiCall
    from cdao_sdk.kinds.parameters import ParameterRole
    from cdao_sdk.kinds.spec import JobSpec

__all__ = ["Circumstances", "planned_job"]


@dataclass(frozen=True)
class Circumstances:
    """Where in the workflow a step lies.

    Attributes:
        node: Its node's id, those of the workflows around it before; empty at the outermost.
        condition: When it runs; empty: always.
        branch: The cases that it lies in.
        elements: How many elements the maps around it have together; None: nobody knows yet.
        metadata: The node's own word on retries, timeout and so on.
        interruptible: What the workflow says of nodes that say nothing themselves.
    """

    node: str = ""
    condition: str = ""
    branch: tuple[Branch, ...] = ()
    elements: int | None = 1
    metadata: NodeMetadata | None = None
    interruptible: bool = False

    def inside(self, node: str, condition: str = "") -> Circumstances:
        """Those of a node of the workflow, or of a case of the conditional, here."""
        return replace(
            self,
            node=f"{self.node}-{node}" if self.node else node,
            condition=" and ".join(part for part in (self.condition, condition) if part),
            metadata=None,
        )

    def in_case(self, condition: str, number: int, node: str) -> Circumstances:
        """Those of a case of the conditional here."""
        case = replace(self, branch=(*self.branch, (self.node, number)))
        return case.inside(node, condition)

    def element(self, count: int | None, metadata: NodeMetadata | None) -> Circumstances:
        """Those of the first element of a map here, which stands for all."""
        known = self.elements is not None and count is not None
        total = cast("int", self.elements) * cast("int", count) if known else None
        return replace(self.inside("n0"), elements=total, metadata=metadata)


def planned_job(
    task: SageMakerTask,
    payload: TaskPayload,
    job_name: str,
    at: Circumstances,
    *,
    values: Mapping[str, Value],
    requests: tuple[ApiCall, ...],
    objects: tuple[str, ...],
    region: str,
) -> PlannedJob:
    """The job that these requests make.

    Args:
        task: The task.
        payload: What its template tells the connector.
        job_name: The job's name.
        at: Where in the workflow it lies.
        values: Its inputs.
        requests: What would be sent.
        objects: What would be uploaded.
        region: AWS region.
    """
    spec, kind = payload.spec, task.job_kind
    policy = node_policy(task, at.metadata, interruptible=at.interruptible)
    attempts = 1 + policy.retries
    limits = [getattr(spec, "max_runtime_seconds", None), policy.timeout_seconds]
    limit = min((math.ceil(seconds) for seconds in limits if seconds), default=None)
    spot = bool(requests[-1].parameters.get("EnableManagedSpotTraining"))
    groups = tuple(PlannedInstances(*group) for group in instance_counts(spec))
    instance_type = groups[0].instance_type
    return PlannedJob(
        node=at.node,
        function=payload.entry.function,
        task=task.name,
        kind=kind.name,
        title=kind.title,
        job_name=job_name,
        instance_type=instance_type,
        instance_count=sum(group.instance_count for group in groups),
        instance_groups=groups if len(groups) > 1 else (),
        spot=spot,
        limit_seconds=limit,
        image=image_facts(sent.image_uri(requests), instance_type, region),
        role_arn=sent.role_arn(requests),
        outputs=sent.outputs(requests),
        channels=sent.channels(requests),
        parameters=tuple(_parameter(role, values[role.name]) for role in payload.roles),
        hyperparameters=sent.hyperparameters(requests),
        distribution=getattr(spec, "distribution", None) or "",
        secrets=_secrets(task),
        tags=sent.tags(requests),
        attempts=attempts,
        elements=at.elements,
        condition=at.condition,
        branch=at.branch,
        notes=_notes(spec, payload.roles, is_cached=policy.cache is not None),
        cost=most(
            spec,
            region=region,
            attempts=attempts,
            elements=at.elements,
            limit_seconds=limit,
        ),
        requests=requests,
        # The code is uploaded once a run, though each of its jobs reads it.
        objects=tuple(dict.fromkeys((*([payload.code_uri] if payload.code_uri else ()), *objects))),
    )


def _secrets(task: SageMakerTask) -> tuple[str, ...]:
    context = task.security_context
    secrets = (context.secrets if context else None) or ()
    return tuple(":".join(filter(None, (secret.group, secret.key))) for secret in secrets)


def _parameter(role: ParameterRole, value: Value) -> PlannedParameter:
    return PlannedParameter(role.name, role.role, role.channel or "", described(value), role.why)


def _notes(spec: JobSpec, roles: Sequence[ParameterRole], *, is_cached: bool) -> tuple[str, ...]:
    unused = [role.why for role in roles if role.role == "unused"]
    cached = ["it is cached: with the same inputs no job is made"] if is_cached else []
    return (*spec.notes, *unused, *cached)
