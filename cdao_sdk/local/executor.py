"""Runs jobs: from the Create… request to the outcome, with SageMaker's statuses on the way."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING

from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.execution.context import MESSAGE_CHARACTERS, Context, JobFailed, JobStopped
from cdao_sdk.local.execution.opt_ml import remove_tree
from cdao_sdk.local.execution.processing import run_processing
from cdao_sdk.local.execution.training import run_training
from cdao_sdk.local.execution.transform import run_transform
from cdao_sdk.local.jobs import JobRun, LogSink, Outcome
from cdao_sdk.local.processes import SupervisorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cdao_sdk.local.objects import ObjectStore
    from cdao_sdk.local.processes import Processes

_logger = logging.getLogger(__name__)

_RUNNERS: dict[str, Callable[[Context], Outcome]] = {
    "training": run_training,
    "processing": run_processing,
    "transform": run_transform,
}


class Executor:
    """Runs one job a call; calls may come from many threads at once.

    Args:
        objects: the S3 that jobs read from and write to.
        processes: where their processes are started.
        sync_seconds: how often changed checkpoints and `Continuous` outputs are uploaded.
    """

    def __init__(
        self, objects: ObjectStore, processes: Processes, *, sync_seconds: float = 1.0
    ) -> None:
        self._sync_seconds = sync_seconds
        self._objects = objects
        self._processes = processes
        self._leftovers: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._sweeper = threading.Thread(target=self._sweep, name="cdao-local-sweep", daemon=True)
        self._sweeper.start()

    def close(self) -> None:
        """Wait until the scratch folders of all finished jobs are removed."""
        self._leftovers.put(None)
        self._sweeper.join()

    def _sweep(self) -> None:
        # Beside the jobs: removing a tree takes as long as a small job itself.
        while (folder := self._leftovers.get()) is not None:
            try:
                remove_tree(folder)
            except OSError:
                _logger.exception("a job's scratch folder could not be removed: %s", folder)

    def run(
        self,
        job: JobRun,
        report: Callable[[str, str], None],
        stop: threading.Event,
        log: LogSink,
    ) -> Outcome:
        """Run `job` to its end; nothing but its outcome, its log and its objects remain.

        Its scratch folder is removed soon after.

        Args:
            job: what to run.
            report: takes each secondary status with its message.
            stop: set to end the job early.
            log: where its hosts print to.
        """
        context = Context(
            job, self._objects, self._processes, report, stop, log, self._sync_seconds
        )
        try:
            return _RUNNERS[job.kind](context)
        except JobStopped:
            return Outcome(status="Stopped")
        except JobFailed as error:
            reason = str(error)
        except (OSError, AwsError, SupervisorError) as error:
            # The machine's fault, not the job's: a full disk, no more processes.
            _logger.exception("job could not be run", extra={"job": job.name})
            reason = f"InternalServerError: {error}"
        finally:
            self._leftovers.put(context.work)
        return Outcome(status="Failed", failure_reason=reason[:MESSAGE_CHARACTERS])
