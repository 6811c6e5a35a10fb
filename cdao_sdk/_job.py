"""``current_job()``, for the body of a task."""

from __future__ import annotations

import functools
import importlib.util
import os
from typing import TYPE_CHECKING, Any, Protocol, cast

from cdao_sdk.errors import CdaoError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["CurrentJob", "current_job"]


class CurrentJob(Protocol):
    """The SageMaker job that a task's body runs in.

    Attributes:
        name: The job's name.
        kind: ``"training"`` or ``"processing"``.
        execution: Id of the execution it belongs to.
        node: Id of its node there.
        attempt: Number of the attempt, from 0.
        hosts: Names of its hosts, sorted.
        current_host: The name of this one.
        rank: Number of this host, from 0.
        global_rank: Number of this process among those of all hosts, from 0; the same as ``rank``
            unless ``distribution`` starts several on a host.
        local_rank: Number of this process on its host, from 0; it chooses the GPU.
        world_size: How many processes there are.
        is_lead: Whether this process returns the task's outputs.
        master_address: Where the first process can be reached; also in ``MASTER_ADDR``.
        master_port: A port for that, the same on all hosts; also in ``MASTER_PORT``.
        instance_group: Name of the host's instance group; ``homogeneousCluster`` if there is one.
        should_stop: Whether SageMaker asked the job to stop (SIGTERM: a stop, the end of its time).
            Without it SIGTERM raises an exception in the function, whose ``finally`` blocks run.
            A function that has read ``should_stop`` is left to save and return by itself, within
            two minutes; the job counts as interrupted, whatever it returns.
        instance_type: As SageMaker says; empty if it does not.
        inputs: Channel's name → its directory.
        model_dir: What lies here at the end becomes the model; in training jobs.
        output_dir: What lies here at the end is uploaded.
        checkpoint_dir: What lies here survives spot interruptions and Flyte's retries; it is
            uploaded while the job runs, and there again at the start. In training jobs.
        hyperparameters: As SageMaker passes them: strings.
        num_cpus: CPUs that this process may use.
        num_gpus: NVIDIA GPUs of this host.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def execution(self) -> str: ...
    @property
    def node(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def hosts(self) -> Sequence[str]: ...
    @property
    def current_host(self) -> str: ...
    @property
    def rank(self) -> int: ...
    @property
    def global_rank(self) -> int: ...
    @property
    def local_rank(self) -> int: ...
    @property
    def world_size(self) -> int: ...
    @property
    def is_lead(self) -> bool: ...
    @property
    def master_address(self) -> str: ...
    @property
    def master_port(self) -> int: ...
    @property
    def instance_group(self) -> str: ...
    @property
    def should_stop(self) -> bool: ...
    @property
    def instance_type(self) -> str: ...
    @property
    def inputs(self) -> Mapping[str, str]: ...
    @property
    def model_dir(self) -> str: ...
    @property
    def output_dir(self) -> str: ...
    @property
    def checkpoint_dir(self) -> str: ...
    @property
    def hyperparameters(self) -> Mapping[str, str]: ...
    @property
    def num_cpus(self) -> int: ...
    @property
    def num_gpus(self) -> int: ...

    def input_dir(self, channel: str) -> str:
        """The directory of an input channel.

        Raises:
            KeyError: There is no such channel.
        """
        ...

    def secret(self, group: str, key: str | None = None, version: str | None = None) -> str:
        """The value of a secret that the task has asked for by ``secret_requests``.

        Args:
            group: The secret's name or ARN in AWS Secrets Manager.
            key: An entry of the JSON object that it holds; None: its whole text.
            version: A version's id or stage; None: what the task asked for.

        Raises:
            Exception: It was not asked for, or cannot be read; the job fails then.
        """
        ...

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record a metric, for SageMaker and for whoever watches the job.

        Args:
            name: Such as ``"validation:auc"``.
            value: A number.
            step: Such as the epoch.
        """
        ...


def current_job() -> CurrentJob:
    """The SageMaker job that this code runs in: its folders, hosts, hyperparameters, metrics.

    Inside a job the script runtime answers this call. With ``runtime="flytekit"`` it is asked here.

    Returns:
        The job.

    Raises:
        CdaoError: This process is no SageMaker job.
    """
    runner, spec = os.environ.get("CDAO_RUNNER"), os.environ.get("CDAO_SPEC")
    if runner and spec:
        return _job(runner, spec)
    msg = (
        "current_job() works inside a SageMaker job only. In a unit test, call the task's function"
        " with cdao_sdk.current_job replaced by an object of yours."
    )
    raise CdaoError(msg)


@functools.cache
def _job(runner: str, spec: str) -> CurrentJob:
    """The job as the script runtime describes it, whose file the job has brought along."""
    found = importlib.util.spec_from_file_location("cdao_runner", runner)
    if found is None or found.loader is None:
        msg = f"{runner!r} is no Python file."
        raise CdaoError(msg)
    module: Any = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return cast("CurrentJob", module.Job(module.read_spec(spec)))
