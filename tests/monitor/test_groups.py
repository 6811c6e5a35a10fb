from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdao_sdk.monitor.groups import JobGroup, fold, same_failures, span_seconds, state_counts
from cdao_sdk.monitor.labels import group_names, label_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot


def test_many_of_a_group_are_one_where_the_first_stood(
    map_snapshot: Callable[..., Snapshot],
) -> None:
    first, group, last = fold(map_snapshot(100).jobs)
    assert isinstance(group, JobGroup)
    assert not isinstance(first, JobGroup)
    assert not isinstance(last, JobGroup)
    assert (first.label, group.title, last.label) == ("list_parts", "square", "reduce")
    assert group.words == "64 ok, 2 running, 34 waiting, 0 failed"
    assert (group.state, group.fraction_done, group.instances) == ("running", 0.64, "ml.m5.xlarge")


def test_of_several_tries_the_last_counts(make_row: Callable[..., JobRow]) -> None:
    rows = [
        make_row(f"n1-n{index}", f"fit n1-n{index}", group="fit n1", state="succeeded", cost_usd=1)
        for index in range(5)
    ]
    tried = {"group": "fit n1", "state": "failed", "error": "no memory", "cost_usd": 2}
    rows.insert(0, make_row("n1-n5", "fit n1-n5", **tried))
    rows.append(make_row("n1-n5", "fit n1-n5 (try 2)", group="fit n1", attempt=1))
    (group,) = fold(rows)
    assert isinstance(group, JobGroup)
    assert group.words == "5 ok, 1 running, 0 failed"
    assert (len(group.rows), len(group.earlier)) == (6, 1)
    assert group.cost_usd == 7  # what failed was paid for, too


def test_elements_stand_in_the_order_of_their_numbers(make_row: Callable[..., JobRow]) -> None:
    rows = [make_row(f"n1-n{index}", "fit", group="fit n1") for index in (10, 2, 0, 9, 1)]
    (group,) = fold(rows)
    assert isinstance(group, JobGroup)
    assert [row.node for row in group.rows] == ["n1-n0", "n1-n1", "n1-n2", "n1-n9", "n1-n10"]


def test_groups_of_two_executions_stay_apart(make_row: Callable[..., JobRow]) -> None:
    rows = [
        make_row(
            f"n1-n{index}", "fit", group="fit n1", execution=execution, name=f"{execution}{index}"
        )
        for execution in ("a", "b")
        for index in range(5)
    ]
    assert len(fold(rows)) == 2


def test_what_failed_alike_is_told_once(rich_snapshot: Snapshot) -> None:
    failed = rich_snapshot.jobs[4]
    assert same_failures([*rich_snapshot.jobs, failed]) == [[failed, failed]]


def test_counts_begin_with_what_went_wrong(rich_snapshot: Snapshot) -> None:
    words = [text for _, text in state_counts(rich_snapshot.jobs)]
    assert words == ["1 failed", "1 running", "1 waiting", "2 succeeded"]
    assert span_seconds(()) == 0
    assert span_seconds(rich_snapshot.jobs) == 742


@pytest.mark.parametrize("around", ["n0", "n0-0"])  # in this process, and on a cluster
def test_jobs_of_a_dynamic_task_are_one_group(around: str) -> None:
    names = [f"f3a9d1c0b7-{around}-dn{number}-fit-dtyxehan-0" for number in range(6)]
    names.append("f3a9d1c0b7-n1-total-dtyxehan-0")
    steps = {name: label_of(name, {}, "f3a9d1c0b7") for name in names}
    groups = group_names(steps, ["n0", "n1"])
    assert groups == dict.fromkeys(names[:-1], f"fit {around}")
