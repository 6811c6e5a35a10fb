"""``run()`` on a cluster: register unless it is registered, then execute."""

# flytekit and flyteidl ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from flyteidl.admin import execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flytekit.clients.raw import RawSynchronousFlyteClient as Admin
from flytekit.core.launch_plan import LaunchPlan

from cdao_sdk.errors import ConfigurationError, NotFound, SubmissionError
from cdao_sdk.flyte.admin_errors import EntityExists, refused_inputs
from cdao_sdk.flyte.execution_name import ExecutionName
from cdao_sdk.flyte.launch_options import is_execution_id
from cdao_sdk.flyte.local_run import new_execution_id
from cdao_sdk.flyte.registration import Registered, Registrar
from cdao_sdk.flyte.remote import Cluster, cluster_for
from cdao_sdk.flyte.remote_execution import RemoteExecution
from cdao_sdk.flyte.run_inputs import input_literals
from cdao_sdk.flyte.serialization import prepare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flytekit.models.literals import Literal

    from cdao_sdk.flyte.launch_options import LaunchOptions
    from cdao_sdk.flyte.remote_execution import Surroundings
    from cdao_sdk.flyte.run_inputs import Entity
    from cdao_sdk.settings import Settings

__all__ = ["find_on_cluster", "run_on_cluster"]

logger = logging.getLogger(__name__)

_CREATE_SECONDS = 30.0


def run_on_cluster(
    entity: Entity,
    inputs: Mapping[str, object],
    settings: Settings,
    surroundings: Surroundings,
    options: LaunchOptions,
) -> RemoteExecution:
    """Start an execution; returns at once.

    Args:
        entity: What to run.
        inputs: Its inputs.
        settings: Name the cluster.
        surroundings: What the execution needs beside it.
        options: How to start it.

    Raises:
        PlanError: The inputs do not fit, or the workflow cannot be registered; nothing was.
        ConfigurationError: No such project or domain, or the login.
        SubmissionError: FlyteAdmin refused, or is not there.
    """
    options.check()
    prepared = prepare([entity], settings)
    cluster = cluster_for(settings)
    with cluster.files() as context:
        literals = input_literals(context, entity, inputs)
    registrar = Registrar(cluster, settings)
    if options.version is None:
        registered = registrar.ensure(prepared)
    else:
        registered = registrar.register(prepared, options.version)
    launch = _Launch(cluster, entity, literals, options)
    try:
        name = launch.start(registrar.launch_id(entity, registered.version))
    except NotFound:
        if registered.is_new:
            raise
        # Remembered, but not there any more: the cluster was set up anew.
        registered = registrar.ensure(prepared, anew=True)
        name = launch.start(registrar.launch_id(entity, registered.version))
    _say(cluster, name, registered)
    types = cast("dict[str, type]", entity.python_interface.outputs)
    return RemoteExecution(cluster, name, surroundings, output_types=types)


def _say(cluster: Cluster, name: str, registered: Registered) -> None:
    news = "registered" if registered.is_new else "known"
    logger.info("%s: execution %s of version %s (%s)", cluster, name, registered.version, news)


@dataclass(frozen=True)
class _Launch:
    cluster: Cluster
    entity: Entity
    literals: Mapping[str, Literal]
    options: LaunchOptions

    def start(self, launched: identifier_pb2.Identifier) -> str:
        """Create the execution, once: it has its name before FlyteAdmin is asked."""
        target = self.cluster.target
        name = self.options.name or new_execution_id()
        spec = execution_pb2.ExecutionSpec(
            launch_plan=launched,
            metadata=execution_pb2.ExecutionMetadata(
                mode=execution_pb2.ExecutionMetadata.MANUAL, principal="cdao-sdk"
            ),
            overwrite_cache=self.options.overwrite_cache,
        )
        # FlyteAdmin knows what a launch plan has fixed, and refuses to be told.
        fixed = self.entity.fixed_inputs.literals if isinstance(self.entity, LaunchPlan) else {}
        literals = {
            key: value.to_flyte_idl() for key, value in self.literals.items() if key not in fixed
        }
        request = execution_pb2.ExecutionCreateRequest(
            project=target.project,
            domain=target.domain,
            name=name,
            spec=spec,
            inputs=literals_pb2.LiteralMap(literals=literals),
        )
        try:
            self._create(request)
        except EntityExists as error:
            if self.options.name is not None:
                msg = f"There is an execution {name!r} already; name another, or none."
                raise SubmissionError(msg, code=error.code) from error
            # The answer to an earlier try was lost; nobody else has this name.
        except SubmissionError as error:
            raise refused_inputs(error, str(self.entity.name)) from error
        return name

    def _create(self, request: Any) -> None:
        # A name of the user's is never sent twice: a lost answer would read as a name taken.
        self.cluster.call(
            Admin.create_execution,
            request,
            deadline=_CREATE_SECONDS,
            retries=self.options.name is None,
        )


def find_on_cluster(
    identifier: str, settings: Settings, surroundings: Surroundings
) -> RemoteExecution:
    """An execution that FlyteAdmin knows.

    Args:
        identifier: Its id, ``project:domain:id``, or its URL in Flyte's console.
        settings: Name the cluster; and project and domain, where the identifier does not.
        surroundings: What the execution needs beside it.

    Raises:
        NotFound: FlyteAdmin does not know it.
    """
    wanted = ExecutionName.parse(identifier)
    if not is_execution_id(wanted.name):
        msg = f"There is no execution {wanted.name!r}: an id is 1-63 of a-z, 0-9 and '-'."
        raise NotFound(msg)
    cluster = cluster_for(settings)
    if wanted.project:
        target = replace(cluster.target, project=wanted.project, domain=wanted.domain)
        cluster = Cluster(target, cluster.config)
    found = RemoteExecution(cluster, wanted.name, surroundings)
    try:
        found.status  # noqa: B018 # asks FlyteAdmin
    except (NotFound, ConfigurationError) as error:
        place = f"{cluster.target.project}/{cluster.target.domain}"
        msg = (
            f"There is no execution {wanted.name!r} in {place} at {cluster.target.endpoint}; for"
            " another project write project:domain:id, or the console's URL."
        )
        raise NotFound(msg) from error
    return found
