"""What the server hands to the executor of a job, and what it gets back."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Kind = Literal["training", "processing", "transform"]


@dataclass(frozen=True, kw_only=True)
class JobRun:
    """One job to run.

    Attributes:
        kind: training, processing or transform.
        name: The job's name.
        request: The Create… request as received; for transform also, under `Model`, the CreateModel
            request of its model.
        directory: The job's own folder in the state directory; scratch goes to `directory/"work"`.
        endpoint_url: This server, for the job's AWS_ENDPOINT_URL.
        region: The region that the job was created in.
        interrupt: Set when its spot instances are reclaimed. The executor clears it when it has
            seen it, ends the hosts by SIGTERM, reports `Interrupted`, and starts them again.
    """

    kind: Kind
    name: str
    request: Mapping[str, object]
    directory: Path
    endpoint_url: str
    region: str
    interrupt: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended.

    Attributes:
        status: Its final status.
        failure_reason: SageMaker's FailureReason, when Failed.
        exit_message: Processing: what the job left in `/opt/ml/output/message`.
        secondary_status: Training: where it is not the same word as `status`.
        model_artifact: Training: S3 URI of model.tar.gz.
        metrics: Training: the last value of each metric definition that matched.
    """

    status: Literal["Completed", "Failed", "Stopped"]
    failure_reason: str | None = None
    exit_message: str | None = None
    secondary_status: str | None = None
    model_artifact: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])


class LogWriter(Protocol):
    """One host's log, taking bytes as the host prints them; `write` and `close` from any thread."""

    def write(self, chunk: bytes) -> object:
        """Append what was printed; a line without its end waits for the rest."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


class LogSink(Protocol):
    """Where a job's hosts print to."""

    def open(self, host: str) -> LogWriter:
        """Begin the log of one host (`algo-1`, …)."""
        ...


class JobExecutor(Protocol):
    """Runs one job from its first to its last status; called from several threads at once."""

    def run(
        self,
        job: JobRun,
        report: Callable[[str, str], None],
        stop: threading.Event,
        log: LogSink,
    ) -> Outcome:
        """Run `job` and return how it ended; `report(secondary status, message)` on the way."""
        ...
