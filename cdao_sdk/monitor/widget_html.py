"""The HTML within the notebook's widget: values for its fields, from a snapshot. Pure functions."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from cdao_sdk.flyte.deck import is_web_link
from cdao_sdk.flyte.deck_charts import line_chart
from cdao_sdk.monitor import notebook_words as words
from cdao_sdk.monitor import wording
from cdao_sdk.monitor.notebook_html import error_words
from cdao_sdk.monitor.notebook_lines import count_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk.monitor.notebook_lines import Line
    from cdao_sdk.monitor.snapshot import JobRow, Snapshot

__all__ = [
    "FIRST_HEAD",
    "actions_html",
    "cells_html",
    "column_heads",
    "facts_html",
    "footer_html",
    "head_html",
    "log_html",
    "moving_html",
    "spoken_html",
    "style",
]

Courses = "Mapping[str, Sequence[tuple[float, float]]]"

# Shapes, not colours alone: they differ for those who see no colours, and in black and white.
_SIGNS: Mapping[str, str] = {
    "waiting": "○",
    "running": "◐",
    "succeeded": "✓",
    "failed": "✕",
    "stopped": "■",
}
FIRST_HEAD = '<span aria-hidden="true">Job</span>'
"""Above the names of the jobs."""

_HEADS = ("Kind", "Status", "Progress", "Time", "Instance", "Spot", "Cost")
_EXECUTION_ID = re.compile(r"(?<=^execution )\S+|(?<=^job )\S+")
_MOST_LOG_LINES = 500
_FEW_JOBS = 20

# Works without the kernel; where the clipboard is out of reach, the name is left selected.
_COPY = (
    "const b=this,n=b.dataset.name,w=b.textContent,f=()=>{b.textContent='✓ Copied';"
    "setTimeout(()=>{b.textContent=w},1500)},s=()=>{const c=b.nextElementSibling,"
    "r=document.createRange();r.selectNodeContents(c);const g=getSelection();g.removeAllRanges();"
    "g.addRange(r);if(document.execCommand('copy'))f()};"
    "navigator.clipboard?navigator.clipboard.writeText(n).then(f,s):s()"
)


@cache
def style() -> str:
    """The widget's style sheet as an element; all its classes begin with ``cdao-``."""
    sheet = resources.files("cdao_sdk.monitor").joinpath("widget.css").read_text("utf-8")
    return f"<style>{sheet}</style>"


def _pill(state: str, text: str) -> str:
    sign = f'<span class="cdao-sign" aria-hidden="true">{_SIGNS[state]}</span>'
    return f'<span class="cdao-pill cdao-{state}">{sign}{escape(text)}</span>'


def head_html(snapshot: Snapshot) -> str:
    """Title, how it stands, how many jobs are where, cost, and a bar of all jobs."""
    title = _EXECUTION_ID.sub(
        lambda found: f"<code>{found[0]}</code>", escape(snapshot.title), count=1
    )
    counts = count_words(snapshot.jobs)
    facts = [f"<b>{escape(text)}</b>" for _, text in counts] or ["no job yet"]
    if snapshot.cost_usd is not None:
        facts.append(
            f'<span title="Instance hours at list price; storage and discounts are not in it.">'
            f"{words.cost(snapshot.cost_usd)} so far</span>"
        )
    status = snapshot.status or snapshot.outcome.upper()
    return (
        f'<div class="cdao-head"><div class="cdao-title"><span>{title}</span>'
        f"{_pill(snapshot.outcome, status.capitalize())}</div>"
        f'<div class="cdao-facts">{" · ".join(facts)}</div>'
        f"{_state_bar(snapshot)}</div>"
    )


def spoken_html(snapshot: Snapshot) -> str:
    """How it stands, for screen readers: it changes with what is worth being told, no oftener."""
    counts = count_words(snapshot.jobs)
    if len(snapshot.jobs) > _FEW_JOBS:  # else there would be something to tell each second
        counts = [(state, text) for state, text in counts if state == "failed"]
    told = ", ".join([snapshot.outcome, *(text for _, text in counts)])
    return f'<div class="cdao-sr" role="status">{escape(told)}</div>'


def _state_bar(snapshot: Snapshot) -> str:
    counts = count_words(snapshot.jobs)
    if not counts:
        return ""
    order = ("succeeded", "failed", "stopped", "running", "waiting")
    number = {state: sum(row.state == state for row in snapshot.jobs) for state, _ in counts}
    parts = "".join(
        f'<i class="cdao-{state}" style="flex-grow:{number[state]}"></i>'
        for state in order
        if number.get(state)  # type: ignore[call-overload]
    )
    told = escape(", ".join(text for _, text in counts))
    return f'<div class="cdao-states" role="img" aria-label="Jobs: {told}">{parts}</div>'


def column_heads() -> str:
    """The line above the cells."""
    cells = "".join(f"<span>{head}</span>" for head in _HEADS)
    return f'<div class="cdao-grid" aria-hidden="true">{cells}</div>'


def cells_html(line: Line) -> str:
    """What stands beside the name of a job or group."""
    row = line.rows[0]
    if line.is_group:
        longest = words.short(max(each.elapsed_seconds for each in line.rows))
        values = (
            escape(row.kind_title),
            _group_status(line),
            _bar(line.share_over, f"{line.share_over:.0%}", line.state),
            f"longest {escape(longest)}",
            escape(wording.instances(row.instance_type, row.instance_count)),
            "",
            words.cost(line.cost_usd),
        )
    else:
        values = (
            escape(row.kind_title),
            _status(row),
            _job_bar(row),
            escape(words.time_words(row)),
            escape(wording.instances(row.instance_type, row.instance_count)),
            escape(words.spot_words(row)),
            words.cost(row.cost_usd),
        )
    cells = "".join(
        f'<span class="cdao-c-{head.lower()}">{_unseen(head) if value else ""}{value}</span>'
        for head, value in zip(_HEADS, values, strict=True)
        if value or head != "Spot"
    )
    return f'<div class="cdao-grid">{cells}</div>'


def _unseen(head: str) -> str:
    """A column's head for those who hear the row."""
    return f'<span class="cdao-sr">{head}: </span>'


def _status(row: JobRow) -> str:
    more = row.secondary_status if row.secondary_status != row.status else ""
    told = row.diagnosis.cause if row.diagnosis else row.error or row.message
    under = " · ".join(escape(text) for text in (more, told) if text)
    small = f'<small title="{under}">{under}</small>' if under else ""
    return _pill(row.state, row.status) + small


def _group_status(line: Line) -> str:
    counts = " · ".join(
        f'<b class="cdao-failed">{text}</b>' if state == "failed" else text
        for state, text in count_words(line.elements)
    )
    words_of_state = {"running": "Running", "waiting": "Waiting", "succeeded": "Completed"}
    pill = _pill(line.state, words_of_state.get(line.state, line.state.capitalize()))
    return f'{pill}<small class="cdao-counts">{counts}</small>'


def _job_bar(row: JobRow) -> str:
    share, is_reckoned = words.progress(row)
    if share is None:
        if row.state != "running":
            return ""
        return '<span class="cdao-bar cdao-busy" title="Nothing tells how far it is"><i></i></span>'
    title = "reckoned from the time that it should take" if is_reckoned else ""
    return _bar(share, words.progress_words(row), row.state, title)


def _bar(share: float, text: str, state: str, title: str = "") -> str:
    hint = f' title="{title}"' if title else ""
    return (
        f'<span class="cdao-bar cdao-{state}"{hint} aria-hidden="true">'
        f'<i style="width:{share * 100:.1f}%"></i></span><span class="cdao-num">{text}</span>'
    )


def moving_html(
    row: JobRow, courses: Mapping[str, Sequence[tuple[float, float]]] | None = None
) -> str:
    """What an open row shows first: failure, metrics, usage. Empty if there is none of them.

    Args:
        row: The job.
        courses: (seconds, value) of each metric as they were seen, where the job has no series.
    """
    return _cards([_failure(row), *_metric_cards(row, courses or {}), _utilization(row)])


def facts_html(row: JobRow) -> str:
    """What an open row shows beside: times, names, hyperparameters."""
    return _cards([_facts(row), _table_card("Hyperparameters", row.hyperparameters)])


def _cards(cards: Sequence[str]) -> str:
    text = "".join(cards)
    return f'<div class="cdao-cards">{text}</div>' if text else ""


def _card(title: str, content: str, kind: str = "") -> str:
    return f'<section class="cdao-card {kind}"><h4>{escape(title)}</h4>{content}</section>'


def _failure(row: JobRow) -> str:
    if not row.error and row.diagnosis is None:
        return ""
    told = row.diagnosis
    if told is None:
        return _card("What went wrong", f"<pre>{escape(row.error)}</pre>", "cdao-failure")
    raw = told.user_traceback or row.error
    content = (
        f"<p>{escape(told.cause)}</p>"
        f'<p class="cdao-mend"><b>What to do:</b> {escape(told.mend)}'
        f" <i>{words.retry_words(told)}</i></p>" + (f"<pre>{escape(raw)}</pre>" if raw else "")
    )
    return _card(f"What went wrong: {told.failure_class}", content, "cdao-failure")


def _metric_cards(row: JobRow, courses: Mapping[str, Sequence[tuple[float, float]]]) -> list[str]:
    cards: list[str] = []
    for name, value in row.metrics.items():
        series = [(at.timestamp(), each) for at, each in row.metric_series.get(name, ())]
        chart = line_chart(name, tuple(series or courses.get(name, ())))
        cards.append(
            _card(name, f'<div class="cdao-value">{escape(wording.number(value))}</div>{chart}')
        )
    return cards


def _utilization(row: JobRow) -> str:
    if not row.utilization and not row.hint:
        return ""
    bars = "".join(
        f"<dt>{escape(_capital(words.usage_name(name)))}</dt>"
        f"<dd>{_bar(min(value / 100, 1), f'{value:.0f}%', 'running')}</dd>"
        for name, value in row.utilization.items()
    )
    hint = f"<p>{escape(row.hint)}</p>" if row.hint else ""
    return _card("Used of the instance", f"<dl>{bars}</dl>{hint}")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _facts(row: JobRow) -> str:
    facts = {
        "Created": _moment(row.created),
        "Started": _moment(row.started),
        "Ended": _moment(row.ended),
        "Billed": "" if row.billable_seconds is None else f"{row.billable_seconds} s an instance",
        "Saved": f"{row.savings_percent:.0f}% by spot" if row.savings_percent is not None else "",
        "Message": row.message,
        "Output": row.artifact,
        "ARN": row.arn,
    }
    return _table_card("Job", {title: value for title, value in facts.items() if value})


def _moment(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else ""


def _table_card(title: str, pairs: Mapping[str, str]) -> str:
    if not pairs:
        return ""
    listed = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in pairs.items()
    )
    return _card(title, f"<dl>{listed}</dl>", "cdao-wide" if title == "Job" else "")


def actions_html(row: JobRow) -> str:
    """Copy the name, open the console: both work without the kernel."""
    name = escape(row.name)
    links = "".join(
        f'<a class="cdao-button" href="{escape(url)}" target="_blank" rel="noopener noreferrer">'
        f'Open {escape(title)}<span class="cdao-sr"> in a new tab</span> ↗</a>'
        for title, url in row.links
        if is_web_link(url)
    )
    return (
        '<span class="cdao-actions" data-lm-suppress-shortcuts="true">'
        f'<button type="button" class="cdao-button" data-name="{name}" onclick="{escape(_COPY)}" '
        f'title="Copy the job\'s name">Copy name</button><code class="cdao-name-text">{name}</code>'
        f"{links}</span>"
    )


def log_html(lines: Sequence[str] | None, query: str = "") -> str:
    """The log's tail; with a query, the lines that contain it.

    Args:
        lines: Its lines, the oldest first; None while they are being fetched.
        query: What to look for, whatever the case.
    """
    if lines is None:
        return '<div class="cdao-log-none">fetching the log …</div>'
    if not lines:
        return '<div class="cdao-log-none">no log line yet</div>'
    wanted = query.strip().lower()
    found = [line for line in lines if wanted in line.lower()][-_MOST_LOG_LINES:]
    shown = "\n".join(_marked(line, query.strip()) for line in found)
    count = f"{len(found):,} of {_lines_words(len(lines))}" if wanted else _last_words(len(found))
    # A live region would be told anew with each line that comes; what was searched for is told.
    live = ' role="status"' if wanted else ""
    return (
        f'<div class="cdao-log" role="region" tabindex="0" aria-label="Log, {count}" '
        f'data-lm-suppress-shortcuts="true"><pre>{shown}</pre></div>'
        f'<div class="cdao-log-count"{live}>{count}</div>'
    )


def _lines_words(count: int) -> str:
    return f"{count:,} line{'' if count == 1 else 's'}"


def _last_words(count: int) -> str:
    return "last line" if count == 1 else f"last {_lines_words(count)}"


def _marked(line: str, query: str) -> str:
    if not query:
        return escape(line)
    pieces = re.split(f"({re.escape(query)})", line, flags=re.IGNORECASE)
    return "".join(
        f"<mark>{escape(piece)}</mark>" if index % 2 else escape(piece)
        for index, piece in enumerate(pieces)
    )


def footer_html(snapshot: Snapshot, notice: str = "") -> str:
    """Why the execution failed, what hinders the watching, what a button did."""
    error = (
        f'<pre class="cdao-error">{escape(error_words(snapshot))}</pre>' if snapshot.error else ""
    )
    notes = "".join(
        f'<div class="cdao-note">{escape(text)}</div>' for text in (snapshot.note, notice) if text
    )
    return f'<div role="status">{error}{notes}</div>' if error or notes else ""
