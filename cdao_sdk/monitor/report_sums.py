"""What a report adds up: the bill, what spot saved, and which jobs decided how long it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.monitor.report_facts import ends_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from cdao_sdk.monitor.report_facts import Entry, RunFacts
    from cdao_sdk.monitor.snapshot import Snapshot

__all__ = ["Bill", "Span", "bill", "critical_path", "span"]


@dataclass(frozen=True)
class Bill:
    """What jobs have cost at list prices, storage excluded.

    Attributes:
        jobs: How many there are.
        priced: Of how many the cost is known.
        usd: Their cost; None if none is known.
        as_of: ISO date of the oldest price; empty if that is unknown.
        saved_usd: What spot saved; None where that is unknown.
        saved_percent: The same, of what the spot jobs would have cost; of their time where costs
            are unknown; None without spot.
        instance_seconds: Seconds paid for, of all instances; None if none are known.
    """

    jobs: int
    priced: int
    usd: float | None
    as_of: str
    saved_usd: float | None
    saved_percent: float | None
    instance_seconds: float | None


@dataclass(frozen=True)
class Span:
    """The time that a report is about.

    Attributes:
        start: Its begin.
        end: Its end, or now.
        is_over: Whether it has ended.
    """

    start: datetime
    end: datetime
    is_over: bool

    @property
    def seconds(self) -> float:
        """Its length."""
        return max(0.0, (self.end - self.start).total_seconds())

    def share(self, moment: datetime) -> float:
        """Where a moment lies in it, from 0 to 1."""
        if not self.seconds:
            return 0.0
        return min(max((moment - self.start).total_seconds() / self.seconds, 0.0), 1.0)


def bill(entries: Sequence[Entry]) -> Bill:
    """Add up what jobs have cost."""
    costs = [entry.cost_usd for entry in entries if entry.cost_usd is not None]
    dates = [entry.facts.cost.as_of for entry in entries if entry.facts.cost]
    paid = [entry.instance_seconds for entry in entries if entry.instance_seconds is not None]
    saved_usd, saved_percent = _saved(entries)
    return Bill(
        jobs=len(entries),
        priced=len(costs),
        usd=sum(costs) if costs else None,
        as_of=min(filter(None, dates), default=""),
        saved_usd=saved_usd,
        saved_percent=saved_percent,
        instance_seconds=sum(paid) if paid else None,
    )


def _saved(entries: Sequence[Entry]) -> tuple[float | None, float | None]:
    """In dollars and in percent of what would have been paid without spot."""
    spot = [entry for entry in entries if entry.savings_percent is not None]
    by_cost = [
        (cost, entry.savings_percent) for entry in spot if (cost := entry.cost_usd) is not None
    ]
    by_time = [
        (seconds, entry.savings_percent)
        for entry in spot
        if (seconds := entry.instance_seconds) is not None
    ]
    complete = len(by_cost) == len(spot)
    paid, full = _full(by_cost if complete else by_time)
    percent = (1 - paid / full) * 100 if full else None
    cost_paid, cost_full = _full(by_cost)
    return (cost_full - cost_paid if cost_full else None), percent


def _full(paid: Sequence[tuple[float, float | None]]) -> tuple[float, float]:
    """What was paid, and what it would have been without the savings."""
    known = [(amount, percent) for amount, percent in paid if percent is not None and percent < 100]
    full = sum(amount / (1 - percent / 100) for amount, percent in known)
    return sum(amount for amount, _ in known), full


def span(entries: Sequence[Entry], run: RunFacts, snapshot: Snapshot) -> Span:
    """From the execution's begin, or its first job's, to its end, or to now."""
    starts = [entry.row.created for entry in entries]
    begin = min([*starts, run.started] if run.started else starts, default=snapshot.taken)
    if not snapshot.jobs_are_over or snapshot.outcome == "running":
        return Span(begin, max(snapshot.taken, begin), is_over=False)
    ends = [ends_at(entry) for entry in entries]
    return Span(begin, max([*ends, run.ended] if run.ended else ends, default=begin), is_over=True)


def critical_path(
    entries: Sequence[Entry], needs: Mapping[str, Sequence[str]]
) -> tuple[Entry, ...]:
    """The jobs that decided when the last one ended: each waited for the one before.

    Args:
        entries: The jobs.
        needs: Node's id → ids of the nodes that it waits for; where it says nothing of a node, the
            job is taken that had ended last when the other began.
    """
    if not entries:
        return ()
    here = max(entries, key=lambda entry: (ends_at(entry), entry.row.created))
    path = [here]
    while (before := _before(here, entries, needs)) is not None:
        path.append(before)
        here = before
    return tuple(reversed(path))


def _before(
    entry: Entry, entries: Sequence[Entry], needs: Mapping[str, Sequence[str]]
) -> Entry | None:
    row = entry.row
    earlier = [
        other
        for other in entries
        if other.row.created < row.created and ends_at(other) <= ends_at(entry)
    ]
    own = [other for other in earlier if row.node and other.row.node == row.node]
    if not own:
        own = _waited_for(row.node, row.created, earlier, needs)
    return max(own, key=lambda other: (ends_at(other), other.row.created), default=None)


def _waited_for(
    node: str, created: datetime, earlier: Sequence[Entry], needs: Mapping[str, Sequence[str]]
) -> list[Entry]:
    names = list(_prefixes(node))
    if not any(name in needs for name in names):
        return [other for other in earlier if ends_at(other) <= created]
    above = set(_nodes_above(names, needs, {other.row.node for other in earlier}))
    return [other for other in earlier if above.intersection(_prefixes(other.row.node))]


def _nodes_above(
    names: Sequence[str], needs: Mapping[str, Sequence[str]], with_jobs: set[str]
) -> Iterator[str]:
    """The nodes that these wait for; where one has made no job, those that it waited for."""
    jobs = {prefix for node in with_jobs for prefix in _prefixes(node)}
    waiting = [upstream for name in names for upstream in needs.get(name, ())]
    seen: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in jobs:
            yield node
        else:
            waiting += needs.get(node, ())


def _prefixes(node: str) -> Iterator[str]:
    """A node's id, and those of the nodes that it is a part of.

    Example:
        >>> list(_prefixes("n1-n0-3"))
        ['n1-n0-3', 'n1-n0', 'n1']
    """
    while node:
        yield node
        node = node.rpartition("-")[0]
