"""From an identifier to snapshots: the only part of the views that asks AWS.

A refresh costs at most a dozen calls, however many jobs there are: lists tell what is there, and
the rest of the calls goes to what matters most. What is left comes with the next refresh.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.call_budget import CallBudget
from cdao_sdk.aws.calls import UNREACHABLE
from cdao_sdk.aws.watch import JobWatch, find_job, read_again
from cdao_sdk.errors import NotFound, ResourcesUnavailable, SubmissionError
from cdao_sdk.flyte.execution_name import ExecutionName
from cdao_sdk.kinds.job import Phase
from cdao_sdk.kinds.naming import execution_slug
from cdao_sdk.monitor.job_extras import JobExtras
from cdao_sdk.monitor.job_tails import FEW_JOBS, JobTails
from cdao_sdk.monitor.job_usage import JobUsage
from cdao_sdk.monitor.labels import is_execution_id, is_job_name
from cdao_sdk.monitor.lookup import CALLS, nothing_of_that_name, of_execution
from cdao_sdk.monitor.pace import Pace
from cdao_sdk.monitor.record import read_facts
from cdao_sdk.monitor.remote_source import RemoteFacts, RemoteJobs
from cdao_sdk.monitor.run_times import RunTimes
from cdao_sdk.monitor.snapshot import ExecutionFacts, Place, Snapshot, changes, take
from cdao_sdk.monitor.step_labels import StepLabels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.aws.watch import Job
    from cdao_sdk.monitor.remote_source import RemoteSource
    from cdao_sdk.settings import Settings

__all__ = ["JobFeed"]

# The embedded SageMaker answers within milliseconds and nobody else asks it.
_EMBEDDED_PAUSES = (0.1, 0.5)
# How long an endpoint may not answer at all before the watching gives up.
_PATIENCE_SECONDS = 30.0
# Kept from lists and descriptions for logs, metrics and tags, as far as these want it.
_MOST_FOR_OTHERS = 5
# How long a call waits for its turn: at the first paint, and later.
_FIRST_TURN_SECONDS, _TURN_SECONDS = 0.2, 2.0
# After so long the first paint takes what lists have told by then.
_FIRST_LOOK_SECONDS = 0.3
# How long the end of a watching waits for what is not read yet.
_SETTLE_SECONDS = 15.0
_SEARCH_SECONDS = 5.0
# How long AWS is left alone once it has refused to list jobs that Flyte tells of, too.
_REFUSED_SECONDS = 60.0


class JobFeed:
    """Snapshots of one execution or one job.

    Args:
        identifier: An execution's id, ``project:domain:id``, its URL in Flyte's console, or a job's
            whole name.
        clients: Where to look.
        settings: Tell where records are, and how often AWS may be asked.
        shows_logs: Whether the last log lines of running jobs are wanted; their progress is in
            them, too.
        remote: The execution, if it runs on a cluster: there is no record of it on disk. Where AWS
            refuses, its jobs are those that it knows of.
        facts: Tells of an execution; None: ``remote`` does, else its record on disk.

    Attributes:
        last: The last snapshot; None before the first.
    """

    def __init__(
        self,
        identifier: str,
        clients: AwsClients,
        settings: Settings,
        *,
        shows_logs: bool = False,
        remote: RemoteSource | None = None,
        facts: Callable[[], ExecutionFacts | None] | None = None,
    ) -> None:
        target = clients.target
        records = settings.state_path / "executions"
        self._identifier = identifier = ExecutionName.parse(identifier).name
        self._clients = clients
        self._flyte = RemoteFacts(remote, settings.poll_interval_seconds) if remote else None
        self._flytes_jobs = RemoteJobs(remote) if remote else None
        self._refusal = ""
        self._lists_due = 0.0
        own = self._flyte.read if self._flyte else lambda: read_facts(records, identifier)
        self._read_facts = facts or own
        self._run_times_path = settings.state_path / "run_times.json"
        self._place = Place(target.region, has_console=target.endpoint_url is None)
        self._slug = execution_slug(identifier)
        self._watch: JobWatch | None = None
        self._single: Job | None = None
        self._is_searched = False
        self._is_refused = False
        seconds = settings.poll_interval_seconds
        pauses = _EMBEDDED_PAUSES if target.is_embedded else (seconds, 4 * seconds)
        self._pace = Pace(*pauses)
        self._tails = JobTails(clients, of_running=shows_logs)
        self._usage = JobUsage(clients)
        self._steps = StepLabels(clients, self._slug)
        self._extras: JobExtras | None = None
        self._opened: frozenset[str] = frozenset()
        self._jobs: list[Job] = []
        self._note = ""
        self.last: Snapshot | None = None

    @property
    def seconds_to_wait(self) -> float:
        """How long nothing new can come; a second at the most, for the clocks on the screen."""
        return min(max(self._pace.seconds_left, 0.01), 1.0)

    @property
    def is_over(self) -> bool:
        """Whether no more jobs will come: by the execution's record, else as far as lists tell."""
        facts = self._read_facts()
        if facts is not None:
            return facts.is_over
        return self._is_listed

    @property
    def _is_listed(self) -> bool:
        if self._single is not None or self._watch is None or self._refusal:
            return True
        return self._watch.is_listed

    @property
    def jobs(self) -> Sequence[Job]:
        """The jobs as the last snapshot has them, in the order of their creation."""
        return self._jobs

    @property
    def is_settled(self) -> bool:
        """Whether all that there is to be read has been read."""
        return self._unread() == 0

    def look_at(self, names: Iterable[str]) -> None:
        """Say which jobs are looked at: those that are opened, or on the screen.

        They are described first, and their logs and metrics are read.

        Args:
            names: The jobs' names; they stand for all that were named before.
        """
        opened = frozenset(names)
        if opened - self._opened:
            self._pace.glance()
        self._opened = opened

    def open(self) -> Snapshot:
        """The first snapshot: what one look tells.

        Raises:
            NotFound: No such execution and no such job.
        """
        facts = self._read_facts()
        self._is_searched = facts is not None
        self._watch = JobWatch(self._clients, self._slug, since=facts.created if facts else None)
        workflow = facts.workflow if facts else ""
        self._extras = JobExtras(RunTimes(self._run_times_path, workflow), self._tails, self._usage)
        snapshot = self.snapshot()
        deadline = time.monotonic() + _SEARCH_SECONDS
        # Among the jobs of a large account it may take some time to find one; where that takes
        # longer it is painted how far the search has come.
        while not (facts or self._jobs or self._is_refused) and time.monotonic() < deadline:
            snapshot = self.snapshot(hurried=True)
        return snapshot

    def snapshot(self, *, fresh: bool = False, hurried: bool = False) -> Snapshot:
        """Where the jobs stand; AWS is asked only when it is time again.

        A throttled or unanswered call gives the last state with a note.

        Args:
            fresh: Ask now in any case, and read what is not read yet, for some seconds.
            hurried: Ask now in any case.

        Raises:
            NotFound: No such execution and no such job.
            ResourcesUnavailable: The endpoint has not answered for half a minute.
            SubmissionError: AWS refused for good.
        """
        facts = self._read_facts()
        if fresh or hurried or self._pace.seconds_left <= 0:
            self._refresh(facts)
        if fresh:
            self._settle(facts)
        snapshot = self._take(facts)
        has_changed = bool(changes(self.last, snapshot))
        if has_changed or self._unread():
            self._pace.hurry()
        if has_changed and self._flyte:
            self._flyte.hurry()
        self.last = snapshot
        return snapshot

    def _take(self, facts: ExecutionFacts | None) -> Snapshot:
        now = datetime.now(timezone.utc)
        extras = self._extras
        return take(
            self._title(facts),
            self._jobs,
            taken=now,
            labels=self._steps.labels,
            log_tails=self._tails.tails(self._jobs, self._opened),
            execution=facts,
            execution_id="" if self._single is not None else self._identifier,
            note="; ".join(filter(None, (self._note, self._flyte.note if self._flyte else ""))),
            place=self._place,
            extras=extras.extras(self._jobs, self._steps.labels, self._opened) if extras else {},
            diagnoses=extras.diagnoses(self._jobs, self._opened) if extras else {},
        )

    def _title(self, facts: ExecutionFacts | None) -> str:
        if self._single is not None:
            return f"job {self._identifier}"
        workflow = facts.workflow.rpartition(".")[2] if facts else ""
        return f"execution {self._identifier}" + (f" of {workflow}" if workflow else "")

    def _refresh(self, facts: ExecutionFacts | None) -> None:
        try:
            bridge.run(self._ask(facts))
        except ResourcesUnavailable as error:
            self._is_refused = True
            if error.code == UNREACHABLE:
                if self._pace.count_silence() > _PATIENCE_SECONDS:
                    raise
                self._note = f"waiting for SageMaker to answer again: {error}"
                self._pace.slow_down()
                return
            self._note = f"asked to wait: {error}"
            self._pace.heard()
            self._pace.give_way()
            return
        self._is_refused = False
        self._pace.heard()
        self._pace.slow_down()
        self._note = self._progress_note(facts)

    def _progress_note(self, facts: ExecutionFacts | None) -> str:
        if self._refusal:
            return f"the jobs are those that Flyte was told of, for AWS refuses: {self._refusal}"
        if self._watch is None or self._is_listed:
            if facts is None and self._single is None and not self._jobs:
                raise nothing_of_that_name(self._clients, self._identifier)
            return ""
        if self._watch.has_history:
            return ""
        oldest = self._watch.listed_back_to
        back = f", back to {oldest:%Y-%m-%d} so far" if oldest else ""
        return f"looking through the account's jobs{back}"

    def _settle(self, facts: ExecutionFacts | None) -> None:
        """Read what is left, while that leads anywhere."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        before = None
        while time.monotonic() < deadline and (left := self._unread()) and left != before:
            before = left
            self._refresh(facts)
        if self._extras is not None:
            self._extras.finish(self._jobs, self._steps.labels)

    def _unread(self) -> int:
        """How much there is to be read still, of what does not change any more."""
        watch = self._watch if self._single is None else None
        left = watch.undescribed + (0 if self._is_listed else 1_000_000) if watch else 0
        ended = [job for job in self._jobs if job.is_over]
        if len(self._jobs) > FEW_JOBS:
            ended = [job for job in ended if _has_failed(job) or job.name in self._opened]
        return left + self._tails.wants(ended, self._opened) + self._steps.wants(self._jobs)

    async def _ask(self, facts: ExecutionFacts | None) -> None:
        budget = CallBudget(CALLS)
        is_first = self.last is None
        turn = _FIRST_TURN_SECONDS if is_first else _TURN_SECONDS
        wanted = sum(
            (
                self._tails.wants(self._jobs, self._opened),
                self._usage.wants(self._jobs, self._opened),
                self._steps.wants(self._jobs),
            )
        )
        part = budget.part(keep=min(wanted, _MOST_FOR_OTHERS))
        try:
            await self._look(part, turn)
        finally:
            budget.regain(part)
            self._steps.update(self._jobs, facts.tasks if facts else {})
        if self._steps.wants(self._jobs):
            await self._steps.ask(self._jobs, budget)
            self._steps.update(self._jobs, facts.tasks if facts else {})
        if is_first:
            return  # painted first; details come with the next look
        await self._usage.read(self._jobs, self._opened, budget, patience_seconds=turn)
        await self._tails.read(self._jobs, self._opened, budget, patience_seconds=turn)

    async def _look(self, budget: CallBudget, turn: float) -> None:
        if self._single is not None:
            if not self._single.is_over and budget.take():
                self._single = await read_again(self._clients, self._single)
            self._jobs = [self._single]
            return
        watch = self._watch
        if watch is None:
            return
        if self._is_searched:
            await self._list(watch, budget, turn)
            return
        # The name may be one job's, and to ask that is quicker than a large account's lists.
        if is_job_name(self._identifier):
            await self._find_single()
        elif is_execution_id(self._identifier):
            await self._list(watch, budget, turn)
            if not self._jobs:
                await self._find_single()
        else:
            await asyncio.gather(self._find_single(), self._list(watch, budget, turn))
        self._is_searched = True  # not where that was throttled
        if self._single is not None:
            self._jobs = [self._single]

    async def _find_single(self) -> None:
        with contextlib.suppress(NotFound):
            self._single = await find_job(self._clients, self._identifier)

    async def _list(self, watch: JobWatch, budget: CallBudget, turn: float) -> None:
        flyte = self._flytes_jobs
        if flyte is None or time.monotonic() >= self._lists_due:
            try:
                await watch.refresh(
                    budget,
                    order=self._order,
                    patience_seconds=turn,
                    at_most_seconds=math.inf if self.last else _FIRST_LOOK_SECONDS,
                )
                self._refusal = ""
            except SubmissionError as error:
                if isinstance(error, ResourcesUnavailable) or flyte is None:
                    raise
                self._refusal = str(error)
                self._lists_due = time.monotonic() + _REFUSED_SECONDS
            finally:
                if watch.jobs:
                    self._jobs = of_execution(watch.jobs, self._slug)
        if flyte is not None and self._refusal and not watch.jobs:
            # It asks by the bridge, whose loop this is.
            self._jobs = of_execution(await asyncio.to_thread(flyte.read), self._slug)

    def _order(self, job: Job) -> tuple[object, ...]:
        """Which job is described first: one that is looked at, failed, or the first of its node."""
        return job.name not in self._opened, not _has_failed(job), job.is_over


def _has_failed(job: Job) -> bool:
    return job.seen.phase in (Phase.FAILED, Phase.RETRYABLE)
