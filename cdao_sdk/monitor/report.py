"""An execution's report: one HTML file, without outside requests. Pure."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
from datetime import timezone
from html import escape
from typing import TYPE_CHECKING

from cdao_sdk.catalog.prices import dollars
from cdao_sdk.flyte.deck import card, deck_style, web_links
from cdao_sdk.flyte.deck_charts import moment
from cdao_sdk.kinds.redaction import one_line, redacted
from cdao_sdk.monitor.report_contents import contents_of, cost_note, path_words, saved_words
from cdao_sdk.monitor.report_facts import RunFacts
from cdao_sdk.monitor.report_jobs import Choice, failures, job_details, metrics
from cdao_sdk.monitor.report_table import jobs_table
from cdao_sdk.monitor.report_timeline import gantt
from cdao_sdk.monitor.wording import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdao_sdk.flyte.deck_facts import JobFacts
    from cdao_sdk.monitor.report_contents import Contents
    from cdao_sdk.monitor.snapshot import Snapshot

__all__ = ["MOST_BYTES", "execution_report", "report_page"]

MOST_BYTES = 1_500_000
"""No report is larger."""

_NOTHING = "\u2013"
_LINES = 300
_HINTS = 20


def execution_report(
    snapshot: Snapshot, *, run: RunFacts | None = None, jobs: Mapping[str, JobFacts] | None = None
) -> str:
    """An execution's jobs as one self-contained HTML page, of at most 1.5 MB.

    It says the same without its script, which sorts the table and unfolds all jobs at once.

    Args:
        snapshot: The jobs.
        run: What is known of the execution.
        jobs: What SageMaker's descriptions told, by the job's name; any may be missing.

    Returns:
        HTML. Texts of the jobs' are escaped, and secrets in them hidden.
    """
    return report_page(contents_of(snapshot, run or RunFacts(), jobs or {}))


def report_page(contents: Contents) -> str:
    """The HTML of what a report shows; see :func:`execution_report`."""
    pages = (_page(contents, share) for share in (1.0, 0.5, 0.25, 0.1, 0.02))  # long lists are cut
    return next(page for page in pages if len(page.encode("utf-8", "replace")) <= MOST_BYTES)


@functools.cache
def _file(name: str) -> str:
    return (importlib.resources.files("cdao_sdk.monitor") / name).read_text("utf-8").strip()


@functools.cache
def _policy() -> str:
    """Nothing may be loaded, and no script run but the page's own."""
    digest = hashlib.sha256(_file("report.js").encode()).digest()
    own = base64.b64encode(digest).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{own}'"


def _page(contents: Contents, share: float) -> str:
    choice = Choice.of(contents, share)
    lines = contents.lines[: max(1, int(_LINES * share))]
    critical = {entry.row.name for entry in contents.path}
    picture = gantt(lines, contents.span, critical, choice.anchors)
    parts = (
        _header(contents),
        _tiles(contents),
        failures(contents, choice),
        card("Timeline", picture + _path(contents) if picture else ""),
        card("Jobs", jobs_table(contents.lines, contents.bill, choice.anchors, most=len(lines))),
        card("Worth knowing", _notes(contents)),
        card("Metrics", metrics(contents, share)),
        job_details(choice),
        _footer(contents),
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escape(one_line(contents.name, 120))}: {contents.status}</title>"
        f"<style>{deck_style()}{_file('report.css')}</style></head>"
        f"<body>{''.join(parts)}<script>{_file('report.js')}</script></body></html>"
    )


def _header(contents: Contents) -> str:
    run, snapshot = contents.run, contents.snapshot
    place = ", ".join(filter(None, (run.project, run.domain)))
    where = "built-in SageMaker" if run.is_embedded else one_line(run.region, 40)
    chips = "".join(
        f'<span class="chip">{escape(one_line(text, 80))}</span>' for text in (place, where) if text
    )
    status = {"running": "Running so far"}.get(contents.status, contents.status.capitalize())
    links = web_links([("Flyte console", run.url)] if run.url else [])
    name = one_line(contents.name, 120) or _NOTHING
    shown_id = run.id if run.id != contents.name else ""
    return (
        f'<header><div><p class="kind">{"Workflow execution" if shown_id else "SageMaker jobs"}</p>'
        f"<h1>{escape(name)}</h1>"
        f'<p class="mono soft">{escape(one_line(shown_id, 120))}</p>'
        f'<div class="marks"><span class="badge {snapshot.outcome}">{status}</span>{chips}'
        "</div></div>" + (f"<nav>{links}</nav>" if links else "") + "</header>"
    )


def _tiles(contents: Contents) -> str:
    cells = "".join(
        f"<div><dt>{title}</dt><dd>{value}"
        + (f"<small>{escape(note)}</small>" if note else "")
        + "</dd></div>"
        for title, value, note in _tile_values(contents)
    )
    return f'<dl class="card tiles">{cells}</dl>'


def _tile_values(contents: Contents) -> Iterator[tuple[str, str, str]]:
    known, when = contents.bill, contents.span
    yield "Duration", duration(when.seconds), _when(contents)
    yield "Jobs", f"{known.jobs:,}", _counts(contents)
    billed = _NOTHING if known.instance_seconds is None else duration(known.instance_seconds)
    yield "Instance time", billed, "billed, of all instances" if known.instance_seconds else ""
    yield "Cost", _NOTHING if known.usd is None else dollars(known.usd), cost_note(contents)
    if (saved := saved_words(known)) is not None:
        percent, usd = saved
        of = "the spot jobs' price" if known.saved_usd is not None else "the spot jobs' time"
        yield "Spot saved", percent, f"{usd.strip('()')} of {of}".strip() if usd else f"of {of}"


def _when(contents: Contents) -> str:
    start, end = (at.astimezone(timezone.utc) for at in (contents.span.start, contents.span.end))
    since = f"{start:%Y-%m-%d %H:%M}"
    if not contents.span.is_over:
        return f"since {since} UTC"
    if contents.span.seconds < 60:
        return f"{since} UTC"
    return f"{since} to {end:{'%H:%M' if start.date() == end.date() else '%Y-%m-%d %H:%M'}} UTC"


def _counts(contents: Contents) -> str:
    states = [entry.row.state for entry in contents.entries]
    order = ("running", "waiting", "failed", "stopped", "succeeded")
    return ", ".join(f"{states.count(state):,} {state}" for state in order if state in states)


def _path(contents: Contents) -> str:
    path = contents.path
    if len(path) < 2:
        return ""
    worked = sum(entry.row.elapsed_seconds for entry in path)
    longest = max(path, key=lambda entry: entry.row.elapsed_seconds)
    guessed = "" if contents.run.needs else " As their times tell: the graph is not known here."
    share = longest.row.elapsed_seconds / contents.span.seconds * 100
    return (
        f'<p class="path-words"><b>Critical path</b> {escape(one_line(path_words(path), 500))}: '
        f"{duration(min(worked, contents.span.seconds))} of {duration(contents.span.seconds)} in"
        f" jobs. Longest: {escape(one_line(longest.title, 80))},"
        f" {min(share, 100):.0f}% of the time.{guessed}</p>"
    )


def _notes(contents: Contents) -> str:
    notes = [(entry.title, entry.row.hint) for entry in contents.entries if entry.row.hint]
    hidden = len(notes) - _HINTS
    notes = notes[:_HINTS] + ([("", f"{hidden} more hints of this kind.")] if hidden > 0 else [])
    if contents.retried:
        tries = f"{contents.retried:,} failed tr{'y was' if contents.retried == 1 else 'ies were'}"
        notes.insert(0, ("", f"{tries} made good by a later one."))
    if contents.snapshot.note:
        notes.insert(0, ("", contents.snapshot.note))
    items = "".join(
        "<li>"
        + (f"<b>{escape(one_line(title, 80))}</b> " if title else "")
        + f"{escape(one_line(redacted(text), 400))}</li>"
        for title, text in notes
    )
    return f'<ul class="notes">{items}</ul>' if items else ""


def _footer(contents: Contents) -> str:
    run = contents.run
    version = f" {escape(one_line(run.sdk_version, 40))}" if run.sdk_version else ""
    again = (
        f" To make it again: <code>cdao report {escape(one_line(run.id, 100))}</code>"
        if run.id
        else ""
    )
    region = f", region {escape(one_line(run.region, 40))}" if run.region else ""
    return (
        f"<footer>Written by CDAO SDK{version} from SageMaker's answers of"
        f" {moment(contents.snapshot.taken)}{region}. Times are in UTC.{again}</footer>"
    )
