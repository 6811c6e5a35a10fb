"""What stands above and below the table: where all stands, results, log lines, failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, chop_cells
from rich.style import Style
from rich.text import Text

from cdao_sdk.catalog.prices import dollars
from cdao_sdk.monitor import wording
from cdao_sdk.monitor.bill import bill_of
from cdao_sdk.monitor.groups import JobGroup, fold, same_failures, span_seconds, state_counts
from cdao_sdk.monitor.terminal.columns import GAP
from cdao_sdk.monitor.terminal.signs import STYLES
from cdao_sdk.monitor.terminal.table import cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot
    from cdao_sdk.monitor.terminal.signs import Signs

__all__ = ["failure", "failures", "header", "of_job", "of_running", "packed", "results", "wrapped"]

_LABEL_CELLS = 24
_TAIL_WHILE_LIVE = 3
_MOST_FAILURES = 10


def packed(parts: Sequence[Text], width: int) -> list[Text]:
    """Parts in as few lines as they fit in, none of them torn."""
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + GAP + part.cell_len <= width:
            lines[-1].append(" " * GAP).append_text(part)
        else:
            lines.append(Text(no_wrap=True).append_text(part))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def wrapped(
    text: str, width: int, style: str, *, indent: int = 0, label: str = "", words: bool = True
) -> list[Text]:
    """A text over several lines, its label before the first.

    Args:
        text: The text.
        width: Cells of the screen.
        style: How the text looks.
        indent: Blanks before it and its label.
        label: What stands before the first line.
        words: Whether to break at words; else every blank is kept.
    """
    room = max(width - indent - cell_len(label), 10)
    blanks = " " * (indent + cell_len(label))
    lines: list[Text] = []
    pieces = _broken(text, room) if words else chop_cells(text, room)
    for piece in pieces:
        start = f"{' ' * indent}{label}" if not lines else blanks
        lines.append(Text(no_wrap=True).append(start, "dim").append(piece, style))
    return lines


def _broken(text: str, room: int) -> Iterator[str]:
    for line in text.splitlines():
        words = line.lstrip(" ")
        current = " " * min(len(line) - len(words), room // 2)
        for word in words.split(" "):
            candidate = f"{current} {word}" if current.strip() else f"{current}{word}"
            if cell_len(candidate) <= room:
                current = candidate
                continue
            if current.strip():
                yield current
            *whole, current = chop_cells(word, room) or [""]
            yield from whole
        yield current


def header(snapshot: Snapshot, width: int, signs: Signs) -> list[Text]:
    """What is watched and how it stands; how many jobs are where; what it costs."""
    outcome = snapshot.outcome
    head = [Text(cut(snapshot.title, width, signs), style="bold")]
    status = snapshot.status or outcome.upper()
    head.append(Text(f"{signs.states[outcome]} {status}", style=STYLES[outcome]))
    if snapshot.jobs:
        head.append(Text(wording.duration(span_seconds(snapshot.jobs))))
    facts = [
        Text(f"{signs.states[state]} {words}", style=STYLES[state])
        for state, words in state_counts(snapshot.jobs)
    ]
    lines = packed(head, width)
    lines += packed([*facts, *_bill(snapshot)], width)
    if snapshot.note:
        lines += wrapped(snapshot.note, width, "yellow")
    return lines


def _bill(snapshot: Snapshot) -> list[Text]:
    bill = bill_of(snapshot.jobs)
    if bill.cost_usd is None:
        return []
    so_far = "" if snapshot.jobs_are_over else " so far"
    parts = [Text(f"{dollars(bill.cost_usd)}{so_far} (list price)", style="bold")]
    if bill.unpriced:
        parts.append(Text(bill.unpriced_words, style="dim"))
    if bill.saved_usd is not None and bill.saved_percent is not None:
        saved = f"spot saved {dollars(bill.saved_usd)} ({bill.saved_percent:.0f}%)"
        parts.append(Text(saved, style="green"))
    return parts


def of_running(snapshot: Snapshot, width: int, signs: Signs) -> list[Text]:
    """One line of the running job that is most worth it: the last that has printed something."""
    talking = [row for row in snapshot.jobs if row.state == "running" and row.log_tail]
    if not talking:
        return []
    row = max(talking, key=lambda row: row.started or row.created)
    return [_log_line(row, row.log_tail[-1], width, signs)]


def of_job(row: JobRow, width: int, signs: Signs) -> list[Text]:
    """All about the job that is pointed at, in a few lines."""
    lines = [Text(cut(f"{row.label}  {row.name}", width, signs), style="bold")]
    if row.message and row.message != row.error:
        lines.append(Text(cut(row.message, width, signs), style="dim"))
    if row.metrics:
        lines.append(Text(cut(wording.metric_list(row.metrics), width, signs)))
    if row.hyperparameters:
        given = "  ".join(f"{name}={value}" for name, value in row.hyperparameters.items())
        lines.append(Text(cut(given, width, signs), style="dim"))
    if row.utilization:
        used = "  ".join(f"{name} {value:.0f}%" for name, value in row.utilization.items())
        lines.append(Text(cut(used, width, signs), style="dim"))
    if row.hint:
        lines += wrapped(row.hint, width, "yellow", label="hint: ")
    if row.artifact:
        lines.append(Text(cut(row.artifact, width, signs), style="blue"))
    if row.links:  # a terminal that knows links opens them; an URL is longer than the screen
        pages = [Text(title, Style(color="blue", link=url)) for title, url in row.links]
        lines += packed(pages, width)
    if row.error:
        return [*lines, *failure(row, width, signs, tail=_TAIL_WHILE_LIVE)[1:]]
    if row.log_tail:
        lines.append(_log_line(row, row.log_tail[-1], width, signs))
    return lines


def _log_line(row: JobRow, line: str, width: int, signs: Signs) -> Text:
    label = cut(row.label, _LABEL_CELLS, signs)
    text = Text(no_wrap=True).append(f"{label} {signs.rule} ", STYLES[row.state])
    text.append(cut(line, width - cell_len(label) - 3, signs), "dim")
    return text


def failures(
    snapshot: Snapshot, width: int, signs: Signs, *, tail: int | None = None
) -> list[Text]:
    """Why jobs failed, and the mends."""
    alike = same_failures(snapshot.jobs)
    lines: list[Text] = []
    for row, *others in alike[:_MOST_FAILURES]:
        # The execution's error is shown below, with the log's end in it.
        told = snapshot.tells_of(row)
        if told and (row.diagnosis is None or row.diagnosis.mend in snapshot.error):
            continue
        lines += failure(row, width, signs, tail=tail, told=told)
        if others:
            rest = f"  {signs.ellipsis} {len(others)} more failed in the same way"
            lines.append(Text(rest, style=STYLES["failed"]))
    if len(alike) > _MOST_FAILURES:
        rest = f"{signs.ellipsis} {sum(map(len, alike[_MOST_FAILURES:]))} more failed"
        lines.append(Text(rest, style=STYLES["failed"]))
    return lines


def failure(
    row: JobRow, width: int, signs: Signs, *, tail: int | None = None, told: bool = False
) -> list[Text]:
    """Why a job failed, the mend, and its last log lines.

    Args:
        row: The job.
        width: Cells of the screen.
        signs: The characters to use.
        tail: Log lines at the most; None: all that there are.
        told: Whether error and log lines are said elsewhere.
    """
    head = f"{signs.states['failed']} {row.label}  {row.name}"
    lines = [Text(cut(head, width, signs), style=STYLES["failed"])]
    if row.diagnosis is None:
        lines += [] if told else wrapped(row.error, width, "red", indent=2)
    else:
        label = f"{row.diagnosis.failure_class}: "
        cause = row.diagnosis.cause
        lines += [] if told else wrapped(cause, width, "red", indent=2, label=label)
        lines += wrapped(row.diagnosis.mend, width, "bold", indent=2, label="mend: ")
    if told:
        return lines
    shown = row.log_tail if tail is None else row.log_tail[-tail:] if tail else ()
    for line in shown:
        label = f"{signs.rule} "
        lines += wrapped(line, width, "dim", indent=2, label=label, words=False)[:_PIECES]
    return lines


_PIECES = 4  # a log line of a megabyte is not worth the screen


def results(snapshot: Snapshot, width: int, signs: Signs) -> list[Text]:
    """Metrics, artefacts and hints of each job; those of groups would be too many."""
    lines: list[Text] = []
    for entry in fold(snapshot.jobs):
        if isinstance(entry, JobGroup):
            continue
        facts = [Text(wording.metric_list(entry.metrics), style="bold")] if entry.metrics else []
        facts += [Text(entry.artifact, style="blue")] if entry.artifact else []
        facts += [Text(f"hint: {entry.hint}", style="yellow")] if entry.hint else []
        label = cut(entry.label, _LABEL_CELLS, signs)
        for fact in facts:
            cells = min(_LABEL_CELLS, width // 3)
            start = Text().append(label.ljust(cells) + " ", STYLES[entry.state])
            # Not cut: an URI is copied from here.
            lines.append(start.append_text(fact))
            label = ""
    return lines
