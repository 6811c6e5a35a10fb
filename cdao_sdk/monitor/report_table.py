"""The report's table: what each job took and cost, and its share of the bill."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from cdao_sdk.catalog.prices import dollars
from cdao_sdk.kinds.redaction import one_line
from cdao_sdk.monitor.report_timeline import state_counts
from cdao_sdk.monitor.wording import duration, instances

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cdao_sdk.monitor.report_facts import Line
    from cdao_sdk.monitor.report_sums import Bill

__all__ = ["jobs_table"]

_NOTHING = "\u2013"


@dataclass(frozen=True)
class _Cell:
    """One cell: what it shows, as HTML, and what it is sorted by."""

    inner: str
    order: float | str
    style: str = ""


_HEAD = ("Job", "Status", "Instance", "Time", "Billed", "Cost", "Share of the cost")


def jobs_table(lines: Sequence[Line], bill: Bill, anchors: Mapping[str, str], *, most: int) -> str:
    """A row for each line; a map's many jobs are one row.

    Args:
        lines: What is shown, in this order.
        bill: The whole bill.
        anchors: Job's name → id of the element that tells more of it.
        most: How many rows at the most.
    """
    if not lines:
        return ""
    body = "".join(
        f'<tr data-order="{number}">{"".join(map(_tag, _HEAD, _cells(line, bill, anchors)))}</tr>'
        for number, line in enumerate(lines[:most])
    )
    head = "".join(
        f'<th scope="col"{" class=number" if index >= 3 else ""}>{title}</th>'
        for index, title in enumerate(_HEAD)
    )
    left = len(lines) - most
    more = f'<p class="soft">{left:,} more lines are not shown.</p>' if left > 0 else ""
    return (
        f'<table class="jobs"><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
        f"{_foot(lines, bill)}</table>{more}"
    )


def _tag(title: str, cell: _Cell) -> str:
    style = f' class="{cell.style}"' if cell.style else ""
    value = escape(cell.order) if isinstance(cell.order, str) else f"{cell.order:.6g}"
    return f'<td{style} data-title="{title}" data-value="{value}">{cell.inner}</td>'


def _cells(line: Line, bill: Bill, anchors: Mapping[str, str]) -> Iterator[_Cell]:
    title = one_line(line.title, 120)
    anchor = line.anchor(anchors)
    name = f'<a href="#{anchor}">{escape(title)}</a>' if anchor else escape(title)
    yield _Cell(f"<b>{name}</b><small>{escape(_kind(line))}</small>", title, "job")
    yield _Cell(
        f'<span class="badge {line.state}">{line.state}</span>{_spot(line)}', line.state, "status"
    )
    kinds = {instances(entry.row.instance_type, entry.row.instance_count) for entry in line.entries}
    words = one_line(", ".join(sorted(filter(None, kinds))), 120)
    yield _Cell(escape(words) or _NOTHING, words, "mono instance")
    yield _Cell(duration(line.seconds), line.seconds, "number")
    yield from _paid(line, bill)


def _kind(line: Line) -> str:
    if line.is_map:
        return state_counts(line)
    tries = len(line.entries)
    return line.last.row.kind_title + (f", {tries} tries" if tries > 1 else "")


def _spot(line: Line) -> str:
    saved = [entry.savings_percent for entry in line.entries]
    known = [percent for percent in saved if percent is not None]
    if known:
        return f'<span class="chip">spot, saved {sum(known) / len(known):.0f}%</span>'
    return '<span class="chip">spot</span>' if line.last.row.spot else ""


def _paid(line: Line, bill: Bill) -> Iterator[_Cell]:
    billed = [entry.instance_seconds for entry in line.entries]
    known = [seconds for seconds in billed if seconds is not None]
    seconds = sum(known) if known else None
    yield _Cell(
        _NOTHING if seconds is None else duration(seconds),
        -1.0 if seconds is None else seconds,
        "number",
    )
    cost = line.cost_usd
    yield _Cell(
        f'<span class="soft">{_NOTHING}</span>' if cost is None else dollars(cost),
        -1.0 if cost is None else cost,
        "number cost",
    )
    share = cost / bill.usd if cost is not None and bill.usd else None
    if share is None:
        yield _Cell("", -1.0, "number share")
        return
    words = "&lt;1%" if 0 < share < 0.01 else f"{share * 100:.0f}%"
    yield _Cell(
        f'<span class="bill"><i style="width:{share * 100:.2f}%"></i></span><small>{words}</small>',
        share,
        "number share",
    )


def _foot(lines: Sequence[Line], bill: Bill) -> str:
    if len(lines) < 2:
        return ""
    billed = _NOTHING if bill.instance_seconds is None else duration(bill.instance_seconds)
    cost = _NOTHING if bill.usd is None else dollars(bill.usd)
    return (
        f'<tfoot><tr><th scope="row" colspan="4">Total of {bill.jobs:,} jobs</th>'
        f'<td class="number" data-title="Billed">{billed}</td>'
        f'<td class="number" data-title="Cost">{cost}</td><td></td></tr></tfoot>'
    )
