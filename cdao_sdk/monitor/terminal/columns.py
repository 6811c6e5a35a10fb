"""Which columns a width has room for, and how wide each is: pure text, no rich."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.catalog.prices import dollars
from cdao_sdk.monitor import wording
from cdao_sdk.monitor.terminal.signs import bar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk.monitor.snapshot import JobRow
    from cdao_sdk.monitor.terminal.signs import Signs

__all__ = ["GAP", "Fitted", "fit", "short_status"]

GAP = 2  # blanks between two columns
_LONGEST_STEP = 40
_SHORT_STEPS = (24, 12)
_LONGEST_STATUS = 26  # sign, blank, "DownloadingTrainingImage"
_SHORT_STATUSES = (20, 15)  # sign, blank, "InProgress" or most of a longer word
_BAR, _SHORT_BAR = 10, 5
_SPARKS = 8

Cell = Callable[["JobRow", "Signs"], str]


def short_status(row: JobRow) -> str:
    """The one of the two statuses that says more."""
    return row.status if row.is_over else row.secondary_status or row.status


def _step(row: JobRow, signs: Signs) -> str:
    del signs
    return row.label


def _status(row: JobRow, signs: Signs) -> str:
    return f"{signs.states[row.state]} {short_status(row)}"


def _progress(cells: int) -> Cell:
    def cell(row: JobRow, signs: Signs) -> str:
        if row.progress is None or row.is_over:
            return ""
        percent = f"{100 * row.progress:.0f}%".rjust(4)
        return f"{bar(row.progress, cells, signs)} {percent}" if cells else percent

    return cell


def _time(row: JobRow, signs: Signs) -> str:
    del signs
    return wording.duration(row.elapsed_seconds)


def _time_or_expected(row: JobRow, signs: Signs) -> str:
    return _time_of_expected(row, signs) if row.progress is None else _time(row, signs)


def _time_of_expected(row: JobRow, signs: Signs) -> str:
    time = wording.duration(row.elapsed_seconds)
    if row.is_over or row.expected_seconds is None:
        return time
    return f"{time}/{signs.about}{wording.duration(row.expected_seconds)}"


def _instance(row: JobRow, signs: Signs) -> str:
    count = f" {signs.times}{row.instance_count}" if row.instance_count > 1 else ""
    return f"{row.instance_type}{count}"


def _short_instance(row: JobRow, signs: Signs) -> str:
    return _instance(row, signs).removeprefix("ml.")


def _spot(row: JobRow, signs: Signs) -> str:
    del signs
    if not row.spot:
        return ""
    return "yes" if row.savings_percent is None else f"-{row.savings_percent:.0f}%"


def _cost(row: JobRow, signs: Signs) -> str:
    del signs
    return "" if row.cost_usd is None else dollars(row.cost_usd)


def _metric(sparks: int) -> Cell:
    def cell(row: JobRow, signs: Signs) -> str:
        if not row.metrics:
            return ""
        name, value = list(row.metrics.items())[-1]
        series = [point for _, point in row.metric_series.get(name, ())]
        course = wording.sparkline(series, sparks, signs.sparks) if sparks else ""
        return f"{name}={wording.number(value)}" + (f" {course}" if course else "")

    return cell


@dataclass(frozen=True)
class _Column:
    """A column, with its cells from the fullest form to the shortest.

    Attributes:
        title: Its head.
        forms: What a cell says, from the widest form to the narrowest.
        right: Whether its cells stand at the right.
        least: Each form is cut off down to so many cells, if need be; empty: never cut.
        most: Never wider than this; 0: as wide as it needs.
        short_head: The head of the last form, where the title is too wide.
    """

    title: str
    forms: tuple[Cell, ...]
    right: bool = False
    least: tuple[int, ...] = ()
    most: int = 0
    short_head: str = ""

    @property
    def heads(self) -> tuple[str, ...]:
        """The head of each form."""
        *others, _ = self.forms
        return (*(self.title for _ in others), self.short_head or self.title)


_COLUMNS: Mapping[str, _Column] = {
    column.title: column
    for column in (
        _Column("STEP", (_step, _step), least=_SHORT_STEPS, most=_LONGEST_STEP),
        _Column("KIND", (lambda row, _: row.kind_title, lambda row, _: row.kind)),
        _Column("STATUS", (_status, _status), least=_SHORT_STATUSES, most=_LONGEST_STATUS),
        _Column(
            "PROGRESS",
            (_progress(_BAR), _progress(_SHORT_BAR), _progress(0)),
            short_head="DONE",
        ),
        _Column("TIME", (_time_of_expected, _time_or_expected, _time), right=True),
        _Column("INSTANCE", (_instance, _short_instance)),
        _Column("SPOT", (_spot,), right=True),
        _Column("COST", (_cost,), right=True),
        _Column("METRIC", (_metric(_SPARKS), _metric(0)), most=36),
    )
}

# What is given up first when there is too little room: a form, or at the last the column itself.
_SACRIFICES = (
    *("TIME", "KIND", "PROGRESS", "INSTANCE", "METRIC", "STATUS", "TIME", "SPOT", "METRIC"),
    *("KIND", "PROGRESS", "STEP", "INSTANCE", "COST", "PROGRESS", "TIME"),
)


@dataclass(frozen=True)
class Fitted:
    """A column as it is shown.

    Attributes:
        title: Its name.
        head: What stands above it.
        width: In cells.
        right: Whether its cells stand at the right.
        cell: What it says of a job.
    """

    title: str
    head: str
    width: int
    right: bool
    cell: Cell


def fit(
    rows: Sequence[JobRow],
    width: int,
    signs: Signs,
    *,
    titles: Sequence[str] = (),
    measure: Callable[[str], int] = len,
) -> list[Fitted]:
    """The columns that have room, in their order.

    Args:
        rows: All that may come into sight, so that scrolling does not move the columns.
        width: Cells of the screen that the table may have.
        signs: The characters to use.
        titles: More texts of the first column: those of groups.
        measure: Tells how many cells a text takes.

    Returns:
        Columns; step and status are always among them.
    """

    @functools.cache
    def size(title: str, form: int) -> int:
        cell = _COLUMNS[title].forms[form]
        needed = max((measure(cell(row, signs)) for row in rows), default=0)
        return max([needed, *map(measure, titles)]) if title == "STEP" else needed

    fitting = _Fitting(width, size)
    fitting.give_up()
    fitting.take_back()
    return fitting.columns()


class _Fitting:
    """Columns that give up forms until they fit.

    Args:
        width: Cells that there are.
        size: Cells that a form of a column needs.
    """

    def __init__(self, width: int, size: Callable[[str, int], int]) -> None:
        self._width = width
        self._size = size
        self._form = dict.fromkeys(_COLUMNS, 0)
        self._kept = [title for title in _COLUMNS if size(title, 0) or title in ("STEP", "STATUS")]
        self._given_up: list[str] = []

    def give_up(self) -> None:
        """Take the next shorter forms, and drop columns, in their order."""
        for title in _SACRIFICES:
            if self._missing(self._least) <= 0:
                return
            if title in self._kept:
                self._given_up.append(title)
                self._form[title] += 1
                if self._form[title] == len(_COLUMNS[title].forms):
                    self._kept.remove(title)

    def take_back(self) -> None:
        """Of what was given up, the last first: a wide column may have made room for others."""
        for title in reversed(self._given_up):
            if title in self._kept:
                self._form[title] -= 1
                if self._missing(self._least) > 0:
                    self._form[title] += 1

    def columns(self) -> list[Fitted]:
        """The columns; step and status take what is left, and no more than they need."""
        widths = {title: self._wanted(title) for title in self._kept}
        for title in ("STEP", "STATUS"):
            missing = max(self._missing(widths.__getitem__), 0)
            widths[title] -= min(missing, widths[title] - self._least(title))
        return [
            Fitted(
                title,
                self._head(title),
                widths[title],
                _COLUMNS[title].right,
                _COLUMNS[title].forms[self._form[title]],
            )
            for title in self._kept
        ]

    def _head(self, title: str) -> str:
        return _COLUMNS[title].heads[self._form[title]]

    def _wanted(self, title: str) -> int:
        wide = max(self._size(title, self._form[title]), len(self._head(title)))
        return min(wide, _COLUMNS[title].most or wide)

    def _least(self, title: str) -> int:
        leasts, wanted = _COLUMNS[title].least, self._wanted(title)
        return min(leasts[self._form[title]], wanted) if leasts else wanted

    def _missing(self, width_of: Callable[[str], int]) -> int:
        return sum(width_of(title) + GAP for title in self._kept) - GAP - self._width
