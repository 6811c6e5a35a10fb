"""Gathers what a report tells: the only part of it that asks AWS."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from cdao_sdk._version import __version__
from cdao_sdk.errors import CdaoError
from cdao_sdk.execution_record import ExecutionRecord
from cdao_sdk.flyte.deck_facts import facts_of
from cdao_sdk.flyte.execution_name import ExecutionName
from cdao_sdk.flyte.execution_report import Report
from cdao_sdk.kinds.registry import KINDS
from cdao_sdk.monitor.feed import JobFeed
from cdao_sdk.monitor.report import report_page
from cdao_sdk.monitor.report_contents import contents_of, facts_document, summary_text
from cdao_sdk.monitor.report_facts import RunFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.aws.watch import Job
    from cdao_sdk.flyte.deck_facts import JobFacts
    from cdao_sdk.monitor.remote_source import RemoteSource
    from cdao_sdk.monitor.snapshot import JobRow, Snapshot
    from cdao_sdk.settings import Settings

__all__ = ["report_of"]

# Of so many jobs the logs and metrics are read: of those that a report tells of in full.
_MOST_LOOKED_AT = 60
# Thousands of jobs are described a dozen at a time; the rest is told as far as lists tell.
_PATIENCE_SECONDS = 180.0


def report_of(
    identifier: str,
    clients: AwsClients,
    settings: Settings,
    *,
    remote: RemoteSource | None = None,
    url: str = "",
) -> Report:
    """The report of an execution, or of one job, as things stand now.

    Args:
        identifier: An execution's id, ``project:domain:id``, its URL in Flyte's console, or a job's
            whole name.
        clients: Where to look.
        settings: Tell where records are.
        remote: The execution, if it runs on a cluster.
        url: Where Flyte's console shows it.

    Raises:
        NotFound: No such execution and no such job.
        SubmissionError: AWS refused to list jobs.
    """
    identifier = ExecutionName.parse(identifier).name
    feed = JobFeed(identifier, clients, settings, remote=remote)
    first = feed.open()
    feed.look_at(row.name for row in _worth_a_look(first))
    snapshot = _settled(feed)
    rows = {row.name: row for row in snapshot.jobs}
    described = {
        job.name: _facts(job, rows[job.name], snapshot, clients)
        for job in feed.jobs
        if job.is_described and job.kind in KINDS and job.name in rows
    }
    run = _run_facts(identifier, clients, settings)
    if remote is not None:
        run = replace(_on_cluster(run, remote), url=url)
    contents = contents_of(snapshot, run, described)
    return Report(
        execution=identifier,
        html=report_page(contents),
        text=summary_text(contents),
        facts=facts_document(contents),
    )


def _worth_a_look(snapshot: Snapshot) -> Sequence[JobRow]:
    """Failed jobs first, then the longest."""
    order = sorted(
        snapshot.jobs, key=lambda row: (row.state != "failed", -row.elapsed_seconds, row.name)
    )
    return order[:_MOST_LOOKED_AT]


def _settled(feed: JobFeed) -> Snapshot:
    """A snapshot of which all is read that there is to be read."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    snapshot = feed.snapshot(fresh=True)
    while not feed.is_settled and time.monotonic() < deadline:
        snapshot = feed.snapshot(fresh=True)
    return snapshot


def _facts(job: Job, row: JobRow, snapshot: Snapshot, clients: AwsClients) -> JobFacts:
    return facts_of(
        KINDS[job.kind],
        job.description,
        job.seen,
        region=clients.target.region,
        log_tail=row.log_tail,
        links=row.links,
        diagnosis=row.diagnosis,
        taken=snapshot.taken,
    )


def _run_facts(identifier: str, clients: AwsClients, settings: Settings) -> RunFacts:
    record = _record(identifier, settings)
    return RunFacts(
        id=identifier,
        workflow=record.workflow if record else "",
        project=settings.project if record else "",
        domain=settings.domain if record else "",
        region=clients.target.region,
        is_embedded=clients.target.is_embedded,
        started=_moment(record.created) if record else None,
        ended=_moment(record.ended) if record else None,
        needs=record.needs if record else {},
        sdk_version=__version__,
    )


def _on_cluster(run: RunFacts, remote: RemoteSource) -> RunFacts:
    try:
        needs = remote.graph.needs
    except CdaoError:  # not for us, or not now: then the path is read off the times
        needs = {}
    return replace(
        run,
        id=remote.id,
        workflow=remote.workflow,
        project=remote.project,
        domain=remote.domain,
        started=remote.created,
        ended=remote.ended,
        needs=needs,
    )


def _record(identifier: str, settings: Settings) -> ExecutionRecord | None:
    if "/" in identifier:
        return None
    try:
        return ExecutionRecord.read(settings.state_path / "executions" / f"{identifier}.json")
    except FileNotFoundError:
        return None


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
