"""What a report tells: an execution's jobs, put together from rows and descriptions. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cdao_sdk.flyte.deck_facts import Cost, JobFacts, Stage
from cdao_sdk.kinds.failures import translate
from cdao_sdk.monitor.job_facts import total_usd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from cdao_sdk.kinds.failures import Diagnosis
    from cdao_sdk.monitor.snapshot import JobRow, Snapshot, State

__all__ = ["MOST_DIAGNOSED", "Entry", "Line", "RunFacts", "ends_at", "entries_of", "lines_of"]

MOST_DIAGNOSED = 40
"""A report says of so many failed jobs why; a diagnosis takes some 30 ms."""

# So many jobs of one kind are one line of the picture.
_FOLDED_FROM = 7
_TRY = re.compile(r" \(try \d+\)$")
_ELEMENT = re.compile(r"(?P<above>.+)-d?n\d+")  # of a map, or made by a dynamic task


@dataclass(frozen=True)
class RunFacts:
    """What is known of the execution beside its jobs; all of it may be missing.

    Attributes:
        id: The execution's id, or the name of the one job that is told of.
        workflow: What it runs.
        project: Flyte's project.
        domain: Flyte's domain.
        region: AWS region.
        is_embedded: Whether the jobs ran on the SageMaker that is built in: nobody pays for them.
        started: When the execution began.
        ended: When it ended.
        needs: Node's id → ids of the nodes that it waits for.
        url: Where Flyte's console shows it.
        sdk_version: Of this package.
    """

    id: str = ""
    workflow: str = ""
    project: str = ""
    domain: str = ""
    region: str = ""
    is_embedded: bool = False
    started: datetime | None = None
    ended: datetime | None = None
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict[str, "Sequence[str]"])
    url: str = ""
    sdk_version: str = ""


@dataclass(frozen=True)
class Entry:
    """One job of the report.

    Attributes:
        row: As every view has it.
        facts: As its deck has it: from SageMaker's description, or, without one, from the row.
        is_described: Whether there was a description.
    """

    row: JobRow
    facts: JobFacts
    is_described: bool = False

    @property
    def cost_usd(self) -> float | None:
        """What it has cost so far at the list price; None where that is unknown."""
        if self.facts.cost is not None:
            return self.facts.cost.usd
        never_began = self.is_described and self.row.is_over and self.facts.started is None
        return 0.0 if never_began and self.billable_seconds is None else None

    @property
    def savings_percent(self) -> float | None:
        """What spot saved; None without spot, and before the end."""
        known = self.row.savings_percent
        return known if known is not None else self.facts.savings_percent

    @property
    def billable_seconds(self) -> int | None:
        """Seconds paid for, of each instance; None while that is unknown."""
        known = self.row.billable_seconds
        return known if known is not None else self.facts.billable_seconds

    @property
    def instance_seconds(self) -> float | None:
        """Seconds paid for, of all its instances."""
        seconds = self.billable_seconds
        return None if seconds is None else float(seconds) * max(1, self.row.instance_count)

    @property
    def interruptions(self) -> int:
        """How often its spot instances were reclaimed."""
        return sum(stage.status == "Interrupted" for stage in self.facts.stages)

    @property
    def title(self) -> str:
        """Its label without the number of the try."""
        return _TRY.sub("", self.row.label)


@dataclass(frozen=True)
class Line:
    """What stands in one line of the report: a node's tries, or the many jobs of a map.

    Attributes:
        title: What it is called.
        entries: Its jobs, in the order of their creation.
        is_map: Whether its jobs are one of many each, and not tries of the same.
    """

    title: str
    entries: tuple[Entry, ...]
    is_map: bool = False

    @property
    def last(self) -> Entry:
        """The job that came last."""
        return self.entries[-1]

    @property
    def state(self) -> State:
        """Where it stands: as its last try does, or the worst of a map's."""
        if not self.is_map:
            return self.last.row.state
        states = self.states
        order: tuple[State, ...] = ("running", "waiting", "failed", "stopped", "succeeded")
        return next(state for state in order if states[state])

    @property
    def states(self) -> Counter[State]:
        """How many of its jobs stand where; of several tries of a node the last counts."""
        last: dict[str, State] = {
            entry.row.node or entry.row.name: entry.row.state for entry in self.entries
        }
        return Counter(last.values())

    @property
    def cost_usd(self) -> float | None:
        """Of all its jobs whose cost is known."""
        return total_usd(entry.cost_usd for entry in self.entries)

    def anchor(self, anchors: Mapping[str, str]) -> str:
        """Where more is told of its last job, or of any; empty if nowhere.

        Args:
            anchors: Job's name → id of an element.
        """
        found = (anchors.get(entry.row.name, "") for entry in reversed(self.entries))
        return next(filter(None, found), "")

    @property
    def seconds(self) -> float:
        """From the creation of its first job to its end, or to now."""
        first = min(entry.row.created for entry in self.entries)
        return max((ends_at(entry) - first).total_seconds() for entry in self.entries)


def ends_at(entry: Entry) -> datetime:
    """When a job ended, or until when it has been seen."""
    row = entry.row
    if row.ended is not None:
        return max(row.ended, row.created)
    return max(entry.facts.taken or row.created, row.created)


def entries_of(snapshot: Snapshot, described: Mapping[str, JobFacts]) -> tuple[Entry, ...]:
    """The jobs of a snapshot, in its order.

    Args:
        snapshot: The jobs.
        described: What descriptions told, by the job's name; any may be missing.
    """
    unsaid = [row for row in snapshot.jobs if row.state == "failed" and row.diagnosis is None]
    diagnosed = {row.name for row in unsaid[:MOST_DIAGNOSED]}

    def entry(row: JobRow) -> Entry:
        facts = described.get(row.name)
        known = _completed(facts or _from_row(row), row, snapshot)
        if known.diagnosis is None and row.name in diagnosed:
            known = replace(known, diagnosis=_diagnosis(row))
        return Entry(row, known, is_described=facts is not None)

    return tuple(map(entry, snapshot.jobs))


def _completed(known: JobFacts, row: JobRow, snapshot: Snapshot) -> JobFacts:
    """A job's facts with what only its row tells."""
    series = {
        name: tuple((at.timestamp(), value) for at, value in points)
        for name, points in row.metric_series.items()
    }
    cost = known.cost
    if row.cost_usd is not None:
        cost = Cost(row.cost_usd, cost.as_of if cost else "")
    return replace(
        known,
        cost=cost,
        series={**known.series, **series},
        metrics={**known.metrics, **row.metrics},
        hyperparameters=known.hyperparameters or row.hyperparameters,
        links=known.links or row.links,
        diagnosis=known.diagnosis or row.diagnosis,
        log_tail=known.log_tail or row.log_tail,
        taken=snapshot.taken,
        # Each of them stands under the execution's name.
        execution="",
    )


def _diagnosis(row: JobRow) -> Diagnosis:
    return translate(
        row.error,
        log_tail=row.log_tail,
        status=row.status,
        secondary_status=row.secondary_status,
        kind=row.kind,
        instance_type=row.instance_type,
    )


def _from_row(row: JobRow) -> JobFacts:
    if row.started is not None:
        begun = Stage("Starting", row.created, row.started)
        stages = (begun, Stage("Running", row.started, row.ended))
    else:
        # Nobody knows how long it was starting: its time is in one piece.
        word = "Starting" if row.state == "waiting" else "Running"
        stages = (Stage(word, row.created, row.ended),)
    return JobFacts(
        job_name=row.name,
        title=row.kind_title,
        state=row.state,
        status=row.status,
        secondary_status=row.secondary_status,
        message=row.message,
        arn=row.arn,
        hosts=((row.instance_type, row.instance_count),) if row.instance_type else (),
        spot=row.spot,
        created=row.created,
        started=row.started,
        ended=row.ended,
        billable_seconds=row.billable_seconds,
        savings_percent=row.savings_percent,
        stages=stages,
        outputs=(("output", row.artifact),) if row.artifact else (),
    )


def lines_of(entries: Sequence[Entry]) -> tuple[Line, ...]:
    """The jobs by node: tries of one node together, the many jobs of a map in one line."""
    maps = _maps(entries)
    lines: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        group = _group(entry)
        own = (entry.row.execution, entry.row.node or entry.row.name)
        lines.setdefault(group if group in maps else own, []).append(entry)
    return tuple(_lines(lines, maps))


def _lines(
    lines: Mapping[tuple[str, ...], Sequence[Entry]], maps: set[tuple[str, ...]]
) -> Iterator[Line]:
    for key, members in lines.items():
        in_order = tuple(sorted(members, key=lambda entry: (entry.row.created, entry.row.name)))
        is_map = key in maps
        title = in_order[0].title
        yield Line(title.partition(" ")[0] if is_map else title, in_order, is_map)


def _maps(entries: Sequence[Entry]) -> set[tuple[str, ...]]:
    sizes = Counter(group for group in map(_group, entries) if group)
    return {group for group, size in sizes.items() if size >= _FOLDED_FROM}


def _group(entry: Entry) -> tuple[str, ...]:
    """What a job is one of many of; empty if of nothing."""
    row = entry.row
    found = _ELEMENT.fullmatch(row.node)
    above = row.group or (found["above"] if found else "")
    word = entry.title.partition(" ")[0]
    return (row.execution, above, row.kind, word) if above else ()
