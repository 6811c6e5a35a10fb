"""Jobs from their creation to their end: a bounded number at once, the others in order behind them.

Each worker thread runs one job at a time and writes its record at every change. One more thread
looks, while there are jobs, for stops that other servers ask for, and for what faults have in store
for a job: a wait before its turn comes, an interruption.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.job_fates import Fate
from cdao_sdk.local.jobs import JobRun, Outcome
from cdao_sdk.local.logs import LogFolder
from cdao_sdk.local.records import Record
from cdao_sdk.local.transitions import TERMINAL, ended, reported, status_of, stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdao_sdk.local.job_fates import Wait
    from cdao_sdk.local.job_kinds import JobKind
    from cdao_sdk.local.jobs import JobExecutor
    from cdao_sdk.local.records import Records
    from cdao_sdk.local.transitions import Describe

_logger = logging.getLogger(__name__)
# How often stops of other servers are looked for.
_LOOK_SECONDS = 0.2


@dataclass(eq=False)
class _Job:
    """A job of this server that has not ended."""

    kind: JobKind
    record: Record
    run: JobRun
    waits: deque[Wait]
    interruptions: deque[float]
    outcome: Outcome | None = None
    due: float = 0.0
    interruption_due: float | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    changing: threading.Lock = field(default_factory=threading.Lock)
    is_saved: bool = True
    is_trouble_told: bool = False
    over: threading.Event = field(default_factory=threading.Event)


class Lifecycle:
    """Runs the jobs of one server."""

    def __init__(
        self, records: Records, executor: JobExecutor, *, concurrency: int, endpoint_url: str
    ) -> None:
        self._records = records
        self._executor = executor
        self._concurrency = concurrency
        self._endpoint_url = endpoint_url
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._watch = threading.Condition(self._lock)
        self._jobs: dict[tuple[str, str], _Job] = {}
        self._waiting: deque[_Job] = deque()
        self._delayed: set[_Job] = set()
        self._idle = 0
        self._workers: list[threading.Thread] = []
        self._watcher: threading.Thread | None = None
        self._is_closed = False

    def submit(
        self,
        kind: JobKind,
        request: Mapping[str, Any],
        *,
        describe: Mapping[str, Any],
        region: str,
        model: Mapping[str, Any] | None = None,
        fate: Fate | None = None,
    ) -> None:
        """Create a job and let it run when its turn has come.

        `fate` is what faults have in store for it.

        Raises:
            AwsError: ResourceInUse when its name is taken; ServiceUnavailable after the close.
        """
        name = str(request[kind.name_member])
        record = Record(
            name=name,
            region=region,
            owner=self._records.server_id,
            request=request,
            describe=describe,
        )
        run = JobRun(
            kind=kind.kind,
            name=name,
            request={**request, "Model": model} if model else request,
            directory=self._records.directory(kind, name),
            endpoint_url=self._endpoint_url,
            region=region,
        )
        fate = fate or Fate()
        job = _Job(
            kind, record, run, deque(fate.waits), deque(fate.interruptions), outcome=fate.outcome
        )
        with self._lock:
            if self._is_closed:
                msg = "The embedded SageMaker is being shut down"
                raise AwsError(code="ServiceUnavailable", message=msg, status=503)
            self._records.create(kind, record)
            self._jobs[kind.kind, name] = job
            if job.waits or job.outcome:
                self._delayed.add(job)
                self._start_watcher()
            else:
                self._enqueue(job)
            if len(self._jobs) == 1:
                self._watch.notify()

    def stop(self, kind: JobKind, name: str) -> bool:
        """Stop a job of this server; False where it has none of this name that has not ended."""
        with self._lock:
            job = self._jobs.get((kind.kind, name))
        if job is None:
            return False
        self._stop(job)
        return True

    def interrupt(self, kind: JobKind, name: str) -> bool:
        """Reclaim the spot instances of a job; False where no such job of this server runs."""
        with self._lock:
            job = self._jobs.get((kind.kind, name))
        if job is None or not job.run.request.get("EnableManagedSpotTraining"):
            return False
        job.run.interrupt.set()
        return True

    def close(self) -> None:
        """Take no more jobs and stop those there are; `wait` for their end."""
        with self._lock:
            self._is_closed = True
            self._work.notify_all()
            self._watch.notify_all()
            jobs = list(self._jobs.values())
        for job in jobs:
            self._stop(job)

    def wait(self, *, timeout_seconds: float) -> bool:
        """Wait until all jobs have ended; False when the time is over before."""
        deadline = time.monotonic() + timeout_seconds
        with self._lock:
            jobs = list(self._jobs.values())
        return all(job.over.wait(max(deadline - time.monotonic(), 0)) for job in jobs)

    def _enqueue(self, job: _Job) -> None:
        """Its turn is the next that nobody has before it; the lock is held."""
        self._waiting.append(job)
        self._start_watcher()
        self._start_worker()
        self._work.notify()

    def _start_watcher(self) -> None:
        if self._watcher is None:
            self._watcher = self._started(self._watch_jobs, "watch")

    def _start_worker(self) -> None:
        if len(self._waiting) > self._idle and len(self._workers) < self._concurrency:
            self._workers.append(self._started(self._run_jobs, "job"))

    def _started(self, target: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=target, name=f"cdao-local-{name}", daemon=True)
        thread.start()
        return thread

    def _run_jobs(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
                while not self._waiting and not self._is_closed:
                    self._work.wait()
                self._idle -= 1
                if not self._waiting:
                    return
                job = self._waiting.popleft()
            self._run(job)

    def _run(self, job: _Job) -> None:
        log = LogFolder(job.run.directory / "logs")
        try:
            outcome = self._executor.run(
                job.run,
                lambda secondary, message: self._report(job, secondary, message),
                job.stop,
                log,
            )
        except Exception as error:
            _logger.exception("job failed inside the embedded SageMaker", extra={"job": job.run})
            reason = f"InternalServerError: {type(error).__name__}: {error}"
            outcome = Outcome(status="Failed", failure_reason=reason)
        if self._is_closed and outcome.status == "Failed":
            # Its processes were ended by the close of this server, whatever they made of that.
            outcome = Outcome(status="Stopped")
        self._end(job, outcome)

    def _report(self, job: _Job, secondary: str, message: str) -> None:
        """Note where a job stands; the watcher writes it down with its next look.

        A small job is over by then, and its end is written at once: writing each step would take
        longer than the step.
        """
        now = _now()
        with job.changing:
            describe = reported(job.kind, job.record.describe, secondary, message, now)
            job.is_saved = job.is_saved and describe is job.record.describe
            job.record = replace(job.record, describe=describe)
        if secondary == "Training" and job.interruptions:
            job.interruption_due = time.monotonic() + job.interruptions.popleft()

    def _stop(self, job: _Job) -> None:
        with self._lock:
            is_waiting = job in self._waiting
            if is_waiting:
                self._waiting.remove(job)
            elif job in self._delayed:
                self._delayed.remove(job)
                is_waiting = True
        self._change(job, lambda describe: stopping(job.kind, describe, _now()))
        job.stop.set()
        if is_waiting:
            self._end(job, Outcome(status="Stopped"))

    def _end(self, job: _Job, outcome: Outcome) -> None:
        is_saved = self._change(job, lambda describe: ended(job.kind, describe, outcome, _now()))
        if is_saved or self._is_closed:  # then nobody would try again
            self._forget(job)

    def _forget(self, job: _Job) -> None:
        with self._lock:
            self._jobs.pop((job.kind.kind, job.run.name), None)
        job.over.set()

    def _change(self, job: _Job, change: Callable[[Describe], Describe]) -> bool:
        """Change a job that has not ended, and write it down.

        False where that fails, on a full disk: the watcher's next look tries again.
        """
        with job.changing:
            before = job.record.describe
            if status_of(job.kind, before) not in TERMINAL:
                describe = change(before)
                job.is_saved = job.is_saved and describe is before
                job.record = replace(job.record, describe=describe)
            if job.is_saved:
                return True
            try:
                self._records.save(job.kind, job.record)
            except OSError as error:
                if not job.is_trouble_told:
                    _logger.exception("a job could not be recorded", extra={"job": job.run})
                job.is_trouble_told = True
                # A job whose folder was deleted has nothing to be written to.
                return isinstance(error, FileNotFoundError)
            job.is_saved = True
            return True

    def _watch_jobs(self) -> None:
        while True:
            with self._lock:
                while not self._jobs and not self._is_closed:
                    self._watch.wait()
                if self._is_closed:
                    return
                self._watch.wait(_LOOK_SECONDS)
                jobs = list(self._jobs.values())
            for job in jobs:
                self._look_at(job)

    def _look_at(self, job: _Job) -> None:
        is_saved = self._change(job, lambda describe: describe)
        if status_of(job.kind, job.record.describe) in TERMINAL:
            if is_saved:
                self._forget(job)
        elif job.stop.is_set():
            pass  # its worker ends it
        elif self._records.is_stop_requested(job.kind, job.run.name):
            self._stop(job)
        else:
            self._advance(job, time.monotonic())

    def _advance(self, job: _Job, now: float) -> None:
        """Let happen what is due."""
        if job.interruption_due is not None and now >= job.interruption_due:
            job.interruption_due = None
            job.run.interrupt.set()
        wait: Wait | None = None
        with self._lock:
            if job not in self._delayed or now < job.due:
                return
            if job.waits:
                wait = job.waits.popleft()
                job.due = now + wait.seconds
            else:
                self._delayed.remove(job)
                if job.outcome is None:
                    self._enqueue(job)
        if wait:
            self._report(job, wait.secondary_status, wait.message)
        elif job.outcome:
            self._end(job, job.outcome)


def _now() -> float:
    return round(time.time(), 3)
