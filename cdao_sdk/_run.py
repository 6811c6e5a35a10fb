"""``run()`` and what belongs to it."""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import functools
import logging
import signal
import threading
import weakref
from typing import TYPE_CHECKING

from flytekit.core.context_manager import FlyteContextManager

from cdao_sdk._connect import connect
from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.storage import ensure_bucket
from cdao_sdk.errors import ConfigurationError, NotFound, ResourcesUnavailable
from cdao_sdk.flyte.entities import compiling, entity_of
from cdao_sdk.flyte.execution import Execution, ExecutionRecord, LocalExecution
from cdao_sdk.flyte.filesystems import close_s3_sessions
from cdao_sdk.flyte.launch_options import LaunchOptions
from cdao_sdk.flyte.local_checks import check_runs_here
from cdao_sdk.flyte.local_engine import node_order
from cdao_sdk.flyte.local_files import file_access
from cdao_sdk.flyte.local_run import LocalRun, new_execution_id
from cdao_sdk.flyte.run_inputs import input_literals
from cdao_sdk.flyte.services import check_bucket
from cdao_sdk.flyte.task_cache import TaskCache
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from flytekit import FlyteContext

    from cdao_sdk.flyte.execution_report import Report
    from cdao_sdk.flyte.remote_execution import RemoteExecution, Surroundings
    from cdao_sdk.flyte.run_inputs import Entity, Runnable
    from cdao_sdk.flyte.services import Services
    from cdao_sdk.settings import Settings

__all__ = [
    "get_execution",
    "loose_run",
    "monitor_sagemaker_jobs",
    "report_sagemaker_jobs",
    "run",
]

logger = logging.getLogger(__name__)

# What jobs get to stop by themselves when the script is interrupted.
_STOPPING_SECONDS = 30.0

_running: weakref.WeakSet[LocalExecution] = weakref.WeakSet()


def _services(settings: Settings) -> Services:
    """The AWS of a run in this process, with a bucket that is there."""
    services = connect(settings)
    if services.clients.target.is_embedded and services.bucket:
        bridge.run(ensure_bucket(services.clients, services.bucket))
    check_bucket(services)
    return services


def run(
    workflow: Runnable,
    inputs: Mapping[str, object] | None = None,
    *,
    name: str | None = None,
    version: str | None = None,
    overwrite_cache: bool = False,
    **settings: object,
) -> Execution:
    """Run a workflow; returns at once.

    With ``admin_endpoint`` set it is registered there, unless it is already, and runs on that
    cluster, without this process; otherwise it runs here and ends with the process.

    Args:
        workflow: A workflow, launch plan or task.
        inputs: Its inputs by name; those with a default may be left out. A local path for a
            ``FlyteFile`` or ``FlyteDirectory`` is uploaded.
        name: The execution's id; None: one is made.
        version: Version to register, on a cluster; None: a hash of the content.
        overwrite_cache: Whether cached tasks compute anew, on a cluster.
        **settings: Settings for this run alone, as ``configure`` takes them.

    Returns:
        The execution: ``id``, ``status``, ``wait()``, ``outputs``, ``jobs()``, ``cancel()``; on a
        cluster also ``url``, ``nodes``, ``recover()``, ``relaunch()``.

    Raises:
        PlanError: The inputs do not fit; all that is wrong with them. Nothing was created.
        ConfigurationError: A setting is missing or malformed.
        SubmissionError: FlyteAdmin refused, or does not answer.

    Example:
        >>> import cdao_sdk
        >>> @cdao_sdk.sagemaker_workflow
        ... def pipeline(number: int) -> int:
        ...     return number
        >>> execution = cdao_sdk.run(pipeline, inputs={"number": 3})
        >>> execution.wait(timeout=60).outputs
        {'o0': 3}
    """
    in_force = holder.gather(settings).settings
    _give_back_ctrl_c()
    entity = entity_of(workflow)
    options = LaunchOptions(name, version, overwrite_cache=overwrite_cache)
    options.check()
    if in_force.admin_endpoint:
        return _on_cluster(entity, inputs or {}, in_force, options)
    if version is not None or overwrite_cache:
        msg = (
            "version and overwrite_cache are for a cluster, and admin_endpoint is not set: leave"
            " them out, or configure(admin_endpoint='https://…')."
        )
        raise ConfigurationError(msg)
    _compile(entity)
    local_run = _local_run(in_force, name)
    context = _context(local_run)
    with FlyteContextManager.with_context(context.new_builder()):
        literals = input_literals(context, entity, inputs or {})
    execution = LocalExecution(
        entity,
        literals,
        local_run,
        context=context,
        records=_records(in_force),
        viewer=functools.partial(_view, settings=in_force),
        reporter=functools.partial(_report, settings=in_force),
    )
    _running.add(execution)
    return execution.start()


def _on_cluster(
    entity: Entity, inputs: Mapping[str, object], settings: Settings, options: LaunchOptions
) -> RemoteExecution:
    from cdao_sdk.flyte.remote_run import run_on_cluster

    with compiling(entity):
        node_order(entity)
    return run_on_cluster(entity, inputs, settings, _surroundings(settings), options)


def _surroundings(settings: Settings) -> Surroundings:
    from cdao_sdk.flyte.remote_execution import Surroundings

    return Surroundings(
        poll_seconds=settings.poll_interval_seconds,
        clients=lambda: connect(settings).clients,
        viewer=functools.partial(_view_remote, settings=settings),
        reporter=functools.partial(_report_remote, settings=settings),
    )


def _give_back_ctrl_c() -> None:
    """Importing flytekit makes Ctrl-C a bare ``exit(1)``; let it be a KeyboardInterrupt again."""
    if threading.current_thread() is not threading.main_thread():
        return
    handler = signal.getsignal(signal.SIGINT)
    if getattr(handler, "__module__", "").startswith("flytekit."):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _compile(entity: Entity) -> None:
    """Build the graph, before anything is created."""
    with compiling(entity):
        node_order(entity)
        check_runs_here(entity)


def _records(settings: Settings) -> Path:
    return settings.state_path / "executions"


def _local_run(settings: Settings, name: str | None = None) -> LocalRun:
    services = _services(settings)
    is_local = services.clients.target.is_embedded
    return LocalRun(
        execution=name or new_execution_id(),
        services=services,
        project=settings.project,
        domain=settings.domain,
        poll_seconds=0.25 if is_local else settings.poll_interval_seconds,
        cache=TaskCache(settings.state_path / "cache"),
    )


def _context(local_run: LocalRun) -> FlyteContext:
    """flytekit's context, whose files and offloaded values go to the run's own bucket."""
    return FlyteContextManager.current_context().with_file_access(file_access(local_run)).build()


_loose: list[tuple[Settings, LocalRun]] = []
_loose_lock = threading.Lock()


def loose_run() -> LocalRun:
    """The run that tasks belong to which are called directly; one for the settings in force."""
    # A task that is called directly runs here, whatever cluster workflows run on.
    settings = holder.gather({"admin_endpoint": None}).settings
    with _loose_lock:
        for known, local_run in _loose:
            if known == settings:
                return local_run
        _loose.append((settings, _local_run(settings)))
        return _loose[-1][1]


def get_execution(execution_id: str, **settings: object) -> ExecutionRecord | Execution:
    """An execution of this or another process, or of the cluster.

    Args:
        execution_id: Its id; for one on a cluster also ``project:domain:id``, or its URL in Flyte's
            console.
        **settings: Settings for this call alone, as ``configure`` takes them.

    Returns:
        What is kept on disk of an execution in a process; one on the cluster that
        ``admin_endpoint`` names as ``run()`` would return it.

    Raises:
        NotFound: There is none of that id.
    """
    in_force = holder.gather(settings).settings
    path = _records(in_force) / f"{execution_id.replace('/', '-')}.json"
    try:
        return ExecutionRecord.read(path)
    except FileNotFoundError:
        if in_force.admin_endpoint:
            return _find_on_cluster(execution_id, in_force)
        msg = f"There is no execution {execution_id!r} in {path.parent}."
        raise NotFound(msg) from None


def _find_on_cluster(execution_id: str, settings: Settings) -> RemoteExecution:
    from cdao_sdk.flyte.remote_run import find_on_cluster

    return find_on_cluster(execution_id, settings, _surroundings(settings))


def monitor_sagemaker_jobs(execution_id: str) -> None:
    """Show the SageMaker jobs of an execution, and follow them.

    In a terminal it returns when the last job is done; elsewhere it prints one line a change.

    Args:
        execution_id: An execution's id (``execution.id``), ``project:domain:id``, its URL in
            Flyte's console, or the name of one SageMaker job.

    Raises:
        NotFound: No such execution and no such job.
    """
    from cdao_sdk.monitor.watching import watch

    settings = holder.gather().settings
    if found := _on_the_cluster(str(execution_id), settings):
        found.monitor()
        return
    watch(str(execution_id), connect(settings).clients, settings)


def _on_the_cluster(execution_id: str, settings: Settings) -> Execution | None:
    """The execution of that id on the cluster, if there are both."""
    if settings.admin_endpoint:
        try:
            found = get_execution(execution_id)
        except NotFound:  # a job's name, for instance
            return None
        except ResourcesUnavailable as error:
            logger.warning("as AWS tells, without Flyte: %s", error)
            return None
        return found if isinstance(found, Execution) else None
    return None


def _view_remote(execution: RemoteExecution, *, settings: Settings) -> None:
    from cdao_sdk.monitor.watching import watch

    watch(execution.id, connect(settings).clients, settings, remote=execution)


def _view(execution: Execution, *, settings: Settings) -> None:
    from cdao_sdk.monitor.watching import watch

    watch(execution.id, connect(settings).clients, settings)


def _report_remote(execution: RemoteExecution, *, settings: Settings) -> Report:
    from cdao_sdk.monitor.report_source import report_of

    clients = connect(settings).clients
    return report_of(execution.id, clients, settings, remote=execution, url=execution.url)


def _report(execution: Execution, *, settings: Settings) -> Report:
    from cdao_sdk.monitor.report_source import report_of

    return report_of(execution.id, connect(settings).clients, settings)


def report_sagemaker_jobs(execution_id: str, path: str | os.PathLike[str] | None = None) -> Report:
    """What the SageMaker jobs of an execution did, took and cost, as one HTML page.

    It may be over since long, and have run elsewhere: AWS is asked, by its id.

    Args:
        execution_id: An execution's id (``execution.id``), ``project:domain:id``, its URL in
            Flyte's console, or the name of one SageMaker job.
        path: File, or folder, to write it to; None: it is not written.

    Returns:
        The report: ``html``, ``save()``, ``frame()``; a notebook shows it.

    Raises:
        NotFound: No such execution and no such job.
        CdaoError: The file cannot be written.
    """
    from cdao_sdk.monitor.report_source import report_of

    settings = holder.gather().settings
    if found := _on_the_cluster(str(execution_id), settings):
        return found.report(path)
    report = report_of(str(execution_id), connect(settings).clients, settings)
    if path is not None:
        report.save(path)
    return report


def _stop_at_exit() -> None:
    """An execution in this process ends with it: its jobs are stopped, and it is said.

    Going on is not possible: from Python 3.12 on no thread can be started by then.
    """
    alive = [execution for execution in _running if not execution.status.is_over]
    for execution in alive:
        logger.warning(
            "execution %s is stopped, because the process ends; end the script with"
            " execution.wait() or monitor_sagemaker_jobs(execution.id)",
            execution.id,
        )
        execution.cancel()
    for execution in alive:
        execution.finished(_STOPPING_SECONDS)
    close_s3_sessions()


# atexit is too late: by then thread pools have been waited for and take no more work.
threading._register_atexit(_stop_at_exit)  # noqa: SLF001 # pyright: ignore # as concurrent.futures does
