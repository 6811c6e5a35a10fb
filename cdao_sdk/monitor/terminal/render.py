"""A snapshot as lines for a screen: pure, so it is drawn the same wherever it is tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from cdao_sdk.monitor.terminal import details
from cdao_sdk.monitor.terminal.signs import STYLES, UNICODE
from cdao_sdk.monitor.terminal.state import JobLine, ViewState, lines_of
from cdao_sdk.monitor.terminal.table import Table, cut, shown_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot
    from cdao_sdk.monitor.terminal.signs import Signs
    from cdao_sdk.monitor.terminal.state import Line

__all__ = ["Screen", "draw", "render", "table_height"]

_FEWEST_TABLE_LINES = 3
_TAIL_WHILE_LIVE = 3
_ANSWERS = (
    ("s", "stop them"),
    ("q", "or Ctrl-C: look away, they go on"),
    ("any other key", "go on watching"),
)


@dataclass(frozen=True)
class Screen:
    """What there is to draw on.

    Attributes:
        width: Columns.
        height: Lines; None: as many as it takes.
        signs: The characters that it can show.
        keys: Whether keys are answered.
        may_stop: Whether jobs can be stopped, or looked away from, here.
    """

    width: int
    height: int | None = None
    signs: Signs = UNICODE
    keys: bool = False
    may_stop: bool = False


def render(snapshot: Snapshot, width: int, height: int | None = None) -> RenderableType:
    """A snapshot as a table, with what is worth knowing below it.

    Args:
        snapshot: What to show.
        width: Columns of the screen.
        height: Lines of the screen; None shows every job.
    """
    return Group(*draw(snapshot, Screen(width, height)))


def draw(
    snapshot: Snapshot,
    screen: Screen,
    state: ViewState | None = None,
) -> list[Text]:
    """A snapshot as lines that each fit the screen's width.

    Args:
        snapshot: What to show.
        screen: Where.
        state: What the person at the keys has chosen.
    """
    chosen = state or ViewState()
    if screen.height is None:
        return _whole(snapshot, screen)
    row = next((row for row in snapshot.jobs if row.name == chosen.log_of), None)
    if row is not None:
        return _log(row, screen, chosen)
    return _live(snapshot, screen, chosen)


def table_height(screen: Screen) -> int:
    """About how many lines of the table there is room for: what a page is."""
    return max((screen.height or 24) - 9, _FEWEST_TABLE_LINES)


def _whole(snapshot: Snapshot, screen: Screen) -> list[Text]:
    """Everything, however long: the end, and what is left on the screen."""
    width, signs = screen.width, screen.signs
    lines = lines_of(snapshot)
    parts = [
        details.header(snapshot, width, signs),
        _table(lines, lines, snapshot, screen, ""),
        details.of_running(snapshot, width, signs),
        details.results(snapshot, width, signs),
        details.failures(snapshot, width, signs),
        details.wrapped(snapshot.error, width, "red") if snapshot.error else [],
    ]
    return _with_blanks(parts)


def _live(snapshot: Snapshot, screen: Screen, state: ViewState) -> list[Text]:
    height = screen.height or 0
    lines = lines_of(snapshot, state)
    head = details.header(snapshot, screen.width, screen.signs)
    foot = _foot(screen, state)
    below = _below(snapshot, lines, screen, state)
    # A blank line above the table and one below; the cursor has the last line.
    room = height - 1 - len(head) - len(foot) - 2
    wanted = len(lines) + 1
    most_below = max(room - wanted - 1, min(room // 3, len(below)))
    below = below[: max(min(most_below, room - _FEWEST_TABLE_LINES - 2), 0)]
    most = max(room - len(below) - (1 if below else 0) - 1, 1)
    shown, rest = shown_lines(lines, most, state.selected)
    table = _table(shown, lines, snapshot, screen, state.selected)
    if rest:
        table.append(
            Text(cut(f"{screen.signs.ellipsis} {rest}", screen.width, screen.signs), "dim")
        )
    drawn = _with_blanks([head, table, below])
    drawn += [Text(""), *foot] if foot else []
    return drawn if len(drawn) < height else drawn[: height - 1 - len(foot)] + foot


def _table(
    shown: Sequence[Line],
    lines: Sequence[Line],
    snapshot: Snapshot,
    screen: Screen,
    selected: str,
) -> list[Text]:
    if not lines:
        return [Text("no job has failed" if snapshot.jobs else "no job yet", style="dim")]
    table = Table(lines, snapshot, screen.width, screen.signs, pointer=screen.keys)
    drawn = [table.line(line, is_selected=line.key == selected) for line in shown]
    return [table.head(), *drawn]


def _below(
    snapshot: Snapshot, lines: Sequence[Line], screen: Screen, state: ViewState
) -> list[Text]:
    width, signs = screen.width, screen.signs
    pointed = next((line for line in lines if line.key == state.selected), None)
    if isinstance(pointed, JobLine):
        return details.of_job(pointed.row, width, signs)
    parts = [
        details.of_running(snapshot, width, signs),
        details.failures(snapshot, width, signs, tail=_TAIL_WHILE_LIVE),
        details.wrapped(snapshot.error, width, "red") if snapshot.error else [],
    ]
    return _with_blanks(parts)


def _with_blanks(parts: Sequence[list[Text]]) -> list[Text]:
    drawn: list[Text] = []
    for part in parts:
        if part:
            drawn += [Text(""), *part] if drawn else part
    return drawn


def _foot(screen: Screen, state: ViewState) -> list[Text]:
    if state.asks:
        question = Text("Stop the jobs, or only look away?", style="bold yellow")
        answers = [Text().append(key, "bold").append(f" {meaning}") for key, meaning in _ANSWERS]
        return [question, *details.packed(answers, screen.width)]
    if state.said:
        return [Text(cut(state.said, screen.width, screen.signs), style="yellow")]
    if not screen.keys:
        return []
    keys = [(screen.signs.arrows, "move"), ("Enter", "open"), ("f", _only(state)), ("l", "log")]
    if screen.may_stop:
        keys += [("q", "look away"), ("Ctrl-C", "stop?")]
    else:
        keys.append(("Ctrl-C", "stop"))
    return [_key_line(keys, screen)]


def _only(state: ViewState) -> str:
    return "all jobs" if state.only_failed else "failed only"


def _key_line(keys: Sequence[tuple[str, str]], screen: Screen) -> Text:
    """One line; keys that have no room are left out from the second on, the last ones stay."""
    kept = list(keys)
    between = f" {screen.signs.dot} "

    def length() -> int:
        return sum(len(key) + 1 + len(word) for key, word in kept) + len(between) * (len(kept) - 1)

    while length() > screen.width and len(kept) > 1:
        kept.pop(min(1, len(kept) - 2))
    text = Text(no_wrap=True)
    for index, (key, word) in enumerate(kept):
        text.append(between if index else "", "dim").append(key, "bold").append(f" {word}", "dim")
    return text


def _log_lines(line: str, width: int) -> list[Text]:
    return details.wrapped(line, width, "", words=False) or [Text("")]


def _log(row: JobRow, screen: Screen, state: ViewState) -> list[Text]:
    """The end of a job's log, or what stands so many lines above it."""
    width, signs = screen.width, screen.signs
    room = max((screen.height or 24) - 4, 1)
    head = Text(cut(f"log of {row.label}  {row.name}", width, signs), style=STYLES[row.state])
    found = [line for line in row.log_tail if state.find.casefold() in line.casefold()]
    lines = [piece for line in found for piece in _log_lines(line, width)]
    offset = min(state.log_offset, max(len(lines) - room, 0))
    end = len(lines) - offset
    nothing = "no line has it" if row.log_tail else "nothing printed yet"
    shown = lines[max(end - room, 0) : end] or [Text(nothing, style="dim")]
    place = f"{signs.ellipsis} {offset} more below" if offset else "the end"
    if state.find:
        for line in shown:
            line.highlight_words([state.find], "reverse", case_sensitive=False)
        place = f"{len(found)} of the last {len(row.log_tail)} lines have it; {place}"
    return [head, *shown, Text(cut(place, width, signs), style="dim"), *_log_foot(screen, state)]


def _log_foot(screen: Screen, state: ViewState) -> list[Text]:
    if state.asks:
        return _foot(screen, state)
    if state.is_typing:
        # The end of a long text is what is being typed.
        typed = state.find[-max(screen.width - 40, 8) :]
        keys = [("Enter", "keep"), ("Esc", "all lines")]
        line = Text(no_wrap=True).append("find: ", "bold").append(typed).append(" ", "reverse")
        return details.packed([line, _key_line(keys, screen)], screen.width)[:1]
    clear = "all lines" if state.find else "back"
    keys = [(screen.signs.arrows, "scroll"), ("/", "find"), ("Esc", clear)]
    return [_key_line(keys, screen)]
