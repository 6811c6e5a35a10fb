"""All that a report shows, computed once; the HTML, the text and the JSON are made of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.catalog.prices import dollars
from cdao_sdk.monitor.json_lines import job_document
from cdao_sdk.monitor.report_facts import entries_of, lines_of
from cdao_sdk.monitor.report_sums import bill, critical_path, span
from cdao_sdk.monitor.wording import duration, iso_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from cdao_sdk.flyte.deck_facts import JobFacts
    from cdao_sdk.monitor.report_facts import Entry, Line, RunFacts
    from cdao_sdk.monitor.report_sums import Bill, Span
    from cdao_sdk.monitor.snapshot import Snapshot

__all__ = ["Contents", "contents_of", "cost_note", "facts_document", "summary_text"]


@dataclass(frozen=True)
class Contents:
    """What a report shows.

    Attributes:
        snapshot: The jobs as every view has them.
        run: The execution.
        entries: Its jobs.
        lines: The same by node.
        bill: What they cost.
        span: When it was.
        path: The jobs that decided when the last one ended.
    """

    snapshot: Snapshot
    run: RunFacts
    entries: tuple[Entry, ...]
    lines: tuple[Line, ...]
    bill: Bill
    span: Span
    path: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """What runs, without its module; else the execution's id."""
        return self.run.workflow.rpartition(".")[2] or self.run.id or self.snapshot.title

    @property
    def status(self) -> str:
        """How it stands, in one word."""
        return self.snapshot.outcome

    @property
    def failed(self) -> tuple[Entry, ...]:
        """The jobs that failed and were not made good by a later try."""
        found: list[Entry] = []
        for line in self.lines:
            last = {entry.row.node or entry.row.name: entry for entry in line.entries}
            found += [entry for entry in last.values() if entry.row.state == "failed"]
        return tuple(found)

    @property
    def retried(self) -> int:
        """How many tries failed and were made good."""
        failed = sum(entry.row.state == "failed" for entry in self.entries)
        return failed - len(self.failed)


def contents_of(snapshot: Snapshot, run: RunFacts, described: Mapping[str, JobFacts]) -> Contents:
    """Compute what a report shows.

    Args:
        snapshot: The jobs.
        run: The execution.
        described: What descriptions told, by the job's name; any may be missing.
    """
    entries = entries_of(snapshot, described)
    return Contents(
        snapshot=snapshot,
        run=run,
        entries=entries,
        lines=lines_of(entries),
        bill=bill(entries),
        span=span(entries, run, snapshot),
        path=critical_path(entries, run.needs),
    )


def cost_note(contents: Contents) -> str:
    """What the cost is made of, in words."""
    known = contents.bill
    if known.usd is None:
        return "no list price is known" if known.jobs else ""
    as_of = f" of {known.as_of}" if known.as_of else ""
    note = f"list price{as_of}, without storage"
    if known.priced < known.jobs:
        note += f"; prices known for {known.priced:,} of {known.jobs:,} jobs"
    return f"{note}; AWS charged nothing" if contents.run.is_embedded else note


def summary_text(contents: Contents) -> str:
    """The report in a few lines; the first tells the most."""
    known, time = contents.bill, duration(contents.span.seconds)
    jobs = f"{known.jobs:,} job{'' if known.jobs == 1 else 's'}"
    cost = "cost unknown" if known.usd is None else f"{dollars(known.usd)} at list price"
    execution = f" ({contents.run.id})" if contents.run.id not in ("", contents.name) else ""
    lines = [f"{contents.name}{execution}: {contents.status}, {jobs}, {time}, {cost}"]
    if known.usd is not None and known.priced < known.jobs:
        lines.append(f"  prices known for {known.priced:,} of {known.jobs:,} jobs")
    if (saved := saved_words(known)) is not None:
        lines.append(f"  spot saved {' '.join(filter(None, saved))}")
    if len(contents.path) > 1:
        lines.append(f"  critical path: {path_words(contents.path)}")
    lines += [
        f"  {entry.title}: {told.cause} {told.mend}" if told else f"  {entry.title}: failed"
        for entry in contents.failed[:5]
        for told in (entry.facts.diagnosis,)
    ]
    return "\n".join(lines)


def saved_words(known: Bill) -> tuple[str, str] | None:
    """What spot saved, in percent and in dollars; None without spot."""
    if known.saved_percent is None:
        return None
    usd = "" if known.saved_usd is None else f"({dollars(known.saved_usd)})"
    return f"{known.saved_percent:.0f}%", usd


def path_words(path: Sequence[Entry], most: int = 8) -> str:
    """The jobs of a path, one after the other."""
    titles = [entry.title for entry in path]
    titles = [title for index, title in enumerate(titles) if title not in titles[index - 1 : index]]
    if len(titles) > most:
        titles = [*titles[: most - 2], "…", titles[-1]]
    return " → ".join(titles)


def facts_document(contents: Contents) -> dict[str, JsonValue]:
    """The report as JSON writes it; times are ISO 8601 in UTC, unknown values null."""
    run, known, when = contents.run, contents.bill, contents.span
    return {
        "execution": run.id or None,
        "workflow": run.workflow or None,
        "project": run.project or None,
        "domain": run.domain or None,
        "region": run.region or None,
        "embedded": run.is_embedded,
        "status": contents.snapshot.status or None,
        "outcome": contents.snapshot.outcome,
        "error": contents.snapshot.error or None,
        "note": contents.snapshot.note or None,
        "started": iso_time(when.start),
        "ended": iso_time(when.end) if when.is_over else None,
        "seconds": round(when.seconds, 3),
        "jobs_count": known.jobs,
        "cost_usd": known.usd,
        "cost_known_for_jobs": known.priced,
        "cost_as_of": known.as_of or None,
        "spot_saved_usd": known.saved_usd,
        "spot_saved_percent": known.saved_percent,
        "instance_seconds": known.instance_seconds,
        "critical_path": [entry.row.name for entry in contents.path],
        "taken": iso_time(contents.snapshot.taken),
        "sdk_version": run.sdk_version or None,
        "jobs": [_job(entry) for entry in contents.entries],
    }


def _job(entry: Entry) -> dict[str, JsonValue]:
    told = entry.facts.diagnosis
    diagnosis: dict[str, JsonValue] | None = None
    if told is not None:
        diagnosis = {
            "class": told.failure_class,
            "cause": told.cause,
            "mend": told.mend,
            "retryable": told.retryable,
        }
    return {
        **job_document(entry.row),
        "spot_savings_percent": entry.savings_percent,
        "billable_seconds": entry.billable_seconds,
        "cost_usd": entry.cost_usd,
        "diagnosis": diagnosis,
    }
