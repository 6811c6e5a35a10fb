"""``current_job()``, for the body of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

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
        is_lead: Whether this process returns the task's outputs.
        instance_type: As SageMaker says; empty if it does not.
        inputs: Channel's name → its directory.
        model_dir: What lies here at the end becomes the model; in training jobs.
        output_dir: What lies here at the end is uploaded.
        checkpoint_dir: Survives a spot interruption; in training jobs.
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
    def is_lead(self) -> bool: ...
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

    Inside a job the script runtime answers this call; here there is no job.

    Returns:
        The job.

    Raises:
        CdaoError: This process is no SageMaker job.
    """
    msg = (
        "current_job() works inside a SageMaker job only. In a unit test, call the task's function"
        " with cdao_sdk.current_job replaced by an object of yours."
    )
    raise CdaoError(msg)
