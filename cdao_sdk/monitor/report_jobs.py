"""What a report says of single jobs: failures, metrics, and the details of those chosen."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from cdao_sdk.catalog.prices import dollars
from cdao_sdk.flyte.deck import card, job_sections, log_end, metric_list, traceback, web_links
from cdao_sdk.flyte.deck_charts import number, words
from cdao_sdk.kinds.redaction import one_line, redacted
from cdao_sdk.monitor.wording import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cdao_sdk.flyte.deck_facts import JobFacts
    from cdao_sdk.monitor.report_contents import Contents
    from cdao_sdk.monitor.report_facts import Entry, Line

__all__ = ["Choice", "failures", "job_details", "metrics"]

_DETAILS = 60
_OF_A_MAP = 12
_FAILURES = 8
_METRIC_JOBS = 30
_ERROR = 4_000


@dataclass(frozen=True)
class Choice:
    """The jobs that are told of in full.

    Attributes:
        entries: They, in the report's order.
        left_out: How many are not among them.
        share: How much of long lists is shown, from 0 to 1.
    """

    entries: tuple[Entry, ...]
    left_out: int
    share: float

    @classmethod
    def of(cls, contents: Contents, share: float) -> Choice:
        """Failed jobs first, then those that decided the time, then the longest."""
        on_path = {entry.row.name for entry in contents.path}
        wanted = [entry for line in contents.lines for entry in _of_line(line)]

        def rank(entry: Entry) -> tuple[bool, bool, float]:
            row = entry.row
            return (row.state != "failed", row.name not in on_path, -row.elapsed_seconds)

        most = max(1, int(_DETAILS * share))
        chosen = {entry.row.name for entry in sorted(wanted, key=rank)[:most]}
        shown = tuple(entry for entry in wanted if entry.row.name in chosen)
        return cls(shown, len(contents.entries) - len(shown), share)

    @property
    def anchors(self) -> Mapping[str, str]:
        """Job's name → id of its part of the page."""
        return {entry.row.name: f"job-{number}" for number, entry in enumerate(self.entries)}


def _of_line(line: Line) -> Sequence[Entry]:
    if not line.is_map:
        return line.entries
    failed = [entry for entry in line.entries if entry.row.state == "failed"]
    longest = sorted(line.entries, key=lambda entry: entry.row.elapsed_seconds, reverse=True)
    names = {entry.row.name for entry in [*failed[: _OF_A_MAP - 3], *longest[:3]]}
    return [entry for entry in line.entries if entry.row.name in names]


def failures(contents: Contents, choice: Choice) -> str:
    """Why it failed, alike failures once; empty if nothing did."""
    alike = _alike(contents)
    told = contents.snapshot.error
    shown = "".join(_failure(entries, choice) for entries in alike[:_FAILURES])
    if told and not any(contents.snapshot.tells_of(entry.row) for entry in contents.failed):
        first, _, rest = redacted(told[:_ERROR]).strip().partition("\n")
        text = f"<pre>{escape(rest, quote=False)}</pre>" if rest.strip() else ""
        shown = f'<p class="cause">{escape(one_line(first, 500))}</p>{text}{shown}'
    if not shown:
        return ""
    left = sum(map(len, alike[_FAILURES:]))
    more = f'<p class="soft">{left:,} more jobs failed otherwise.</p>' if left else ""
    title = "What went wrong" if contents.snapshot.outcome == "failed" else "Jobs that failed"
    return f'<section class="card failure"><h2>{title}</h2>{shown}{more}</section>'


def _alike(contents: Contents) -> list[list[Entry]]:
    """The failed jobs; those of one map with one mend and traceback's end are one failure."""
    kinds: dict[tuple[str, ...], list[Entry]] = {}
    for entry in contents.failed:
        told, group = entry.facts.diagnosis, entry.row.group
        if told is None:
            # It was one of too many to be looked at.
            key = (group, entry.row.error.partition("\n")[0])
        else:
            end = told.user_traceback.splitlines()[-3:-1]  # where, and not with which value
            key = (group, told.failure_class, told.mend, *end)
        kinds.setdefault(key if group else (entry.row.name,), []).append(entry)
    return list(kinds.values())


def _failure(entries: Sequence[Entry], choice: Choice) -> str:
    entry = entries[0]
    told = entry.facts.diagnosis
    anchor = choice.anchors.get(entry.row.name)
    more = f' <a href="#{anchor}">Details</a>' if anchor else ""
    title = escape(one_line(entry.row.label, 120))
    if told is None:
        reason = escape(one_line(entry.row.error or "Nothing says why it failed.", 500))
        return f'<div class="why"><h3>{title}</h3><p class="cause">{reason}</p><p>{more}</p></div>'
    retry = "another attempt may succeed" if told.retryable else "a retry alone will not help"
    return (
        f'<div class="why"><h3>{title} <span class="badge failed">{escape(told.failure_class)}'
        f'</span><span class="chip">{retry}</span></h3>'
        f'<p class="cause">{escape(one_line(told.cause, 500))}</p>'
        f"{_others(entries[1:])}"
        f'<p class="mend"><b>What to do:</b> {escape(one_line(told.mend, 500))}{more}</p>'
        f"{traceback(told)}{log_end(entry.facts, choice.share)}</div>"
    )


def _others(entries: Sequence[Entry]) -> str:
    if not entries:
        return ""
    names = ", ".join(entry.row.label for entry in entries[:5])
    left = len(entries) - 5
    names += f" and {left:,} more" if left > 0 else ""
    return f'<p class="soft">Likewise: {escape(one_line(names, 500))}</p>'


def metrics(contents: Contents, share: float) -> str:
    """Each job's metrics with their courses; of a map's many jobs the median and the ends."""
    most = max(1, int(_METRIC_JOBS * share))
    with_metrics = [
        line
        for line in contents.lines
        if any(entry.facts.metrics or entry.facts.series for entry in line.entries)
    ]
    blocks = "".join(
        _block(line.title, _map_metrics(line) if line.is_map else metric_list(_told(line), share))
        for line in with_metrics[:most]
    )
    left = len(with_metrics) - most
    return blocks + (f'<p class="soft">{left:,} more jobs have metrics.</p>' if left > 0 else "")


def _told(line: Line) -> JobFacts:
    """The last try that has metrics."""
    return next(
        entry.facts for entry in reversed(line.entries) if entry.facts.metrics or entry.facts.series
    )


def _block(title: str, inner: str) -> str:
    return f'<div class="of-job"><h3>{escape(one_line(title, 80))}</h3>{inner}</div>'


def _map_metrics(line: Line) -> str:
    values: dict[str, list[float]] = {}
    for entry in line.entries:
        for name, value in entry.facts.metrics.items():
            values.setdefault(name, []).append(value)
    items = "".join(
        f'<li><div class="name">{escape(one_line(name, 120))}, median of {len(known):,}</div>'
        f'<div class="value">{number(statistics.median(known))}</div>'
        f'<div class="scale"><span>lowest {number(min(known))}</span>'
        f"<span>highest {number(max(known))}</span></div></li>"
        for name, known in list(values.items())[:20]
    )
    return f'<ul class="metrics plain">{items}</ul>' if items else ""


def job_details(choice: Choice) -> str:
    """The chosen jobs, folded."""
    if not choice.entries:
        return ""
    anchors = choice.anchors
    parts = "".join(_details(entry, anchors[entry.row.name], choice) for entry in choice.entries)
    left = choice.left_out
    more = (
        f'<p class="soft">{left:,} more jobs are told of in the table alone.</p>'
        if left > 0
        else ""
    )
    return f'<section class="details"><h2>Details</h2>{parts}{more}</section>'


def _details(entry: Entry, anchor: str, choice: Choice) -> str:
    row = entry.row
    cost = entry.cost_usd
    marks = " · ".join(
        filter(
            None,
            [
                escape(one_line(row.kind_title, 40)),
                duration(row.elapsed_seconds),
                "" if cost is None else dollars(cost),
            ],
        )
    )
    links = web_links(entry.facts.links)
    # The id is within what is folded, so that a link to it unfolds it.
    return (
        '<details class="card job"><summary>'
        f'<span class="badge {row.state}">{row.state}</span>'
        f"<b>{escape(one_line(row.label, 120))}</b><small>{marks}</small></summary>"
        f'<div class="inside" id="{anchor}">'
        f'<p class="mono soft">{escape(one_line(row.name, 120))}</p>'
        + (f"<nav>{links}</nav>" if links else "")
        + card("Utilization", "".join(_utilization(entry)))
        + job_sections(entry.facts, choice.share, has_metrics=False)
        + "</div></details>"
    )


def _utilization(entry: Entry) -> Iterator[str]:
    row = entry.row
    if row.utilization:
        items = "".join(
            f"<li><span>{escape(words(name.replace('Utilization', '')))}</span>"
            f'<span class="bill"><i style="width:{min(max(percent, 0), 100):.1f}%"></i></span>'
            f"<b>{percent:.0f}%</b></li>"
            for name, percent in list(row.utilization.items())[:12]
        )
        yield f'<ul class="use">{items}</ul>'
    if row.hint:
        yield f'<p class="hint">{escape(one_line(row.hint, 400))}</p>'
