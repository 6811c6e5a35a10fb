"""Gathers what a report tells: the only part of it that asks AWS."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from cdao_sdk._version import __version__
from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.calls import call
from cdao_sdk.errors import CdaoError
from cdao_sdk.execution_record import ExecutionRecord
from cdao_sdk.flyte.deck_facts import facts_of
from cdao_sdk.flyte.execution_report import Report
from cdao_sdk.kinds.failures import translate
from cdao_sdk.kinds.links import console_links
from cdao_sdk.kinds.registry import KINDS
from cdao_sdk.monitor.feed import JobFeed
from cdao_sdk.monitor.report import report_page
from cdao_sdk.monitor.report_contents import contents_of, facts_document, summary_text
from cdao_sdk.monitor.report_facts import MOST_DIAGNOSED, RunFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.flyte.deck_facts import JobFacts
    from cdao_sdk.monitor.snapshot import JobRow, Snapshot
    from cdao_sdk.settings import Settings

__all__ = ["report_of"]

logger = logging.getLogger(__name__)

# Jobs that are described for their stages, data and hyperparameters; the row tells of the others.
_MOST_DESCRIBED = 300
_DESCRIBES_AT_ONCE = 10


def report_of(identifier: str, clients: AwsClients, settings: Settings) -> Report:
    """The report of an execution, or of one job, as things stand now.

    Args:
        identifier: An execution's id, or a job's whole name.
        clients: Where to look.
        settings: Tell where records are.

    Raises:
        NotFound: No such execution and no such job.
        SubmissionError: AWS refused to list jobs.
    """
    snapshot = JobFeed(identifier, clients, settings).open()
    described = bridge.run(_describe_all(clients, _worth_describing(snapshot), snapshot.taken))
    contents = contents_of(snapshot, _run_facts(identifier, clients, settings), described)
    return Report(
        execution=identifier,
        html=report_page(contents),
        text=summary_text(contents),
        facts=facts_document(contents),
    )


def _worth_describing(snapshot: Snapshot) -> Sequence[JobRow]:
    """Failed jobs first, then the longest."""
    order = sorted(
        snapshot.jobs, key=lambda row: (row.state != "failed", -row.elapsed_seconds, row.name)
    )
    return order[:_MOST_DESCRIBED]


async def _describe_all(
    clients: AwsClients, rows: Sequence[JobRow], taken: datetime
) -> dict[str, JobFacts]:
    places = asyncio.Semaphore(_DESCRIBES_AT_ONCE)

    async def one(number: int, row: JobRow) -> JobFacts | None:
        async with places:
            wants_diagnosis = row.state == "failed" and number < MOST_DIAGNOSED
            return await _described(clients, row, taken, wants_diagnosis=wants_diagnosis)

    found = await asyncio.gather(*(one(number, row) for number, row in enumerate(rows)))
    return {row.name: facts for row, facts in zip(rows, found, strict=True) if facts is not None}


async def _described(
    clients: AwsClients, row: JobRow, taken: datetime, *, wants_diagnosis: bool
) -> JobFacts | None:
    kind = KINDS.get(row.kind)
    if kind is None:
        return None
    try:
        answer = await call(
            clients, "sagemaker", kind.api.describe, {kind.api.name_field: row.name}
        )
    except CdaoError as error:  # not allowed, throttled or deleted: the row tells enough
        logger.info("the report does without the description of %s: %s", row.name, error)
        return None
    seen = kind.observe(answer)
    region = clients.target.region
    diagnosis = row.diagnosis
    if diagnosis is None and wants_diagnosis:
        diagnosis = translate(
            seen.failure_reason,
            log_tail=row.log_tail,
            status=seen.status,
            secondary_status=seen.secondary_status,
            kind=row.kind,
            instance_type=seen.instance_type,
        )
    embedded = clients.target.is_embedded  # AWS's console knows nothing of its jobs
    links = row.links or (() if embedded else console_links(row.kind, row.name, region).titled)
    return facts_of(
        kind,
        answer,
        seen,
        region=region,
        log_tail=row.log_tail,
        links=links,
        diagnosis=diagnosis,
        taken=taken,
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
