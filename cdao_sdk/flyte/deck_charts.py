"""The deck's pictures: where a job's time went, and how its metrics moved. HTML and inline SVG."""

from __future__ import annotations

import math
import re
from html import escape
from typing import TYPE_CHECKING

from cdao_sdk.kinds.redaction import one_line

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from cdao_sdk.flyte.deck_facts import Series, Stage

_WIDTH, _HEIGHT = 300, 108
_POINTS = 160  # more than a card has pixels for
_WORD_STARTS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# SageMaker's secondary statuses → the colour's name in deck.css.
_COLOURS: Mapping[str, str] = {
    "Pending": "wait",
    "Starting": "start",
    "LaunchingMLInstances": "start",
    "PreparingTrainingStack": "start",
    "DownloadingTrainingImage": "data",
    "Downloading": "data",
    "Training": "work",
    "Running": "work",
    "Updating": "work",
    "Uploading": "out",
    "Interrupted": "lost",
    "Restarting": "lost",
    "Stopping": "other",
}

# No stretch of time: what a job came to.
_ENDS = frozenset({"Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded"})


def duration(seconds: float) -> str:
    """A duration in at most two units.

    Example:
        >>> [duration(seconds) for seconds in (0.4, 42, 61, 7384, 200000)]
        ['0s', '42s', '1m 01s', '2h 03m', '2d 07h']
    """
    whole = max(0, round(seconds))
    for unit, size, part, part_size in (
        ("d", 86_400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // part_size:02}{part}"
    return f"{whole}s"


def number(value: float) -> str:
    """A number in four significant digits, whole ones in full.

    Example:
        >>> number(0.78125), number(1000.0), number(1234567.0), number(3.2e-7)
        ('0.7812', '1,000', '1,234,567', '3.2e-07')
    """
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


def words(status: str) -> str:
    """A status of SageMaker's as people read it.

    Example:
        >>> words("InProgress"), words("LaunchingMLInstances")
        ('In progress', 'Launching ML instances')
    """
    first, *rest = _WORD_STARTS.split(one_line(status, 60))
    return " ".join([first, *(word if word.isupper() else word.lower() for word in rest)])


def colour(status: str) -> str:
    """The CSS class of a stretch of time; empty for what is none, such as ``"Completed"``.

    Example:
        >>> colour("Training"), colour("Completed"), colour("SomethingNew")
        ('work', '', 'other')
    """
    return "" if status in _ENDS else _COLOURS.get(status, "other")


def timeline(stages: Sequence[Stage], until: dt.datetime | None) -> str:
    """A bar of the job's time, and what each part of it was; empty if there is nothing to show."""
    spans = [(stage, _seconds(stage, until)) for stage in stages if colour(stage.status)]
    shown = [(stage, seconds) for stage, seconds in spans if seconds]
    if not shown:
        return ""
    total = sum(seconds for _, seconds in shown)
    parts = [
        f'<i class="{colour(stage.status)}" style="flex:{seconds / total:.5f} 1 0" '
        f'title="{escape(words(stage.status))}: {duration(seconds)}"></i>'
        for stage, seconds in shown
    ]
    told = ", ".join(f"{words(stage.status)} {duration(seconds)}" for stage, seconds in shown)
    legend = [
        f'<li><i class="{colour(stage.status)}"></i>'
        f"<b>{escape(words(stage.status))}</b><span>{duration(seconds)}</span>"
        + (f"<small>{escape(one_line(stage.message, 200))}</small>" if stage.message else "")
        + "</li>"
        for stage, seconds in shown
    ]
    first, last = shown[0][0].started, shown[-1][0].ended
    return (
        f'<div class="bar" role="img" aria-label="{escape(told)}">{"".join(parts)}</div>'
        f'<div class="ends"><span>{moment(first)}</span>'
        f"<span>{moment(last) if last else 'still going on'}</span></div>"
        f'<ul class="stages">{"".join(legend)}</ul>'
    )


def moment(at: dt.datetime) -> str:
    """A point in time, to the second; the zone is named where it is known."""
    zone = " UTC" if at.utcoffset() is not None and not at.utcoffset() else at.strftime(" %Z")
    return escape(f"{at:%Y-%m-%d %H:%M:%S}{zone}".rstrip())


def line_chart(name: str, series: Series) -> str:
    """A metric's course as SVG with its scale below; empty for less than two points."""
    points = _thinned([(x, y) for x, y in series if math.isfinite(x) and math.isfinite(y)])
    if len(points) < 2:
        return ""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    placed = list(zip(_scaled(xs, 0, _WIDTH), _scaled(ys, _HEIGHT - 3, 3), strict=True))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    last_x, last_y = placed[-1]
    lines = "".join(
        f'<path class="grid" d="M0 {y}H{_WIDTH}"/>' for y in (3, _HEIGHT / 2, _HEIGHT - 3)
    )
    told = f"{name}: from {number(ys[0])} to {number(ys[-1])} in {len(series)} points"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(told)}">{lines}'
        f'<polygon class="area" points="0,{_HEIGHT} {path} {_WIDTH},{_HEIGHT}"/>'
        f'<polyline class="line" points="{path}"/>'
        f'<path class="dot" d="M{last_x:.1f} {last_y:.1f}h0"/></svg>'
        f'<div class="scale"><span>lowest {number(min(ys))}</span>'
        f"<span>highest {number(max(ys))}</span></div>"
    )


def _seconds(stage: Stage, until: dt.datetime | None) -> float:
    ended = stage.ended or until
    if ended is None or (ended.utcoffset() is None) != (stage.started.utcoffset() is None):
        return 0.0
    return max(0.0, (ended - stage.started).total_seconds())


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most so many points: of each stretch its lowest and its highest, so that peaks stay."""
    if len(points) <= _POINTS:
        return list(points)
    size = math.ceil(len(points) / (_POINTS // 2 - 1))
    kept = [points[0]]
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        lowest, highest = min(stretch, key=_height), max(stretch, key=_height)
        kept += sorted({lowest, highest}, key=stretch.index)
    return [*kept, points[-1]]


def _height(point: tuple[float, float]) -> float:
    return point[1]


def _scaled(values: Sequence[float], low: float, high: float) -> list[float]:
    """Values placed between two ends; halves keep differences of huge numbers finite."""
    smallest, largest = min(values) / 2, max(values) / 2
    span = largest - smallest
    if span <= 0:
        return [(low + high) / 2] * len(values)
    return [low + (value / 2 - smallest) / span * (high - low) for value in values]
