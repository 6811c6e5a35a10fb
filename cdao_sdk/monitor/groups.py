"""Jobs that are many of one thing, such as the elements of a map, taken together."""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.monitor import wording
from cdao_sdk.monitor.job_facts import total_usd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk.monitor.snapshot import JobRow, State

__all__ = [
    "JobGroup",
    "count_states",
    "fold",
    "group_of",
    "same_failures",
    "span_seconds",
    "state_counts",
]

# So few are easier to read one by one.
_FEWEST = 5
_WORDS: Mapping[State, str] = {
    "succeeded": "ok",
    "running": "running",
    "waiting": "waiting",
    "failed": "failed",
    "stopped": "stopped",
}
_NUMBER = re.compile(r"\d+")
_FIRST_WORD = re.compile(r"[^ \[(#]+")


@dataclass(frozen=True)
class JobGroup:
    """Many jobs of one step.

    Attributes:
        key: Tells it from other groups.
        title: Short name of the step.
        rows: The jobs; of several tries of an element the last.
        earlier: Tries that were followed by another.
    """

    key: str
    title: str
    rows: tuple[JobRow, ...]
    earlier: tuple[JobRow, ...] = ()

    @functools.cached_property
    def counts(self) -> Mapping[State, int]:
        """How many of its elements are in which state."""
        return count_states(self.rows)

    @functools.cached_property
    def failed(self) -> tuple[JobRow, ...]:
        """Elements that failed."""
        return tuple(row for row in self.rows if row.state == "failed")

    @property
    def fraction_done(self) -> float:
        """How many of its elements are over, from 0 to 1."""
        return sum(row.is_over for row in self.rows) / len(self.rows)

    @property
    def state(self) -> State:
        """The worst that still matters: failed, else what goes on, else how it ended."""
        order: Sequence[State] = ("failed", "running", "waiting", "stopped", "succeeded")
        return next(state for state in order if self.counts[state])

    @property
    def words(self) -> str:
        """How many are where, such as ``"640 ok, 12 running, 348 waiting, 0 failed"``."""
        told: Sequence[State] = ("succeeded", "running", "waiting")
        parts = [f"{self.counts[state]} {_WORDS[state]}" for state in told if self.counts[state]]
        if self.counts["stopped"]:
            parts.append(f"{self.counts['stopped']} stopped")
        return ", ".join([*parts, f"{self.counts['failed']} failed"])

    @property
    def cost_usd(self) -> float | None:
        """What all tries have cost; None if no price is known."""
        return total_usd(row.cost_usd for row in (*self.rows, *self.earlier))

    @property
    def elapsed_seconds(self) -> float:
        """From the first creation to the last end, or to now."""
        return span_seconds((*self.rows, *self.earlier))

    @property
    def instances(self) -> str:
        """What its jobs run on, if all run on the same."""
        kinds = {(row.instance_type, row.instance_count) for row in self.rows}
        return wording.instances(*kinds.pop()) if len(kinds) == 1 else "mixed"


def count_states(rows: Sequence[JobRow]) -> Counter[State]:
    """How many jobs are in which state."""
    return Counter(row.state for row in rows)


def state_counts(rows: Sequence[JobRow]) -> list[tuple[State, str]]:
    """States that there are, with their numbers in words: what went wrong and what moves first."""
    order: Sequence[State] = ("failed", "running", "waiting", "succeeded", "stopped")
    counts = count_states(rows)
    return [(state, f"{counts[state]} {state}") for state in order if counts[state]]


def fold(rows: Sequence[JobRow], *, fewest: int = _FEWEST) -> list[JobRow | JobGroup]:
    """Rows, with the many of one group taken together where the first of them stood.

    Args:
        rows: The rows.
        fewest: Groups of fewer elements stay rows.
    """
    members: dict[str, list[JobRow]] = {}
    for row in rows:
        if row.group:
            members.setdefault(_key(row), []).append(row)
    groups = {
        key: group
        for key, found in members.items()
        if len((group := group_of(key, found)).rows) >= fewest
    }
    folded: list[JobRow | JobGroup] = []
    for row in rows:
        key = _key(row) if row.group else ""
        if key not in groups:
            folded.append(row)
        elif members[key][0] is row:
            folded.append(groups[key])
    return folded


def same_failures(rows: Sequence[JobRow]) -> list[list[JobRow]]:
    """The jobs that failed, those together that did so for the same reason."""
    reasons: dict[object, list[JobRow]] = {}
    for row in rows:
        if row.error:
            told = row.diagnosis
            reason = row.error if told is None else (told.failure_class, told.cause, told.mend)
            reasons.setdefault(reason, []).append(row)
    return list(reasons.values())


def _key(row: JobRow) -> str:
    return f"{row.execution}/{row.group}"


def group_of(key: str, rows: Sequence[JobRow]) -> JobGroup:
    """Rows of one group: of several tries of an element the last one counts.

    Args:
        key: Tells it from other groups.
        rows: Its jobs; at least one.
    """
    last: dict[str, JobRow] = {}
    for row in rows:
        element = row.node if row.node not in ("", row.group) else row.name
        if element not in last or last[element].attempt <= row.attempt:
            last[element] = row
    kept = {row.name for row in last.values()}
    in_order = sorted(last.values(), key=lambda row: _numbers(row.node))  # else as they came
    return JobGroup(
        key=key,
        title=_title(rows),
        rows=tuple(in_order),
        earlier=tuple(row for row in rows if row.name not in kept),
    )


@functools.lru_cache(maxsize=4096)
def _numbers(node: str) -> tuple[int, ...]:
    """The numbers in a node's id: n1-n10 comes after n1-n9."""
    return tuple(map(int, _NUMBER.findall(node)))


def _title(rows: Sequence[JobRow]) -> str:
    """The word that all labels begin with, else the group's own name."""
    words = {found[0] if (found := _FIRST_WORD.match(row.label)) else "" for row in rows}
    return words.pop() if len(words) == 1 and "" not in words else rows[0].group


def span_seconds(rows: Sequence[JobRow]) -> float:
    """From the first creation to the last end, or to now; 0 without rows."""
    if not rows:
        return 0.0
    first = min(row.created for row in rows)
    return max((row.created - first).total_seconds() + row.elapsed_seconds for row in rows)
