"""Which lines of a snapshot a notebook shows: groups fold, pages turn. Pure functions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from cdao_sdk.monitor.groups import group_of
from cdao_sdk.monitor.job_facts import total_usd

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot, State

__all__ = ["CHOICES", "Line", "Page", "count_words", "lines_of", "page_of"]

CHOICES: Mapping[str, tuple[State, ...]] = {
    "all": ("waiting", "running", "succeeded", "failed", "stopped"),
    "going on": ("waiting", "running"),
    "failed": ("failed",),
    "done": ("succeeded",),
    "stopped": ("stopped",),
}
"""What the view may be narrowed to, and the states that are shown then."""

# Groups up to this size are shown open at first.
_SMALL_GROUP = 8
_SHORTEST_PREFIX = 3
_GROUP_ORDER: tuple[State, ...] = ("running", "waiting", "failed", "stopped", "succeeded")
_COUNT_WORDS: Mapping[State, str] = {
    "failed": "failed",
    "running": "running",
    "waiting": "waiting",
    "stopped": "stopped",
    "succeeded": "done",
}


@dataclass(frozen=True)
class Line:
    """One line of the table: a job, or many that belong together.

    Attributes:
        key: The job's name, or the group's.
        label: What people call it.
        rows: The job, or all of the group.
        elements: The group's elements, of several tries the last; the job.
        is_group: Whether it stands for many.
        is_open: Whether the jobs of the group follow as lines of their own.
        depth: 1 for a job within a group, else 0.
    """

    key: str
    label: str
    rows: tuple[JobRow, ...]
    elements: tuple[JobRow, ...]
    is_group: bool = False
    is_open: bool = False
    depth: int = 0

    @property
    def state(self) -> State:
        """The job's state; a group goes on while one of its jobs does."""
        if not self.is_group:
            return self.rows[0].state
        states = {row.state for row in self.elements}
        return next(state for state in _GROUP_ORDER if state in states)

    @property
    def share_over(self) -> float:
        """How many of its elements are over, from 0 to 1."""
        return sum(row.is_over for row in self.elements) / len(self.elements)

    @property
    def cost_usd(self) -> float | None:
        """What its jobs have cost so far; None if no price is known."""
        return total_usd(row.cost_usd for row in self.rows)


@dataclass(frozen=True)
class Page:
    """A part of the lines.

    Attributes:
        lines: The lines on it.
        number: Which page, from 0.
        count: How many pages there are, at least 1.
        first: Number of its first line, from 1; 0 if there is none.
        total: How many lines there are on all pages.
    """

    lines: tuple[Line, ...]
    number: int
    count: int
    first: int
    total: int


def lines_of(snapshot: Snapshot, toggled: Collection[str] = (), choice: str = "all") -> list[Line]:
    """The lines of a snapshot, in the order of its jobs.

    A group stands where its first job does. Narrowed to some states, the jobs come without groups.

    Args:
        snapshot: The jobs.
        toggled: Keys of the groups that were opened or closed by hand.
        choice: One of :data:`CHOICES`.
    """
    if choice != "all":
        states = CHOICES[choice]
        return [_line_of(row) for row in snapshot.jobs if row.state in states]
    groups: dict[str, list[JobRow]] = {}
    for row in snapshot.jobs:
        groups.setdefault(row.group, []).append(row)
    lines: list[Line] = []
    for row in snapshot.jobs:
        members = groups.get(row.group, []) if row.group else []
        if len(members) < 2:
            lines.append(_line_of(row))
        elif row is members[0]:
            lines += _group_lines(row.group, members, toggled)
    return lines


def _group_lines(group: str, rows: Sequence[JobRow], toggled: Collection[str]) -> list[Line]:
    elements = group_of(group, rows).rows
    if len(elements) < 2:  # tries of the same
        return [_line_of(row) for row in rows]
    is_open = (len(rows) <= _SMALL_GROUP) != (group in toggled)
    label = _common_label(group, rows)
    head = Line(group, label, tuple(rows), elements, is_group=True, is_open=is_open)
    return [head, *(_line_of(row, depth=1) for row in rows)] if is_open else [head]


def _line_of(row: JobRow, depth: int = 0) -> Line:
    return Line(row.name, row.label, (row,), (row,), depth=depth)


def _common_label(group: str, rows: Sequence[JobRow]) -> str:
    labels = [row.label for row in rows]
    first, last = min(labels), max(labels)
    alike = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    )
    prefix = first[:alike].rstrip(" -_[(#0123456789")
    return prefix if len(prefix) >= _SHORTEST_PREFIX else group


def page_of(lines: Sequence[Line], number: int, size: int) -> Page:
    """A page of the lines; a number beyond the last page gives the last.

    Args:
        lines: All lines.
        number: Which page, from 0.
        size: Lines a page.
    """
    count = max(1, -(-len(lines) // size))
    number = min(max(number, 0), count - 1)
    shown = tuple(lines[number * size : (number + 1) * size])
    return Page(shown, number, count, number * size + 1 if shown else 0, len(lines))


def count_words(rows: Sequence[JobRow]) -> list[tuple[State, str]]:
    """How many jobs are in each state that occurs, what needs attention first.

    Example:
        >>> count_words([])
        []
    """
    counts = Counter(row.state for row in rows)
    return [
        (state, f"{counts[state]:,} {word}")
        for state, word in _COUNT_WORDS.items()
        if counts[state]
    ]
