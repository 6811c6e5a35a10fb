"""The table's lines as styled text of exactly the screen's width."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from cdao_sdk.catalog.prices import dollars
from cdao_sdk.monitor import wording
from cdao_sdk.monitor.terminal.columns import GAP, fit
from cdao_sdk.monitor.terminal.signs import STYLES, bar
from cdao_sdk.monitor.terminal.state import GroupLine, JobLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdao_sdk.monitor.groups import JobGroup
    from cdao_sdk.monitor.snapshot import JobRow, Snapshot, State
    from cdao_sdk.monitor.terminal.columns import Fitted
    from cdao_sdk.monitor.terminal.signs import Signs
    from cdao_sdk.monitor.terminal.state import Line

__all__ = ["Table", "cut", "shown_lines"]

_POINTER_CELLS = 2
_GROUP_BAR = 10
# Which lines stay in sight when the screen is too short for all.
_RANKS: Sequence[State] = ("failed", "running", "waiting", "stopped", "succeeded")


def cut(text: str, width: int, signs: Signs) -> str:
    """Text of one line, in so many cells at the most."""
    flat = " ".join(text.splitlines())
    if cell_len(flat) <= width:
        return flat
    if width <= len(signs.ellipsis):
        return set_cell_size(flat, max(width, 0))
    return set_cell_size(flat, width - len(signs.ellipsis)).rstrip() + signs.ellipsis


class Table:
    """Lays out lines in columns that stay where they are while one scrolls.

    Args:
        lines: All lines that there are.
        snapshot: All jobs.
        width: Cells of the screen.
        signs: The characters to use.
        pointer: Whether there is room for a pointer before each line.
    """

    def __init__(
        self, lines: Sequence[Line], snapshot: Snapshot, width: int, signs: Signs, *, pointer: bool
    ) -> None:
        self._signs = signs
        self._left = _POINTER_CELLS if pointer else 0
        self._width = width - self._left
        titles = [self._group_title(line) for line in lines if isinstance(line, GroupLine)]
        titles += [
            "  " + line.row.label for line in lines if isinstance(line, JobLine) and line.depth
        ]
        rows = [line.row for line in lines if isinstance(line, JobLine)] or snapshot.jobs
        self._columns = fit(rows, self._width, signs, titles=titles, measure=cell_len)

    def head(self) -> Text:
        """The columns' names."""
        cells = [self._cell(column, column.head) for column in self._columns]
        return Text(" " * self._left + (" " * GAP).join(cells).rstrip(), style="dim")

    def line(self, line: Line, *, is_selected: bool = False) -> Text:
        """One line of the table."""
        text = Text(no_wrap=True)
        if self._left:
            text.append((self._signs.pointer if is_selected else "").ljust(self._left), "bold cyan")
        if isinstance(line, JobLine):
            self._append_job(text, line)
        elif isinstance(line, GroupLine):
            self._append_group(text, line)
        else:
            text.append(f"  {self._signs.ellipsis} {line.text}", "dim")
        if is_selected:
            text.stylize("bold")
        return text

    def _append_job(self, text: Text, line: JobLine) -> None:
        for index, column in enumerate(self._columns):
            content = column.cell(line.row, self._signs)
            if column.title == "STEP":
                content = "  " * line.depth + content
            style = _style(column.title, line.row)
            text.append(self._cell(column, content), style)
            if index < len(self._columns) - 1:
                text.append(" " * GAP)

    def _append_group(self, text: Text, line: GroupLine) -> None:
        """Step, bar and numbers; time and cost at the end of the line where they have room."""
        group, step = line.group, self._columns[0]
        text.append(self._cell(step, self._group_title(line)), "bold")
        room = self._width - step.width - GAP
        ends = [wording.duration(group.elapsed_seconds)]
        ends += [] if group.cost_usd is None else [dollars(group.cost_usd)]
        parts = [(f"{self._signs.states[group.state]} ", STYLES[group.state])]
        done = f"{bar(group.fraction_done, _GROUP_BAR, self._signs)} {group.fraction_done:4.0%}"
        words = _count_parts(group)
        needed = sum(cell_len(part) for part, _ in words) + 2
        if needed > room:
            words = self._short_count_parts(group)
            needed = sum(cell_len(part) for part, _ in words) + 2
        if needed + len(done) + GAP <= room:
            parts.append(
                (done + " " * GAP, STYLES["running" if group.fraction_done < 1 else group.state])
            )
            needed += len(done) + GAP
        parts += words
        if needed + sum(len(end) + GAP for end in ends) <= room:
            parts += [(" " * GAP + end, "dim") for end in ends]
        text.append(" " * GAP)
        for part, style in parts:
            text.append(part, style)
        text.truncate(self._left + self._width, overflow="ellipsis")

    def _short_count_parts(self, group: JobGroup) -> list[tuple[str, str]]:
        return [
            (f"{self._signs.states[state]}{group.counts[state]} ", STYLES[state])
            for state in _RANKS
            if group.counts[state]
        ]

    def _group_title(self, line: GroupLine) -> str:
        sign = self._signs.unfolded if line.is_open else self._signs.folded
        return f"{sign} {line.group.title} {self._signs.times}{len(line.group.rows)}"

    def _cell(self, column: Fitted, content: str) -> str:
        shown = cut(content, column.width, self._signs)
        blanks = " " * (column.width - cell_len(shown))
        return blanks + shown if column.right else shown + blanks


def _style(title: str, row: JobRow) -> str:
    if title in ("STATUS", "PROGRESS"):
        return STYLES[row.state]
    return "dim" if title == "KIND" else ""


def _count_parts(group: JobGroup) -> list[tuple[str, str]]:
    """The numbers of a group, failures in their colour."""
    before, comma, failed = group.words.rpartition(", ")
    style = STYLES["failed"] if group.counts["failed"] else ""
    return [(before + comma, ""), (failed, style)]


def shown_lines(lines: Sequence[Line], most: int, selected: str) -> tuple[Sequence[Line], str]:
    """As many lines as have room, and a word on the others.

    With a choice those around it, else those that failed or move, in their order.
    """
    if len(lines) <= most:
        return lines, ""
    most = max(most - 1, 1)  # the last line tells of the rest
    keys = [line.key for line in lines]
    if selected in keys:
        index = keys.index(selected)
        first = min(max(index - most // 2, 0), len(lines) - most)
        return lines[first : first + most], f"{first + 1} to {first + most} of {len(lines)}"
    ranked = sorted(lines, key=_rank)
    kept = {line.key for line in ranked[:most]}
    others = Counter(
        line.row.state for line in ranked[most:] if isinstance(line, JobLine)
    ).most_common()
    words = ", ".join(f"{count} {state}" for state, count in others)
    rest = f"{len(lines) - most:,} more"
    return [line for line in lines if line.key in kept], f"{rest}: {words}" if words else rest


def _rank(line: Line) -> int:
    if isinstance(line, JobLine):
        # The failed elements of a group stand below it, after it.
        return 2 * _RANKS.index(line.row.state) + (1 if line.depth else 0)
    if isinstance(line, GroupLine):
        return 0
    return 2
