"""How far lists go back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cdao_sdk.aws.list_window import ListWindow

NOW = 1_000_000.0


def test_window_that_is_short_does_not_forget_how_dense_jobs_are() -> None:
    window = ListWindow()
    window.measured(pages=1_000, seconds=100_000)
    waited = [NOW - 100_000, NOW - 100]
    for _ in range(10):
        assert window.start(waited, NOW) == NOW - 100
        window.measured(pages=1, seconds=100)


def test_window_grows_again_when_there_are_fewer_jobs() -> None:
    window = ListWindow()
    window.measured(pages=1_000, seconds=100_000)
    window.measured(pages=1, seconds=50_000)
    assert window.start([NOW - 50_000, NOW - 40_000], NOW) == NOW - 50_000


def test_one_page_less_is_not_worth_two_descriptions() -> None:
    window = ListWindow()
    window.measured(pages=10, seconds=1_000)
    assert window.start([NOW - 200, NOW - 200, NOW - 100], NOW) == NOW - 200


@given(
    st.lists(st.floats(0, NOW), min_size=1, max_size=50),
    st.lists(st.tuples(st.integers(0, 1_000), st.floats(0, NOW)), max_size=5),
)
def test_start_is_that_of_a_job(created: list[float], measures: list[tuple[int, float]]) -> None:
    window = ListWindow()
    for pages, seconds in measures:
        window.measured(pages, seconds)
    assert window.start(created, NOW) in created
