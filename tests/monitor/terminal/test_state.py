"""What keys do to what is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdao_sdk.monitor.terminal.state import GroupLine, ViewState, lines_of, press

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.monitor.snapshot import Snapshot


def pressed(snapshot: Snapshot, *keys: str, state: ViewState | None = None) -> ViewState:
    now = state or ViewState()
    for key in keys:
        now, _ = press(now, key, lines_of(snapshot, now), page=10)
    return now


def test_arrows_and_pages_move_within_the_table(map_snapshot: Callable[..., Snapshot]) -> None:
    snapshot = map_snapshot(100, group="")
    names = [row.name for row in snapshot.jobs]
    assert pressed(snapshot, "down").selected == names[0]
    assert pressed(snapshot, "down", "down", "down").selected == names[2]
    assert pressed(snapshot, "down", "up", "up").selected == names[0]
    assert pressed(snapshot, "down", "page down").selected == names[9]
    assert pressed(snapshot, "end").selected == names[-1]
    assert pressed(snapshot, "end", "down", "page down").selected == names[-1]
    assert pressed(snapshot, "end", "home").selected == names[0]
    assert pressed(snapshot, "end", "escape").selected == ""


def test_enter_unfolds_a_group_and_folds_it_again(map_snapshot: Callable[..., Snapshot]) -> None:
    snapshot = map_snapshot(100)
    on_group = pressed(snapshot, "down", "down")
    assert isinstance(lines_of(snapshot, on_group)[1], GroupLine)
    opened = pressed(snapshot, "enter", state=on_group)
    assert len(lines_of(snapshot, opened)) == 103
    assert len(lines_of(snapshot, pressed(snapshot, "enter", state=opened))) == 3


def test_enter_on_what_a_group_hides_unfolds_it(map_snapshot: Callable[..., Snapshot]) -> None:
    snapshot = map_snapshot(100, failed_each=10)
    state = pressed(snapshot, *["down"] * 8)
    assert state.selected.endswith("/rest")
    assert len(lines_of(snapshot, pressed(snapshot, "enter", state=state))) == 103


def test_f_shows_only_what_failed(map_snapshot: Callable[..., Snapshot]) -> None:
    snapshot = map_snapshot(100, failed_each=10)
    state = pressed(snapshot, "f")
    assert len(lines_of(snapshot, state)) == 10
    assert len(lines_of(snapshot, pressed(snapshot, "f", state=state))) == 9


def test_l_opens_the_log_of_what_is_worth_it(rich_snapshot: Snapshot) -> None:
    failed, running = rich_snapshot.jobs[4].name, rich_snapshot.jobs[1].name
    assert pressed(rich_snapshot, "l").log_of == failed
    assert pressed(rich_snapshot, "down", "down", "l").log_of == running
    assert pressed(rich_snapshot, "down", "down", "enter").log_of == running
    assert pressed(rich_snapshot, "l", "up", "up").log_offset == 2
    assert pressed(rich_snapshot, "l", "up", "end").log_offset == 0
    assert pressed(rich_snapshot, "l", "escape").log_of == ""


def test_letters_move_but_while_something_is_to_be_found_they_are_its_text(
    rich_snapshot: Snapshot,
) -> None:
    assert pressed(rich_snapshot, *"jj").selected == rich_snapshot.jobs[1].name
    assert pressed(rich_snapshot, "l", *"kk").log_offset == 2
    typing = pressed(rich_snapshot, "l", "k", "/", *"gj qx", "backspace", "é", "up")
    assert (typing.find, typing.is_typing, typing.log_offset) == ("gj q", True, 0)
    found = pressed(rich_snapshot, "enter", "k", state=typing)
    assert (found.find, found.is_typing, found.log_offset) == ("gj q", False, 1)
    all_lines = pressed(rich_snapshot, "escape", state=found)
    assert (all_lines.find, all_lines.log_of != "") == ("", True)
    assert pressed(rich_snapshot, "escape", state=typing).find == ""
    assert pressed(rich_snapshot, "q", state=found) == ViewState(selected=found.selected)


def test_a_group_has_no_log(map_snapshot: Callable[..., Snapshot]) -> None:
    state = pressed(map_snapshot(100), "down", "down", "l")
    assert state.log_of == ""
    assert "Enter unfolds it" in state.said


@pytest.mark.parametrize(
    ("key", "answer"),
    [("s", "stop"), ("q", "look away"), ("interrupt", "look away"), ("c", ""), ("escape", "")],
)
def test_ctrl_c_asks_and_a_key_answers(rich_snapshot: Snapshot, key: str, answer: str) -> None:
    lines = lines_of(rich_snapshot)
    asking, said = press(ViewState(), "interrupt", lines, page=10)
    assert (asking.asks, said) == (True, "")
    after, said = press(asking, key, lines, page=10)
    assert (after.asks, said) == (False, answer)


def test_where_nothing_can_be_stopped_ctrl_c_ends_at_once(rich_snapshot: Snapshot) -> None:
    lines = lines_of(rich_snapshot)
    assert press(ViewState(), "interrupt", lines, page=10, may_stop=False)[1] == "look away"
    assert press(ViewState(), "q", lines, page=10, may_stop=False)[1] == ""


def test_q_looks_away_but_in_a_log_it_goes_back(rich_snapshot: Snapshot) -> None:
    lines = lines_of(rich_snapshot)
    assert press(ViewState(), "q", lines, page=10)[1] == "look away"
    in_log = ViewState(log_of=rich_snapshot.jobs[1].name)
    assert press(in_log, "q", lines, page=10) == (ViewState(), "")


def test_keys_do_no_harm_where_nothing_is(rich_snapshot: Snapshot) -> None:
    for key in ("up", "down", "end", "home", "enter", "l", "page up", "x"):
        state, answer = press(ViewState(), key, [], page=10)
        assert (state.selected, answer) == ("", "")
