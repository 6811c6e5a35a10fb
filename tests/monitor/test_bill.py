from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdao_sdk.monitor.bill import Bill, bill_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot


def test_costs_add_up_and_spot_tells_what_it_saved(rich_snapshot: Snapshot) -> None:
    bill = bill_of(rich_snapshot.jobs)
    assert bill.cost_usd == pytest.approx(0.0039 + 0.505 + 0.0115 + 0.0019)
    assert bill.saved_usd == pytest.approx(0.0115 * 70 / 30)
    assert bill.unpriced == 0  # what only waits costs nothing yet


def test_an_unknown_price_is_unknown_and_not_zero(
    make_row: Callable[..., JobRow], now: datetime
) -> None:
    assert bill_of([]) == Bill(None, None)
    begun = make_row("n0", "a", started=now)
    unknown = bill_of([begun, make_row("n1", "b", state="waiting")])
    assert (unknown.cost_usd, unknown.words, unknown.unpriced) == (None, "", 1)
    some = bill_of([make_row("n1", "b", cost_usd=1.0), begun])
    assert some.words == "$1.00 at list price (1 job without a known cost)"


@pytest.mark.parametrize("percent", [0.0, 100.0, -3.0, None])
def test_savings_that_cannot_be_are_left_out(
    make_row: Callable[..., JobRow], percent: float | None
) -> None:
    row = make_row("n0", "a", cost_usd=1.0, spot=True, savings_percent=percent)
    assert bill_of([row]).saved_usd is None
