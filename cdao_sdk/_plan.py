"""``plan()``: what a run would create, told without creating anything."""

# flytekit ships no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING

from flytekit.core.context_manager import ExecutionState, FlyteContextManager
from flytekit.core.data_persistence import FileAccessProvider
from flytekit.core.launch_plan import LaunchPlan

from cdao_sdk.errors import PlanError
from cdao_sdk.flyte.entities import entity_of
from cdao_sdk.flyte.local_run import LocalRun
from cdao_sdk.flyte.planning.jobs import Circumstances
from cdao_sdk.flyte.planning.placeholders import Unknown, relocated
from cdao_sdk.flyte.planning.recording import RecordingClients
from cdao_sdk.flyte.planning.values import Plan
from cdao_sdk.flyte.planning.walk import Walk
from cdao_sdk.flyte.run_inputs import input_literals
from cdao_sdk.flyte.services import check_bucket, services_for
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.flyte.planning.placeholders import Value
    from cdao_sdk.flyte.run_inputs import Entity, Runnable
    from cdao_sdk.flyte.services import Services
    from cdao_sdk.settings import Settings

__all__ = ["Plan", "plan", "plan_any_inputs"]

EXECUTION = "execution"
"""Stands for the id that a run makes when it starts."""

# FlyteAdmin, pkg/manager/impl/validation/execution_validator.go
_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")
_NOWHERE = "http://embedded"


def plan(
    workflow: Runnable,
    inputs: Mapping[str, object] | None = None,
    *,
    name: str = EXECUTION,
    **settings: object,
) -> Plan:
    """Say what ``run()`` would create: jobs, images, channels, roles, cost at most.

    Nothing is created or uploaded, and AWS is not asked. The requests are those of a run, made by
    the same code; what a step will put out is a placeholder such as ``<output o0 of n0>``.

    Args:
        workflow: A workflow, launch plan or task.
        inputs: Its inputs by name, as ``run()`` takes them.
        name: The execution's id; jobs' names begin with it.
        **settings: Settings for this plan alone, as ``configure`` takes them.

    Returns:
        The plan: ``jobs``, ``others``, ``max_usd``, ``to_json()``.

    Raises:
        PlanError: The inputs do not fit, or steps cannot become jobs; all that is wrong. Or the
            name is no execution's id.
        ConfigurationError: A setting is missing or malformed.

    Example:
        >>> import cdao_sdk
        >>> @cdao_sdk.sagemaker_training_task(algorithm="xgboost", max_runtime_seconds=3600)
        ... def boost(train: str, max_depth: int = 6) -> str: ...
        >>> [job] = cdao_sdk.plan(boost, inputs={"train": "s3://bucket/train/"}).jobs
        >>> job.kind, job.limit_seconds, job.hyperparameters["max_depth"]
        ('training', 3600, '6')
    """
    in_force = holder.gather(settings).settings
    entity = entity_of(workflow)
    if not _ID.fullmatch(name):
        msg = f"name={name!r}: an execution's id is 1-63 of a-z, 0-9 and '-', a letter first."
        raise PlanError(msg)
    with tempfile.TemporaryDirectory(prefix="cdao-plan-") as folder:
        access = _NoUploads(folder)
        context = FlyteContextManager.current_context().with_file_access(access).build()
        with FlyteContextManager.with_context(context.new_builder()):
            literals = input_literals(context, entity, inputs or {})
    place = _data_prefix(in_force, name)
    values: dict[str, Value] = {
        key: relocated(value, access.raw_output_prefix.rstrip("/"), place)
        for key, value in literals.items()
    }
    uploads = {
        "<a pickled value>" if source.startswith(folder) else source: target.replace(
            access.raw_output_prefix.rstrip("/"), place, 1
        )
        for source, target in access.uploads.items()
    }
    return replace(_walked(entity, values, name, in_force), uploads=uploads)


def plan_any_inputs(workflow: Runnable, **settings: object) -> Plan:
    """A plan of a workflow whose inputs are not known yet: each is a placeholder.

    Args:
        workflow: A workflow, launch plan or task.
        **settings: Settings for this plan alone.

    Raises:
        PlanError: Steps cannot become jobs.
        ConfigurationError: A setting is missing or malformed.
    """
    in_force = holder.gather(settings).settings
    entity = entity_of(workflow)
    values: dict[str, Value] = {key: Unknown(key) for key in entity.python_interface.inputs}
    return _walked(entity, values, EXECUTION, in_force)


def _walked(entity: Entity, values: dict[str, Value], name: str, settings: Settings) -> Plan:
    services = _services(settings)
    clients = RecordingClients(services.clients.target)
    run = LocalRun(
        execution=name,
        services=replace(services, clients=clients),
        project=settings.project,
        domain=settings.domain,
    )
    walk = Walk(run, clients)
    context = FlyteContextManager.current_context()
    # As in a run in this process: no image is built, no registry is asked.
    state = context.new_execution_state().with_params(
        mode=ExecutionState.Mode.LOCAL_WORKFLOW_EXECUTION
    )
    with FlyteContextManager.with_context(context.with_execution_state(state)):
        walk.entity(entity, values, Circumstances())
    if walk.problems:
        msg = f"{len(walk.problems)} of the steps of {entity.name} cannot become jobs."
        raise PlanError(msg, problems=walk.problems)
    return Plan(
        name=_title(entity),
        execution=name,
        place=_place(settings),
        region=clients.target.region,
        jobs=tuple(walk.jobs),
        others=tuple(walk.others),
        uploads={},
    )


def _title(entity: Entity) -> str:
    named = entity.workflow if isinstance(entity, LaunchPlan) else entity
    return str(named.name)


def _place(settings: Settings) -> str:
    if settings.admin_endpoint:
        return f"AWS, by Flyte at {settings.admin_endpoint}"
    if settings.endpoint_url:
        return settings.endpoint_url
    return "AWS" if settings.sagemaker_backend == "aws" else "embedded SageMaker"


def _services(settings: Settings) -> Services:
    """Role, bucket and region of a run; nothing is started."""
    if settings.admin_endpoint:
        settings = settings.model_copy(update={"sagemaker_backend": "aws"})
    services = services_for(settings, lambda: _NOWHERE)
    if not settings.admin_endpoint:
        check_bucket(services)
    return services


def _data_prefix(settings: Settings, name: str) -> str:
    bucket = _services(settings).bucket
    if bucket is None:
        return "s3://<raw output prefix of the cluster>"
    return f"s3://{bucket}/cdao/{settings.project}/{settings.domain}/{name}/data"


class _NoUploads(FileAccessProvider):
    """flytekit's file access, which notes what it would upload; small values stay in a folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, folder)
        self.uploads: dict[str, str] = {}

    async def _put(
        self,
        from_path: str,
        to_path: str,
        recursive: bool = False,
        **_: object,
    ) -> str:
        del recursive
        self.uploads[from_path] = to_path
        return to_path
