"""What every step of a job has at hand, and how a step says that the job has come to its end."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from cdao_sdk.local.jobs import JobRun, LogSink
    from cdao_sdk.local.objects import ObjectStore
    from cdao_sdk.local.processes import Processes

ACCOUNT = "123456789012"
MESSAGE_CHARACTERS = 1024  # of /opt/ml/output/failure and message, and of a FailureReason


class JobFailed(Exception):
    """The job is Failed; the text is its FailureReason, error type first."""


class JobStopped(Exception):
    """Somebody stopped the job before it ran."""


@dataclass(frozen=True)
class Context:
    """One job on its way through the executor.

    Attributes:
        job: what is to be run.
        objects: the S3 it reads from and writes to.
        processes: where its processes are started.
        report: takes SageMaker's secondary status and message as they come.
        stop: set when somebody stops the job.
        log: where its hosts print to.
        sync_seconds: how often changed checkpoints and `Continuous` outputs are uploaded.
    """

    job: JobRun
    objects: ObjectStore
    processes: Processes
    report: Callable[[str, str], None]
    stop: threading.Event
    log: LogSink
    sync_seconds: float = 1.0

    @property
    def work(self) -> Path:
        """The job's scratch folder, removed at its end."""
        return self.job.directory / "work"

    @property
    def arn(self) -> str:
        """The job's ARN."""
        kind = f"{self.job.kind}-job"
        return f"arn:aws:sagemaker:{self.job.region}:{ACCOUNT}:{kind}/{self.job.name}"

    def check_stop(self) -> None:
        """Between two steps.

        Raises:
            JobStopped: the job is to be stopped.
        """
        if self.stop.is_set():
            raise JobStopped


def first_text(path: Path) -> str | None:
    """The first 1,024 characters of a text that the job left; None where it left none.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        data = file.read(4 * MESSAGE_CHARACTERS)
    # Not final: a character that the cut went through is left out.
    return codecs.getincrementaldecoder("utf-8")().decode(data).strip()[:MESSAGE_CHARACTERS] or None
