"""When AWS is asked again."""

from __future__ import annotations

from cdao_sdk.monitor.pace import Pace


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
