"""The report's picture of the time: a line for each node, to scale. HTML and inline SVG."""

from __future__ import annotations

import itertools
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from cdao_sdk.flyte.deck_charts import colour, words
from cdao_sdk.kinds.redaction import one_line
from cdao_sdk.monitor.report_facts import ends_at
from cdao_sdk.monitor.wording import duration, instances

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from cdao_sdk.monitor.report_facts import Entry, Line
    from cdao_sdk.monitor.report_sums import Span

__all__ = ["gantt", "state_counts"]

_STEPS = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800),
)
_MOST_TICKS = 7
_CURVE_WIDTH, _CURVE_HEIGHT = 600, 26
_CURVE_POINTS = 200
_STAGES_SHOWN = 60  # of one job: a spot job may be interrupted often
_TRIES_SHOWN = 20

# The classes of deck.css, in the order of a job's life → what the legend says.
_LEGEND: Mapping[str, str] = {
    "wait": "waiting",
    "start": "starting",
    "data": "downloading",
    "work": "running",
    "out": "uploading",
    "lost": "interrupted",
    "other": "other",
}


def gantt(
    lines: Sequence[Line], span: Span, critical: Collection[str], anchors: Mapping[str, str]
) -> str:
    """A line for each node on one scale of time; empty if there is no time to show.

    Args:
        lines: What is shown, in this order.
        span: The scale.
        critical: Names of the jobs that decided when the last one ended.
        anchors: Job's name → id of the element that tells more of it.
    """
    if not lines or not span.seconds:
        return ""
    step = _step(span.seconds)
    used: Counter[str] = Counter()
    on_path = [any(entry.row.name in critical for entry in line.entries) for line in lines]
    marked = () if all(on_path) else critical  # it goes without saying
    rows = [_row(line, span, marked, anchors, used) for line in lines]
    return (
        f'<div class="gantt" style="--tick:{step / span.seconds * 100:.4f}%">'
        '<div class="axis" aria-hidden="true">'
        f'<span class="ticks">{_ticks(step, span)}</span></div>'
        f"{''.join(rows)}</div>{_legend(used)}"
    )


def state_counts(line: Line) -> str:
    """How many of a map's jobs stand where, in words.

    A line of 1,000 jobs reads ``"1,000 jobs: 3 failed, 997 succeeded"``.
    """
    states = line.states
    order = ("running", "waiting", "failed", "stopped", "succeeded")
    counts = ", ".join(f"{states[state]:,} {state}" for state in order if states[state])
    return f"{sum(states.values()):,} jobs: {counts}"


def _row(
    line: Line,
    span: Span,
    critical: Collection[str],
    anchors: Mapping[str, str],
    used: Counter[str],
) -> str:
    is_critical = any(entry.row.name in critical for entry in line.entries)
    track = _curve(line, span) if line.is_map else _tries(line, span, used)
    anchor = line.anchor(anchors)
    tag, link = ("a", f' href="#{anchor}"') if anchor else ("div", "")
    style = f"line {line.state}{' critical' if is_critical else ''}"
    mark = '<span class="hidden">, on the critical path</span>' if is_critical else ""
    return (
        f'<{tag} class="{style}"{link}><span class="who"><b>{escape(one_line(line.title, 80))}</b>'
        f"{mark}<small>{escape(_subtitle(line))}</small></span>"
        f'<span class="track">{track}</span>'
        f'<span class="took">{duration(line.seconds)}</span></{tag}>'
    )


def _subtitle(line: Line) -> str:
    if line.is_map:
        return state_counts(line)
    row = line.last.row
    parts = [row.kind_title, instances(one_line(row.instance_type, 40), row.instance_count)]
    tries = len(line.entries)
    lost = sum(entry.interruptions for entry in line.entries)
    parts.append(f"{tries} tries" if tries > 1 else "")
    parts.append(f"{lost} interruption{'s' if lost > 1 else ''}" if lost else "")
    return " · ".join(filter(None, parts))


def _tries(line: Line, span: Span, used: Counter[str]) -> str:
    return "".join(_try(entry, span, used) for entry in line.entries[-_TRIES_SHOWN:])


def _try(entry: Entry, span: Span, used: Counter[str]) -> str:
    row = entry.row
    parts: list[str] = []
    told: list[str] = []
    for status, start, end in _stretches(entry):
        style = colour(status)
        used[style] += 1
        seconds = (end - start).total_seconds()
        told.append(f"{words(status)} {duration(seconds)}")
        parts.append(
            f'<i class="{style}" style="{_place(start, end, span)}"'
            f' title="{escape(words(status))}: {duration(seconds)}"></i>'
        )
    label = f"{row.status}: {', '.join(told)}"
    end = (
        "" if not row.is_over else f'<i class="end" style="left:{_percent(ends_at(entry), span)}">'
    )
    return (
        f'<span class="run {row.state}" role="img" aria-label="{escape(one_line(label, 300))}">'
        f"{''.join(parts)}{end}{'</i>' if end else ''}</span>"
    )


def _stretches(entry: Entry) -> Iterator[tuple[str, datetime, datetime]]:
    until = ends_at(entry)
    for stage in entry.facts.stages[-_STAGES_SHOWN:]:
        end = stage.ended or until
        aware = (end.utcoffset() is None) == (stage.started.utcoffset() is None)
        if colour(stage.status) and aware and end > stage.started:
            yield stage.status, stage.started, end


def _place(start: datetime, end: datetime, span: Span) -> str:
    left, right = span.share(start), span.share(end)
    return f"left:{left * 100:.3f}%;width:{max(right - left, 0) * 100:.3f}%"


def _percent(moment: datetime, span: Span) -> str:
    return f"{span.share(moment) * 100:.3f}%"


def _curve(line: Line, span: Span) -> str:
    """How many of a map's jobs were there at each time, as an area."""
    moves: Counter[float] = Counter()
    for entry in line.entries:
        moves[span.share(entry.row.created)] += 1
        moves[span.share(ends_at(entry))] -= 1
    counts: list[tuple[float, int]] = []
    count = 0
    for share in sorted(moves):
        count += moves[share]
        counts.append((share, count))
    most = max((count for _, count in counts), default=0) or 1
    path = "".join(_curve_parts(_columns(counts), most))
    told = f"up to {most:,} at the same time"
    return (
        f'<svg viewBox="0 0 {_CURVE_WIDTH} {_CURVE_HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="{told}"><title>{told}</title><path class="many" d="{path}"/></svg>'
    )


def _columns(counts: Sequence[tuple[float, int]]) -> list[int]:
    """The highest count within each of so many columns."""
    columns = [0] * _CURVE_POINTS
    for index, (share, count) in enumerate(counts):
        until = counts[index + 1][0] if index + 1 < len(counts) else share
        first, last = int(share * (_CURVE_POINTS - 1)), int(until * (_CURVE_POINTS - 1))
        for column in range(first, last + 1):
            columns[column] = max(columns[column], count)
    return columns


def _curve_parts(columns: Sequence[int], most: int) -> Iterator[str]:
    """A block of the area for each stretch of columns that are equally high."""
    width = _CURVE_WIDTH / len(columns)
    start = 0
    for count, same in itertools.groupby(columns):
        end = start + sum(1 for _ in same)
        if count:
            top = _CURVE_HEIGHT * (1 - count / most)
            yield f"M{start * width:g} {_CURVE_HEIGHT}V{top:.1f}H{end * width:g}V{_CURVE_HEIGHT}Z"
        start = end


def _step(seconds: float) -> float:
    for step in _STEPS:
        if seconds / step <= _MOST_TICKS:
            return float(step)
    return float(-(-seconds // (_MOST_TICKS * _STEPS[-1])) * _STEPS[-1])


def _ticks(step: float, span: Span) -> str:
    times = (number * step for number in range(int(span.seconds / step) + 1))
    return "".join(
        f'<span style="left:{time / span.seconds * 100:.3f}%">{_tick(time)}</span>'
        for time in times
        if time <= span.seconds * 0.97  # a later one would hang over the edge
    )


def _tick(seconds: float) -> str:
    """A time on the scale, as short as it can be.

    Example:
        >>> [_tick(seconds) for seconds in (0, 15, 300, 5400, 7200, 86400)]
        ['0', '15s', '5m', '1h 30m', '2h', '1d']
    """
    parts: list[str] = []
    whole = int(seconds)
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if whole >= size:
            parts.append(f"{whole // size}{unit}")
            whole %= size
    return " ".join(parts) or "0"


def _legend(used: Mapping[str, int]) -> str:
    items = [
        f'<li><i class="{style}"></i>{word}</li>' for style, word in _LEGEND.items() if used[style]
    ]
    return f'<ul class="legend" aria-hidden="true">{"".join(items)}</ul>'
