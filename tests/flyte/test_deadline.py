from __future__ import annotations

import asyncio
import contextvars

from cdao_sdk.flyte.deadline import deadline_in, remaining_seconds


def test_an_inner_deadline_never_outlives_the_outer_one() -> None:
    with deadline_in(10):
        with deadline_in(100):
            assert 9 < (remaining_seconds() or 0) <= 10
        with deadline_in(1):
            assert (remaining_seconds() or 9) <= 1
        with deadline_in(None):
            assert 9 < (remaining_seconds() or 0) <= 10
    assert remaining_seconds() is None


def test_what_is_over_is_zero() -> None:
    with deadline_in(-5):
        assert remaining_seconds() == 0


def test_tasks_inherit_it_and_other_calls_do_not() -> None:
    async def look() -> float | None:
        return remaining_seconds()

    async def call() -> tuple[float | None, float | None]:
        free = contextvars.copy_context()
        with deadline_in(5):
            inner = await asyncio.create_task(look())
        return inner, free.run(remaining_seconds)

    inner, outer = asyncio.run(call())
    assert inner is not None
    assert inner <= 5
    assert outer is None
