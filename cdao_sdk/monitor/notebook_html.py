"""A snapshot as static HTML, for saved notebooks: GitHub keeps tables, but neither CSS nor SVG."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from cdao_sdk.flyte.deck import is_web_link
from cdao_sdk.monitor import notebook_words as words
from cdao_sdk.monitor import wording
from cdao_sdk.monitor.notebook_lines import count_words, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from cdao_sdk.monitor.notebook_lines import Line
    from cdao_sdk.monitor.snapshot import JobRow, Snapshot

__all__ = ["SIGNS", "error_words", "snapshot_html"]

SIGNS: Mapping[str, str] = {
    "waiting": "⏳",
    "running": "🔵",
    "succeeded": "✅",
    "failed": "❌",
    "stopped": "⏹️",
}
"""Signs instead of CSS: they survive in a saved notebook, wherever it is shown."""

# So many lines and so many jobs with details at the most: a saved notebook stays small.
_MOST_LINES = 60
_MOST_DETAILS = 30
_LOG_LINES = 40
_METRICS_IN_TABLE = 2
_METRIC_LINE = re.compile(r"^(\S+\| )?\[cdao:metric\] ")
_LOG_LINES_OF_ERROR = re.compile(r"\nLast \d+ log lines:")
_LEFT = "text-align:left;vertical-align:top"


def snapshot_html(
    snapshot: Snapshot,
    *,
    opened: Collection[str] = (),
    footer: str = "",
) -> str:
    """A snapshot as static HTML.

    Args:
        snapshot: The jobs.
        opened: Names of the jobs whose details are shown unfolded.
        footer: A last line, as text.
    """
    lines = lines_of(snapshot)
    shown = lines[:_MOST_LINES]
    parts = [
        f"<p>{_head(snapshot)}</p>",
        _table(shown) if shown else "<p><i>no job yet</i></p>",
        _rest(lines[_MOST_LINES:]),
        *_details(snapshot, opened),
        *(f"<p>{escape(text)}</p>" for text in (snapshot.note, footer) if text),
    ]
    if snapshot.error:
        parts.insert(1, f"<pre>{escape(error_words(snapshot))}</pre>")
    return f"<div>{''.join(parts)}</div>"


def error_words(snapshot: Snapshot) -> str:
    """Why the execution failed, without the log lines that stand with the job that failed."""
    if not any(snapshot.tells_of(row) for row in snapshot.jobs):
        return snapshot.error
    return _LOG_LINES_OF_ERROR.split(snapshot.error, maxsplit=1)[0]


def _head(snapshot: Snapshot) -> str:
    status = f"{SIGNS[snapshot.outcome]} {snapshot.status or snapshot.outcome.upper()}"
    facts = [", ".join(text for _, text in count_words(snapshot.jobs))]
    if snapshot.cost_usd is not None:
        facts.append(f"{words.cost(snapshot.cost_usd)} at list prices")
    facts.append(wording.iso_time(snapshot.taken).replace("T", " ").replace("Z", " UTC"))
    told = " · ".join(escape(fact) for fact in facts if fact)
    return f"<b>{escape(snapshot.title)}</b> · {status}<br>{told}"


def _status(line: Line) -> str:
    if line.is_group:
        return f"{SIGNS[line.state]} " + ", ".join(text for _, text in count_words(line.elements))
    return f"{SIGNS[line.state]}\N{NO-BREAK SPACE}{line.rows[0].status_words}"


def _progress(line: Line) -> str:
    if line.state not in ("waiting", "running"):
        return ""
    if line.is_group:
        return f"{words.bar(line.share_over)} {line.share_over:.0%}"
    share, _ = words.progress(line.rows[0])
    return "" if share is None else f"{words.bar(share)} {words.progress_words(line.rows[0])}"


def _time(line: Line) -> str:
    if line.is_group:
        return f"longest {words.short(max(row.elapsed_seconds for row in line.rows))}"
    return words.time_words(line.rows[0])


def _metrics(line: Line) -> str:
    if line.is_group:
        return ""
    row = line.rows[0]
    told = [
        f"{_course(row, name)} {wording.metric_list({name: value})}".strip()
        for name, value in list(row.metrics.items())[:_METRICS_IN_TABLE]
    ]
    more = len(row.metrics) - len(told)
    return "\n".join([*told, *([f"+{more} more"] if more > 0 else [])])


def _course(row: JobRow, name: str) -> str:
    return wording.sparkline([value for _, value in row.metric_series.get(name, ())], 10)


_COLUMNS: Mapping[str, Callable[[Line], str]] = {
    "Job": lambda line: (
        f"{line.label} ×{len(line.elements):,}" if line.is_group else "↳ " * line.depth + line.label
    ),
    "Kind": lambda line: line.rows[0].kind_title,
    "Status": _status,
    "Progress": _progress,
    "Time": _time,
    "Instance": lambda line: wording.instances(
        line.rows[0].instance_type, line.rows[0].instance_count
    ),
    "Spot": lambda line: "" if line.is_group else words.spot_words(line.rows[0]),
    "Cost": lambda line: "" if line.cost_usd is None else words.cost(line.cost_usd),
    "Metrics": _metrics,
}


def _table(lines: Sequence[Line]) -> str:
    """The columns that say something of at least one line."""
    columns = {
        title: cells
        for title, cell in _COLUMNS.items()
        if any(cells := [cell(line) for line in lines])
    }
    head = "".join(f'<th scope="col" style="{_LEFT}">{title}</th>' for title in columns)
    body = "".join(
        f"<tr>{''.join(_cell(cells[index]) for cells in columns.values())}</tr>"
        for index in range(len(lines))
    )
    rows = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<table style="margin-left:0">{rows}</table>'


def _cell(text: str) -> str:
    return f'<td style="{_LEFT}">{escape(text).replace(chr(10), "<br>")}</td>'


def _rest(lines: Sequence[Line]) -> str:
    if not lines:
        return ""
    told = ", ".join(text for _, text in count_words([line.rows[0] for line in lines]))
    return f"<p>… and {len(lines):,} more: {told}</p>"


def _details(snapshot: Snapshot, opened: Collection[str]) -> list[str]:
    """A fold for each job that has more to tell, those that failed first."""
    ranked = sorted(snapshot.jobs, key=lambda row: (row.state != "failed", row.name not in opened))
    chosen = {row.name for row in ranked[:_MOST_DETAILS]}
    return [
        _fold(row, is_open=row.name in opened or bool(row.error))
        for row in snapshot.jobs
        if row.name in chosen
    ]


def _fold(row: JobRow, *, is_open: bool) -> str:
    told = [line for line in row.log_tail if not _METRIC_LINE.search(line)]  # in the table
    lines = told[-_LOG_LINES:]
    facts = [
        ("job", f"<code>{escape(row.name)}</code>"),
        *(("output", f"<code>{escape(row.artifact)}</code>") for _ in [0] if row.artifact),
        *((title, link) for title, link in [("see", _links(row))] if link),
        *(("hint", escape(row.hint)) for _ in [0] if row.hint),
        *_pairs("hyperparameters", row.hyperparameters),
        *_pairs("used", {words.usage_name(k): f"{v:.0f}%" for k, v in row.utilization.items()}),
    ]
    listed = "<br>".join(f"{title}: {value}" for title, value in facts)
    parts = [
        f"<summary>{SIGNS[row.state]} <b>{escape(row.label)}</b></summary>",
        _failure(row, lines),
        f"<p>{listed}</p>",
        _metric_table(row),
        f"<pre>{escape(chr(10).join(lines))}</pre>" if lines else "",
    ]
    return f"<details{' open' if is_open else ''}>{''.join(parts)}</details>"


def _pairs(title: str, pairs: Mapping[str, str]) -> list[tuple[str, str]]:
    if not pairs:
        return []
    return [(title, escape(", ".join(f"{key}={value}" for key, value in pairs.items())))]


def _links(row: JobRow) -> str:
    links = [
        f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{escape(title)}</a>'
        for title, url in row.links
        if is_web_link(url)
    ]
    return " · ".join(links)


def _failure(row: JobRow, log: Sequence[str]) -> str:
    if not row.error and row.diagnosis is None:
        return ""
    told = row.diagnosis
    if told is None:
        return f"<pre>{escape(row.error)}</pre>"
    traceback = told.user_traceback or row.error
    if set(traceback.splitlines()) <= set(log):
        traceback = ""  # it stands below, in the log
    return (
        f"<p><b>{escape(told.failure_class)}:</b> {escape(told.cause)}<br>"
        f"<b>Mend:</b> {escape(told.mend)} {words.retry_words(told)}</p>"
        + (f"<pre>{escape(traceback)}</pre>" if traceback else "")
    )


def _metric_table(row: JobRow) -> str:
    if not row.metrics:
        return ""
    cells = [
        (name, wording.number(value), _course(row, name)) for name, value in row.metrics.items()
    ]
    rows = "".join(f"<tr>{''.join(_cell(text) for text in each)}</tr>" for each in cells)
    return f"<table><tbody>{rows}</tbody></table>"
