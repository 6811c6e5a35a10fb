"""A job's deck: one HTML page for Flyte's console, without scripts and outside requests. Pure."""

from __future__ import annotations

import functools
import importlib.resources
import textwrap
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cdao_sdk.catalog.prices import dollars
from cdao_sdk.flyte.deck_charts import (
    duration,
    line_chart,
    moment,
    number,
    timeline,
    words,
)
from cdao_sdk.kinds.redaction import one_line, redacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cdao_sdk.flyte.deck_facts import JobFacts
    from cdao_sdk.kinds.failures import Diagnosis

__all__ = [
    "MOST_BYTES",
    "card",
    "deck_style",
    "is_web_link",
    "job_deck",
    "job_sections",
    "log_end",
    "metric_list",
    "traceback",
    "web_links",
]

MOST_BYTES = 200_000
"""No deck is larger."""

_NOTHING = "\u2013"
_ROWS, _VALUE = 100, 600
_METRICS = 40
_URL = 2_000
_LOG_LINES, _LOG_LINE = 60, 500
_LOOKED_AT = 1_500  # characters of a text in which secrets are looked for, before it is cut

# Nothing may be loaded or run; the page's own style is all that it has.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def job_deck(facts: JobFacts) -> str:
    """A job's facts as one self-contained HTML page, of at most 200 KB.

    Args:
        facts: What :func:`cdao_sdk.flyte.deck_facts.facts_of` read.

    Returns:
        HTML. Texts of the job's are escaped, and secrets in them hidden.
    """
    pages = (_page(facts, share) for share in (1.0, 0.5, 0.25, 0.1, 0.02))  # long lists are cut
    return next(page for page in pages if len(page.encode("utf-8", "replace")) <= MOST_BYTES)


@functools.cache
def deck_style() -> str:
    """The deck's CSS."""
    return (importlib.resources.files("cdao_sdk.flyte") / "deck.css").read_text("utf-8")


def _page(facts: JobFacts, share: float) -> str:
    title = escape(one_line(facts.job_name, 120))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{title}</title><style>{deck_style()}</style></head>"
        f"<body>{_header(facts)}{job_sections(facts, share)}{_footer(facts)}</body></html>"
    )


def job_sections(facts: JobFacts, share: float = 1.0, *, has_metrics: bool = True) -> str:
    """What a deck says of a job between its header and its footer.

    Args:
        facts: The job.
        share: How much of long lists is shown, from 0 to 1.
        has_metrics: Whether its metrics are wanted.
    """
    rows = max(1, int(_ROWS * share))
    parts = (
        _tiles(facts),
        _failure(facts, share) if facts.diagnosis else "",
        card("Timeline", timeline(facts.stages[:rows], facts.ended or facts.taken)),
        card("Metrics", metric_list(facts, share)) if has_metrics else "",
        _columns(
            card("Job", _table(_job_rows(facts), rows)),
            card("Data", _table(_data_rows(facts), rows))
            + card("Hyperparameters", _table(facts.hyperparameters.items(), rows)),
        ),
        "" if facts.diagnosis else log_end(facts, share, "card"),
    )
    return "".join(parts)


def _header(facts: JobFacts) -> str:
    links = web_links(facts.links)
    message = one_line(facts.message, 200)
    said = {facts.status.lower(), facts.secondary_status.lower()}
    repeats = facts.diagnosis is not None or message.lower() in said
    status = escape(words(facts.status)) or "Unknown"
    marks = [
        f'<span class="badge {facts.state}">{status}</span>',
        f'<span class="chip">{escape(words(facts.secondary_status))}</span>'
        if facts.secondary_status and facts.secondary_status != facts.status
        else "",
        '<span class="chip">Spot</span>' if facts.spot else "",
        f'<span class="soft">{escape(message)}</span>' if message and not repeats else "",
    ]
    return (
        f'<header><div><p class="kind">{escape(one_line(facts.title, 60))} job</p>'
        f"<h1>{escape(one_line(facts.job_name, 200)) or _NOTHING}</h1>"
        f'<div class="marks">{"".join(marks)}</div></div>'
        + (f"<nav>{links}</nav>" if links else "")
        + "</header>"
    )


def web_links(links: Sequence[tuple[str, str]]) -> str:
    """(title, URL) as links, those that are none left out."""
    return "".join(
        f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">'
        f"{escape(one_line(title, 60))}</a>"
        for title, url in links[:8]
        if is_web_link(url)
    )


def is_web_link(url: str) -> bool:
    """Whether a link leads to a page, runs nothing and bears no secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    is_web = parts.scheme in ("https", "http") and bool(parts.netloc)
    return is_web and len(url) <= _URL and url == redacted(url)  # a signed one is a secret


def _tiles(facts: JobFacts) -> str:
    seconds = facts.seconds
    instances = " + ".join(
        f"{count} \u00d7 {escape(one_line(name, 40))}" for name, count in facts.hosts[:4]
    )
    billed = facts.billable_seconds
    tiles = [
        ("Duration", _NOTHING if seconds is None else duration(seconds), "", ""),
        ("Billed", _NOTHING if billed is None else duration(billed), _billed_note(facts), ""),
        ("Cost", *_cost(facts), ""),
        ("Instances", instances or _NOTHING, "", "words"),
    ]
    if facts.savings_percent is not None:
        tiles.insert(3, ("Spot saved", f"{facts.savings_percent:.0f}%", "of the training time", ""))
    cells = "".join(
        f"<div><dt>{title}</dt><dd{f' class={kind}' if kind else ''}>{value}"
        + (f"<small>{note}</small>" if note else "")
        + "</dd></div>"
        for title, value, note, kind in tiles
    )
    return f'<dl class="card tiles">{cells}</dl>'


def _billed_note(facts: JobFacts) -> str:
    several = sum(count for _, count in facts.hosts) > 1
    return "for each instance" if several and facts.billable_seconds is not None else ""


def _cost(facts: JobFacts) -> tuple[str, str]:
    if facts.cost is None:
        unpriced = facts.billable_seconds is not None and facts.hosts
        return _NOTHING, "no list price is known" if unpriced else ""
    as_of = f" of {escape(facts.cost.as_of)}" if facts.cost.as_of else ""
    return dollars(facts.cost.usd), f"list price{as_of}, without storage"


def _failure(facts: JobFacts, share: float) -> str:
    diagnosis = facts.diagnosis
    if diagnosis is None:
        return ""
    evidence = one_line(diagnosis.evidence, 500)
    elsewhere = (diagnosis.cause, diagnosis.user_traceback, facts.status, facts.secondary_status)
    said = not any(evidence in text for text in elsewhere)
    retry = "another attempt may succeed" if diagnosis.retryable else "a retry alone will not help"
    return (
        '<section class="card failure"><h2>What went wrong '
        f'<span class="badge failed">{escape(diagnosis.failure_class)}</span>'
        f'<span class="chip">{retry}</span></h2>'
        f'<p class="cause">{escape(one_line(diagnosis.cause, 500))}</p>'
        f'<p class="mend"><b>What to do:</b> {escape(one_line(diagnosis.mend, 500))}</p>'
        + (f'<p class="evidence mono soft">{escape(evidence)}</p>' if said else "")
        + traceback(diagnosis)
        + log_end(facts, share)
        + "</section>"
    )


def traceback(diagnosis: Diagnosis) -> str:
    """The end of the user's traceback, unfolded; empty if there is none."""
    lines = textwrap.dedent(redacted(diagnosis.user_traceback)).splitlines()[-20:]
    if not lines:
        return ""
    text = "\n".join(escape(line[:_LOG_LINE], quote=False) for line in lines)
    return f"<details open><summary>Traceback</summary><pre>{text}</pre></details>"


def log_end(facts: JobFacts, share: float = 1.0, style: str = "") -> str:
    """The log's end; open where it alone tells why the job failed."""
    kept = max(1, int(_LOG_LINES * share))
    lines = [redacted(line[:_LOOKED_AT])[:_LOG_LINE].rstrip() for line in facts.log_tail[-kept:]]
    if not any(lines):
        return ""
    text = "\n".join(escape(line, quote=False) for line in lines)
    count = f"Last {len(lines)} log lines" if len(lines) > 1 else "Last log line"
    shown = " open" if facts.diagnosis and not facts.diagnosis.user_traceback else ""
    inner = f"<details{shown}><summary>{count}</summary><pre>{text}</pre></details>"
    return f'<section class="{style}">{inner}</section>' if style else inner


def metric_list(facts: JobFacts, share: float = 1.0) -> str:
    """Those that have a course first, with its chart; then those of one value."""
    known = {name: points[-1][1] for name, points in facts.series.items() if points}
    values = {**known, **facts.metrics}
    most = max(1, int(_METRICS * share))
    drawn: list[str] = []
    plain: list[str] = []
    for name, value in values.items():
        chart = line_chart(one_line(name, 120), facts.series.get(name, ()))
        (drawn if chart else plain).append(
            f'<li><div class="name">{escape(one_line(name, 120))}</div>'
            f'<div class="value">{number(value)}</div>{chart}</li>'
        )
        if max(len(drawn), len(plain)) >= most:
            break
    lists = (("metrics", drawn), ("metrics plain", plain))
    return "".join(f'<ul class="{style}">{"".join(each)}</ul>' for style, each in lists if each)


def _job_rows(facts: JobFacts) -> Iterable[tuple[str, str]]:
    yield "Execution", facts.execution
    yield "ARN", facts.arn
    yield "Image", facts.image
    yield "Role", facts.role
    yield "Region", facts.region
    for title, at in (
        ("Created", facts.created),
        ("Started", facts.started),
        ("Ended", facts.ended),
    ):
        yield title, moment(at) if at else ""


def _data_rows(facts: JobFacts) -> Iterable[tuple[str, str]]:
    yield from ((f"in: {name}" if name else "in", uri) for name, uri in facts.inputs)
    yield from ((f"out: {name}" if name else "out", uri) for name, uri in facts.outputs)


def _table(rows: Iterable[tuple[str, str]], most: int) -> str:
    filled = [(name, value) for name, value in rows if value]
    cells = "".join(
        f'<tr><th scope="row">{escape(one_line(name, 120))}</th>'
        f'<td class="mono">{escape(_named(name, value))}</td></tr>'
        for name, value in filled[:most]
    )
    rest = len(filled) - most
    more = f'<tr><th>…</th><td class="soft">{rest} more</td></tr>' if rest > 0 else ""
    return f"<table>{cells}{more}</table>" if cells else ""


def _named(name: str, value: str) -> str:
    """A value in one line; it is looked at with its name, so that a password is seen to be one."""
    name = name[:120]
    shown = one_line(f"{name}={value[:_LOOKED_AT]}", _VALUE + len(name))
    return shown[len(name) + 1 :] if shown.startswith(f"{name}=") else shown


def _columns(*sides: str) -> str:
    filled = "".join(f"<div>{side}</div>" for side in sides if side)
    return f'<div class="columns">{filled}</div>' if filled else ""


def card(title: str, inner: str) -> str:
    """A part of the page under a title; empty if there is nothing in it."""
    return f'<section class="card"><h2>{title}</h2>{inner}</section>' if inner else ""


def _footer(facts: JobFacts) -> str:
    seen = f", seen {moment(facts.taken)}" if facts.taken else ""
    execution = escape(one_line(facts.execution, 100))
    whole = f" All jobs of its execution: <code>cdao report {execution}</code>" if execution else ""
    return f"<footer>Written by CDAO SDK from SageMaker's answer{seen}.{whole}</footer>"
