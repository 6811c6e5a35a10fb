"""A live table for terminals. The only module of the views that imports rich."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cdao_sdk.monitor import wording

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TextIO

    from rich.console import RenderableType

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot, State

__all__ = ["TerminalView", "render"]

_STYLES: Mapping[State, str] = {
    "waiting": "yellow",
    "running": "cyan",
    "succeeded": "green",
    "failed": "bold red",
    "stopped": "magenta",
}
_SIGNS: Mapping[State, str] = {
    "waiting": "○",
    "running": "●",
    "succeeded": "✔",
    "failed": "✖",
    "stopped": "■",
}
# Which jobs stay in sight when the screen is too short for all.
_RANKS: Sequence[State] = ("failed", "running", "waiting", "stopped", "succeeded")
_GAP = 2  # blanks between two columns
_SHORTEST_LABEL = 12
# Lines of the screen that the table cannot have: title, head, note and the cursor's own.
_OTHER_LINES = 8


def _short_status(row: JobRow) -> str:
    return row.status if row.is_over else row.secondary_status or row.status


def _spot(row: JobRow) -> str:
    if not row.spot:
        return ""
    return "yes" if row.savings_percent is None else f"-{row.savings_percent:.0f}%"


def _billed(row: JobRow) -> str:
    return "" if row.billable_seconds is None else f"{row.billable_seconds}s"


@dataclass(frozen=True)
class _Column:
    """A column, and how soon it goes when there is no room: the highest first."""

    title: str
    cell: Callable[[JobRow], str]
    priority: int


_COLUMNS = (
    _Column("JOB", lambda row: row.label, 0),
    _Column("KIND", lambda row: row.kind_title, 3),
    _Column("STATUS", lambda row: f"{_SIGNS[row.state]} {_short_status(row)}", 0),
    _Column("TIME", lambda row: wording.duration(row.elapsed_seconds), 1),
    _Column("INSTANCE", lambda row: wording.instances(row.instance_type, row.instance_count), 2),
    _Column("SPOT", _spot, 4),
    _Column("BILLED", _billed, 5),
)


def _fitting(rows: Sequence[JobRow], width: int) -> list[tuple[_Column, int]]:
    """The columns that fit, in their order, with the width of each; the label may shrink."""
    used = [column for column in _COLUMNS if any(column.cell(row) for row in rows)]
    widths = {
        column.title: max(len(column.title), *(len(column.cell(row)) for row in rows))
        for column in used
    }
    least = {**widths, "JOB": min(widths.get("JOB", 0), _SHORTEST_LABEL)}
    kept = list(used)
    while sum(least[column.title] + _GAP for column in kept) - _GAP > width:
        dropped = max(kept, key=lambda column: column.priority)
        if dropped.priority == 0:
            break
        kept.remove(dropped)
    others = sum(widths[column.title] + _GAP for column in kept if column.title != "JOB")
    widths["JOB"] = max(min(widths.get("JOB", 0), width - others), _SHORTEST_LABEL)
    return [(column, widths[column.title]) for column in kept]


def _table(rows: Sequence[JobRow], width: int) -> Table:
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim")
    fitting = _fitting(rows, width)
    for column, cells in fitting:
        justify = "right" if column.title in ("TIME", "SPOT", "BILLED") else "left"
        table.add_column(
            column.title, width=cells, no_wrap=True, overflow="ellipsis", justify=justify
        )
    for row in rows:
        style = _STYLES[row.state]
        table.add_row(
            *(
                Text(column.cell(row), style=style if column.title == "STATUS" else "")
                for column, _ in fitting
            )
        )
    return table


def _details(snapshot: Snapshot) -> Table:
    """Under the table: results, the last log line of running jobs, and what went wrong."""
    grid = Table.grid(padding=(0, _GAP))
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=24)
    grid.add_column(overflow="fold")
    for row in snapshot.jobs:
        label = Text(row.label, style=_STYLES[row.state])
        for fact in _facts(row, told=snapshot.tells_of(row)):
            grid.add_row(label, fact)
            label = Text("")
    return grid


def _facts(row: JobRow, *, told: bool) -> list[Text]:
    facts: list[Text] = []
    if row.metrics:
        facts.append(Text(wording.metric_list(row.metrics), style="bold"))
    if row.artifact:
        facts.append(Text(row.artifact, style="blue"))
    if not row.is_over and row.log_tail:
        facts.append(Text(row.log_tail[-1], style="dim", no_wrap=True, overflow="ellipsis"))
    if row.error and not told:
        facts.append(Text(f"{row.name}: {row.error}", style="red"))
        facts += [Text(f"| {line}", style="dim") for line in row.log_tail]
    return facts


def _shown(rows: Sequence[JobRow], most: int) -> tuple[Sequence[JobRow], str]:
    """As many jobs as have room, those that move or failed first, and a word on the others."""
    if len(rows) <= most:
        return rows, ""
    ranked = sorted(rows, key=lambda row: _RANKS.index(row.state))
    kept = {row.name for row in ranked[:most]}
    others = Counter(row.state for row in ranked[most:])
    words = ", ".join(f"{count} {state}" for state, count in others.items())
    return [row for row in rows if row.name in kept], f"… and {len(rows) - most} more: {words}"


def render(snapshot: Snapshot, width: int, height: int | None = None) -> RenderableType:
    """A snapshot as a table with the results under it.

    Args:
        snapshot: What to show.
        width: Columns of the screen.
        height: Lines of the screen; None shows every job.
    """
    most = len(snapshot.jobs) if height is None else max(height - _OTHER_LINES, 3)
    rows, others = _shown(snapshot.jobs, most)
    head = Text(snapshot.title, style="bold", overflow="fold")
    if snapshot.status:
        head.append(f"  {snapshot.status}", style=_STYLES[snapshot.outcome])
    parts: list[RenderableType] = [head]
    parts += [Text(""), _table(rows, width) if rows else Text("no job yet", style="dim")]
    if others:
        parts.append(Text(others, style="dim"))
    details = _details(snapshot)
    if details.row_count:
        parts += [Text(""), details]
    if snapshot.error:
        parts.append(Text(snapshot.error, style="red", overflow="fold"))
    if snapshot.note:
        parts.append(Text(snapshot.note, style="yellow", overflow="fold"))
    return Group(*parts)


class TerminalView:
    """A table that is painted over in place; its last state stays on the screen.

    Args:
        stream: The terminal.
    """

    shows_logs = True

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)
        self._live = Live(
            console=self._console, auto_refresh=False, transient=False, vertical_overflow="ellipsis"
        )
        self._is_open = True

    def paint(self, snapshot: Snapshot) -> None:
        """Paint over the last state; once closed nothing is painted any more."""
        if not self._is_open:
            return
        self._live.start()
        size = self._console.size
        self._live.update(render(snapshot, size.width, size.height), refresh=True)

    def finish(self, snapshot: Snapshot) -> None:
        """Leave every job and every result on the screen, however long."""
        if self._is_open:
            self._live.transient = True
            self.close()
        self._console.print(render(snapshot, self._console.width))

    def close(self) -> None:
        """Give the terminal back."""
        self._is_open = False
        self._live.stop()
