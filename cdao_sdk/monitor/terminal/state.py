"""What is looked at, and what a key does to it: pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from cdao_sdk.monitor.groups import JobGroup, fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot

__all__ = ["GroupLine", "JobLine", "Line", "RestLine", "ViewState", "lines_of", "press"]

_MOST_FAILED = 5  # of a group that is not unfolded
_PAGE_OVERLAP = 1
# Letters that move as the keys of these names do, where none are typed.
_MOVING = {"k": "up", "j": "down", "b": "page up", " ": "page down", "g": "home", "G": "end"}
_LONGEST_FIND = 100


@dataclass(frozen=True)
class JobLine:
    """A line of the table for one job."""

    row: JobRow
    depth: int = 0

    @property
    def key(self) -> str:
        """Tells it from other lines."""
        return self.row.name


@dataclass(frozen=True)
class GroupLine:
    """A line for many jobs of one step."""

    group: JobGroup
    is_open: bool = False

    @property
    def key(self) -> str:
        """Tells it from other lines; no job's name has a slash."""
        return self.group.key


@dataclass(frozen=True)
class RestLine:
    """A line that says what a group does not show."""

    key: str
    text: str


Line = JobLine | GroupLine | RestLine


@dataclass(frozen=True)
class ViewState:
    """What the person at the keys has chosen.

    Attributes:
        selected: Key of the line that is pointed at; empty: the view chooses what to show.
        only_failed: Whether other jobs are hidden.
        unfolded: Keys of groups whose jobs are all shown.
        log_of: Name of the job whose log is shown instead of the table; empty: none.
        log_offset: How many lines above the log's end the screen ends.
        find: Only lines of the log that have this in them are shown.
        is_typing: Whether keys write what is to be found.
        asks: Whether the question is open what Ctrl-C is to mean.
        said: What the view has to say about the last key.
    """

    selected: str = ""
    only_failed: bool = False
    unfolded: frozenset[str] = frozenset()
    log_of: str = ""
    log_offset: int = 0
    find: str = ""
    is_typing: bool = False
    asks: bool = False
    said: str = ""


Answer = Literal["", "stop", "look away"]


def lines_of(snapshot: Snapshot, state: ViewState | None = None) -> list[Line]:
    """The lines of the table, all that there are.

    Args:
        snapshot: The jobs.
        state: What has been chosen; None: nothing.
    """
    chosen = state or ViewState()
    if chosen.only_failed:
        return [JobLine(row) for row in snapshot.jobs if row.state == "failed"]
    lines: list[Line] = []
    for entry in fold(snapshot.jobs):
        if isinstance(entry, JobGroup):
            lines += _lines_of_group(entry, is_open=entry.key in chosen.unfolded)
        else:
            lines.append(JobLine(entry))
    return lines


def _lines_of_group(group: JobGroup, *, is_open: bool) -> list[Line]:
    head = GroupLine(group, is_open)
    if is_open:
        return [head, *(JobLine(row, 1) for row in group.rows)]
    lines: list[Line] = [head, *(JobLine(row, 1) for row in group.failed[:_MOST_FAILED])]
    if len(group.failed) > _MOST_FAILED:
        text = f"{len(group.failed) - _MOST_FAILED} more failed"
        lines.append(RestLine(f"{group.key}/rest", text))
    return lines


def press(
    state: ViewState, key: str, lines: Sequence[Line], *, page: int, may_stop: bool = True
) -> tuple[ViewState, Answer]:
    """What is looked at after a key, and what it answers.

    Args:
        state: What is looked at now.
        key: The key's name, such as ``"up"`` or ``"f"``; ``"interrupt"`` is Ctrl-C.
        lines: The table's lines now.
        page: How many lines the screen has for them.
        may_stop: Whether jobs can be stopped, or looked away from, here.
    """
    state = replace(state, said="")
    if state.asks:
        return _answered(state, key)
    if key == "interrupt":
        return replace(state, asks=may_stop), "" if may_stop else "look away"
    if state.is_typing:
        return _typed(state, key), ""
    key = _MOVING.get(key, key)
    if state.log_of:
        return _in_log(state, key, page), ""
    if key == "q" and may_stop:
        return state, "look away"
    return _in_table(state, key, lines, page), ""


def _answered(state: ViewState, key: str) -> tuple[ViewState, Answer]:
    closed = replace(state, asks=False)
    if key == "s":
        return closed, "stop"
    return closed, "look away" if key in ("interrupt", "q", "l") else ""


def _in_log(state: ViewState, key: str, page: int) -> ViewState:
    moves = {"up": 1, "down": -1, "page up": page - 1, "page down": 1 - page, "home": 10**9}
    if key == "/":
        return replace(state, is_typing=True, log_offset=0)
    if key == "escape" and state.find:
        return replace(state, find="", log_offset=0)
    if key in ("escape", "l", "q", "enter"):
        return replace(state, log_of="", log_offset=0, find="")
    if key == "end":
        return replace(state, log_offset=0)
    return replace(state, log_offset=max(state.log_offset + moves.get(key, 0), 0))


def _typed(state: ViewState, key: str) -> ViewState:
    if key == "enter":
        return replace(state, is_typing=False)
    if key == "escape":
        return replace(state, is_typing=False, find="")
    if key == "backspace":
        return replace(state, find=state.find[:-1])
    if len(key) == 1 and key.isascii() and key.isprintable():
        return replace(state, find=(state.find + key)[:_LONGEST_FIND])
    return state


def _in_table(state: ViewState, key: str, lines: Sequence[Line], page: int) -> ViewState:
    keys = [line.key for line in lines]
    index = keys.index(state.selected) if state.selected in keys else -1
    if key == "f":
        return replace(state, only_failed=not state.only_failed)
    if key == "escape":
        return replace(state, selected="", only_failed=False)
    if key == "enter":
        return _unfolded(state, lines[index] if index >= 0 else None)
    if key == "l":
        return _with_log(state, lines[index] if index >= 0 else None, lines)
    step = max(page - _PAGE_OVERLAP, 1)
    moves = {"up": -1, "down": 1, "page up": -step, "page down": step}
    target = {"home": 0, "end": len(keys) - 1}.get(key)
    if target is None:
        if key not in moves:
            return state
        target = index + moves[key] if index >= 0 else 0
    if not keys:
        return state
    return replace(state, selected=keys[min(max(target, 0), len(keys) - 1)])


def _unfolded(state: ViewState, line: Line | None) -> ViewState:
    if isinstance(line, GroupLine):
        return replace(state, unfolded=state.unfolded ^ {line.key})
    if isinstance(line, RestLine):
        return replace(state, unfolded=state.unfolded | {line.key.removesuffix("/rest")})
    return state if line is None else replace(state, log_of=line.key)


def _with_log(state: ViewState, line: Line | None, lines: Sequence[Line]) -> ViewState:
    """Without a choice, the log of a job that is worth a look: failed, else running."""
    if isinstance(line, JobLine):
        return replace(state, log_of=line.key)
    if line is not None:
        return replace(state, said="choose a job of the group to see its log: Enter unfolds it")
    rows = [line.row for line in lines if isinstance(line, JobLine)]
    for wanted in ("failed", "running"):
        found = next((row for row in rows if row.state == wanted), None)
        if found is not None:
            return replace(state, log_of=found.name, selected=found.name)
    return replace(state, said="choose a job with the arrows to see its log")
