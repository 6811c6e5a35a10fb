"""When it is time to look again."""

from __future__ import annotations

import pytest

from cdao_sdk.monitor.pace import Pace


def test_pauses_grow_while_nothing_moves_and_are_short_after_a_change() -> None:
    pace = Pace(1.0, 4.0)
    pauses: list[float] = []
    for _ in range(6):
        pace.slow_down()
        pauses.append(pace.seconds_left)
    assert pauses == pytest.approx([1.0, 1.5, 2.25, 3.375, 4.0, 4.0], abs=0.1)
    pace.hurry()
    assert pace.seconds_left <= 1.0


def test_who_is_throttled_does_not_hurry_whatever_is_left_to_be_read() -> None:
    pace = Pace(1.0, 4.0)
    for _ in range(10):
        pace.give_way()
        pace.hurry()
    assert pace.seconds_left == pytest.approx(60.0, abs=0.1)
    pace.slow_down()
    pace.hurry()
    assert pace.seconds_left <= 1.0


def test_a_row_that_is_opened_is_looked_at_now() -> None:
    pace = Pace(5.0, 60.0)
    pace.glance()
    assert pace.seconds_left <= 0


def test_rows_that_are_opened_quickly_are_one_look_a_second() -> None:
    pace = Pace(5.0, 60.0)
    pace.slow_down()
    pace.glance()
    assert 0.5 < pace.seconds_left <= 1.0


def test_nobody_hurries_who_was_asked_to_wait() -> None:
    pace = Pace(5.0, 60.0)
    pace.give_way()
    pace.glance()
    assert pace.seconds_left > 5.0
