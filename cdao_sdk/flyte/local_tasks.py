"""A task's node in this process: from the cache, or tried until it is done."""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, cast

from flytekit.configuration import LocalConfig
from flytekit.core.context_manager import FlyteContextManager, OutputMetadataTracker

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.storage import exists
from cdao_sdk.flyte.connector import SageMakerConnector
from cdao_sdk.flyte.create_request import task_template
from cdao_sdk.flyte.job_attempt import run_attempt
from cdao_sdk.flyte.local_attempts import until_done, within
from cdao_sdk.flyte.local_files import in_the_bucket, reads_from
from cdao_sdk.flyte.local_run import current_node, node_of_call
from cdao_sdk.flyte.node_policy import node_policy
from cdao_sdk.flyte.task_cache import cache_key, files_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from flytekit.core.base_task import PythonTask
    from flytekit.models.literals import LiteralMap

    from cdao_sdk.flyte.local_run import NodeRun
    from cdao_sdk.flyte.node_policy import NodePolicy
    from cdao_sdk.flyte.services import Services
    from cdao_sdk.flyte.task import SageMakerTask

__all__ = ["run_job", "run_plain", "through_cache"]

logger = logging.getLogger(__name__)


def run_job(task: SageMakerTask, inputs: LiteralMap, node: NodeRun | None = None) -> LiteralMap:
    """Run a task's job to its end, or take the result of an earlier one that it stands for.

    Args:
        task: The task.
        inputs: Its inputs.
        node: The node that it is; None: found in the context.

    Raises:
        JobFailed: The job failed; the last one, if it was retried.
        JobStopped: It was stopped.
        SubmissionError: SageMaker refused it.
    """
    if node is None:
        node = node_of_call()
        inputs = in_the_bucket(inputs, task.interface.inputs, node.run)
        reads_from(node.run, FlyteContextManager.current_context().file_access)
    policy = node.policy or node_policy(task)
    connector = SageMakerConnector(task.job_kind, node.run.services)

    def run() -> LiteralMap:
        template = task_template(task, node.run.code_uri(task))
        return until_done(
            node.node,
            policy.retries,
            lambda number: run_attempt(
                connector, template, inputs, node=node, policy=policy, attempt=number
            ),
            is_stopped=node.run.stop.is_set,
        )

    return through_cache(task, inputs, node, policy, run)


def run_plain(task: PythonTask, inputs: LiteralMap, node: NodeRun) -> LiteralMap:
    """Run a task that is no SageMaker job, in this process.

    Raises:
        Exception: Whatever the task raised at last.
    """
    policy = node.policy or node_policy(task)

    def body() -> LiteralMap:
        token = current_node.set(node)
        try:
            context = FlyteContextManager.current_context()
            tracker = context.with_output_metadata_tracker(OutputMetadataTracker())
            with FlyteContextManager.with_context(tracker) as inner:
                return cast("LiteralMap", task.sandbox_execute(inner, inputs))
        finally:
            current_node.reset(token)

    def run() -> LiteralMap:
        return until_done(
            node.node,
            policy.retries,
            lambda _: within(policy.timeout_seconds, node.node, body),
            is_stopped=node.run.stop.is_set,
        )

    return through_cache(task, inputs, node, policy, run)


def through_cache(
    task: PythonTask,
    inputs: LiteralMap,
    node: NodeRun,
    policy: NodePolicy,
    run: Callable[[], LiteralMap],
) -> LiteralMap:
    """The cached result of a task, else what running it gives, which is kept.

    flytekit's own switches hold: ``FLYTE_LOCAL_CACHE_ENABLED``, ``FLYTE_LOCAL_CACHE_OVERWRITE``.
    """
    rule, cache, config = policy.cache, node.run.cache, LocalConfig.auto()
    if rule is None or cache is None or not config.cache_enabled:
        return run()
    services = node.run.services
    target = services.clients.target
    where = "embedded" if target.is_embedded else target.region or ""
    place = (node.run.project, node.run.domain, where, services.bucket or "")
    key = cache_key(task, rule, inputs.literals, place)
    guard = cache.reserved(key, node.run.stop) if rule.serialize else contextlib.nullcontext()
    with guard:
        known = None if config.cache_overwrite else cache.read(key)
        if known is not None and _is_there(services, known):
            logger.info("%s: its result is taken from the cache", node.node)
            node.run.cached_nodes.append(node.node)
            return known
        outputs = run()
        cache.write(key, outputs)
        return outputs


def _is_there(services: Services, outputs: LiteralMap) -> bool:
    """Whether the files that a cached result names still exist."""
    uris = files_of(outputs.literals)
    return all(bridge.run(exists(services.clients, uri)) for uri in uris)
