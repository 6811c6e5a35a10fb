"""Plain lines for GitHub Actions, with groups, annotations and a summary of the step.

What jobs print must not command the runner: nothing of theirs begins a line, and the older form
of commands, ``##[…]``, which the runner looks for anywhere in a line, is broken up.
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands, 2026-11
"""

from __future__ import annotations

import html
import logging
from typing import TYPE_CHECKING

from cdao_sdk.catalog.prices import dollars
from cdao_sdk.monitor import wording
from cdao_sdk.monitor.bill import bill_of
from cdao_sdk.monitor.groups import JobGroup, fold, same_failures
from cdao_sdk.monitor.plain import PlainView, end_lines, failure_lines, result_lines
from cdao_sdk.monitor.source_place import Checkout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Literal, TextIO

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot, State

__all__ = ["GithubView", "annotation", "step_summary"]

logger = logging.getLogger(__name__)

_MOST_ANNOTATIONS = 9  # GitHub shows ten errors of a step; the last says how many more there are
_MOST_ROWS = 300  # a summary may have 1 MiB; a row with a long error has about 2 KiB
_MOST_GROUPS = 50
_ERROR_LENGTH = 1000
_SIGNS: Mapping[State, str] = {
    "waiting": "⏳",
    "running": "🔵",
    "succeeded": "✅",
    "failed": "❌",
    "stopped": "⏹️",
}


def annotation(
    level: Literal["error", "warning", "notice"],
    title: str,
    text: str,
    place: tuple[str, int] | None = None,
) -> str:
    """A workflow command that shows a text beside the run.

    Args:
        level: How it is shown.
        title: Its heading.
        text: What it says.
        place: File, relative to the repository, and line that it is shown at, too.

    Example:
        >>> annotation("error", "train: failed", "50% done\\nno memory")
        '::error title=train%3A failed::50%25 done%0Ano memory'
        >>> annotation("error", "failed", "why", ("flows/a.py", 8))
        '::error file=flows/a.py,line=8,title=failed::why'
    """
    where = f"file={_property(place[0])},line={place[1]}," if place else ""
    return f"::{level} {where}title={_property(title)}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def step_summary(snapshot: Snapshot) -> str:
    """The jobs as Markdown, for ``$GITHUB_STEP_SUMMARY``."""
    entries = fold(snapshot.jobs)
    outcome = snapshot.status or snapshot.outcome.upper()
    lines = [
        f"### {_markdown(snapshot.title)}: {outcome}",
        "",
        "| step | kind | status | time | instance | cost | metrics |",
        "| --- | --- | --- | ---: | --- | ---: | --- |",
        *(f"| {' | '.join(_cells(entry))} |" for entry in entries[:_MOST_ROWS]),
    ]
    if len(entries) > _MOST_ROWS:
        lines += ["", f"… and {len(entries) - _MOST_ROWS} more jobs"]
    if bill := bill_of(snapshot.jobs).words:
        lines += ["", f"Cost: {_markdown(bill)}"]
    for rows in same_failures(snapshot.jobs)[:_MOST_ANNOTATIONS]:
        why = _markdown(_why(rows[0]))
        lines += ["", f"**{_markdown(_with_others(rows))}** (`{rows[0].name}`) failed: {why}"]
    return "\n".join([*lines, "", ""])


def _cells(entry: JobRow | JobGroup) -> list[str]:
    cost = "–" if entry.cost_usd is None else dollars(entry.cost_usd)  # unknown
    time = wording.duration(entry.elapsed_seconds)
    sign = _SIGNS[entry.state]
    if isinstance(entry, JobGroup):
        title, kind = f"{entry.title} ×{len(entry.rows)}", entry.rows[0].kind_title  # times
        cells = [title, kind, f"{sign} {entry.words}", time, entry.instances, cost, ""]
    else:
        instances = wording.instances(entry.instance_type, entry.instance_count)
        if entry.spot:
            instances += f", {wording.savings(entry.savings_percent)}"
        status = f"{sign} {entry.status_words}"
        metrics = wording.metric_list(entry.metrics)
        cells = [entry.label, entry.kind_title, status, time, instances, cost, metrics]
    return [_markdown(cell) for cell in cells]


def _markdown(text: str) -> str:
    """Text that Markdown takes word for word, also in a table's cell."""
    one_line = " ".join(text.split())
    escaped = html.escape(one_line[:_ERROR_LENGTH], quote=False)
    return "".join(
        f"\\{character}" if character in "\\`*_[]|~" else character for character in escaped
    )


def _with_others(rows: Sequence[JobRow]) -> str:
    return rows[0].label + (f" and {len(rows) - 1} more" if len(rows) > 1 else "")


def _why(row: JobRow) -> str:
    if row.diagnosis is None:
        return row.error
    return f"{row.diagnosis.cause} {row.diagnosis.mend}"


class GithubView(PlainView):
    """Writes for the log of a GitHub Actions step.

    Args:
        stream: Where to.
        summary: The file that becomes the step's summary; None without one.
        checkout: The repository's folder: errors are shown at the lines that raised them.
    """

    def __init__(
        self, stream: TextIO, summary: Path | None = None, checkout: Path | None = None
    ) -> None:
        super().__init__(stream)
        self._summary = summary
        self._checkout = Checkout(checkout) if checkout else None

    def write(self, lines: Iterable[str]) -> None:
        """Write lines that are no commands."""
        super().write(_harmless(part) for line in lines for part in line.splitlines() or [""])

    def finish(self, snapshot: Snapshot) -> None:
        """Write results, each failure in a group, annotations, and the step's summary."""
        self.write(result_lines(snapshot))
        failed = [row for row in snapshot.jobs if row.error][:_MOST_GROUPS]
        for row in failed:
            self._command([f"::group::{_data(f'log of {row.label} ({row.name})')}"])
            self.write(failure_lines(row))
            self._command(["::endgroup::"])
        self.write(end_lines(snapshot, told=any(map(snapshot.tells_of, failed))))
        self._command(_annotations(snapshot, self._checkout))
        self._append_summary(snapshot)

    def _command(self, lines: Iterable[str]) -> None:
        super().write(lines)

    def _append_summary(self, snapshot: Snapshot) -> None:
        if self._summary is None:
            return
        try:
            with self._summary.open("a", encoding="utf-8") as file:
                file.write(step_summary(snapshot))
        except OSError as error:  # the outcome counts, not its picture
            logger.warning("the step's summary could not be written: %s", error)


def _harmless(line: str) -> str:
    line = line.replace("##[", "# #[")
    return f"| {line}" if line.lstrip().startswith("::") else line


def _annotations(snapshot: Snapshot, checkout: Checkout | None) -> list[str]:
    alike = same_failures(snapshot.jobs)
    # What failed and was tried again with success is worth a word, not an alarm.
    level = "warning" if snapshot.outcome == "succeeded" else "error"
    lines = [
        annotation(
            level,
            f"{_with_others(rows)} failed",
            _why(rows[0]),
            checkout.place_of(rows[0].error) if checkout else None,
        )
        for rows in alike[:_MOST_ANNOTATIONS]
    ]
    if len(alike) > _MOST_ANNOTATIONS:
        more = f"{sum(map(len, alike[_MOST_ANNOTATIONS:]))} more jobs failed; see the log."
        lines.append(annotation(level, snapshot.title, more))
    if snapshot.outcome == "stopped":
        lines.append(annotation("warning", snapshot.title, "It was stopped."))
    elif snapshot.error and not alike:
        lines.append(annotation("error", snapshot.title, snapshot.error))
    if bill := bill_of(snapshot.jobs).words:
        lines.append(annotation("notice", f"cost of {snapshot.title}", bill))
    return lines
