from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from cdao_sdk.kinds.job import Phase
from cdao_sdk.monitor.plain import PlainView, change_lines, summary_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.aws.watch import Job
    from cdao_sdk.monitor.snapshot import ExecutionFacts, Snapshot

NAME = "a0f3a9d1c0b7e5f60718-n1-dtyxehan-0"


def test_a_line_tells_time_step_kind_and_status(
    make_job: Callable[..., Job], take_snapshot: Callable[..., Snapshot]
) -> None:
    before = take_snapshot([make_job("n1", "training", secondary_status="Starting")])
    after = take_snapshot([make_job("n1", "training", secondary_status="Training")])
    prefix = "2026-11-23T22:01:07Z train          Training        "
    assert change_lines(None, before) == [f"{prefix}InProgress/Starting ({NAME})"]
    assert change_lines(before, after) == [f"{prefix}InProgress/Training"]
    assert change_lines(after, after) == []


def test_an_end_tells_how_long_it_took(
    make_job: Callable[..., Job], take_snapshot: Callable[..., Snapshot]
) -> None:
    ended = make_job("n1", "training", phase=Phase.SUCCEEDED, status="Completed")
    (line,) = change_lines(take_snapshot([make_job("n1", "training")]), take_snapshot([ended]))
    assert line.endswith("Completed after 1m 02s")


def test_a_note_is_written_once(
    make_job: Callable[..., Job], take_snapshot: Callable[..., Snapshot]
) -> None:
    before = take_snapshot([make_job()])
    noted = take_snapshot([make_job()], note="waiting: Rate exceeded")
    assert change_lines(before, noted) == ["2026-11-23T22:01:07Z waiting: Rate exceeded"]
    assert change_lines(noted, noted) == []


def test_the_summary_has_a_line_a_job_and_says_what_failed(snapshot: Snapshot) -> None:
    lines = summary_lines(snapshot)
    assert (
        "train       InProgress/Downloading in 1m 02s  ml.g5.2xlarge x2  billable 31s  spot"
        "  auc=0.7812  logloss=0.4917"
    ) in lines
    text = "\n".join(lines)
    assert "rows=1000  s3://cdao-local/" in text
    assert (
        "evaluate failed (a0f3a9d1c0b7e5f60718-n3-dtyxehan-0): "
        "AlgorithmError: ValueError: no column 'target'\n"
        "  mend: Correct the function; the traceback's last frames say where.\n"
        "  | Traceback (most recent call last):\n"
        "  | ValueError: no column"
    ) in text


def test_what_the_execution_says_is_not_said_twice(
    pipeline_jobs: list[Job],
    take_snapshot: Callable[..., Snapshot],
    facts: Callable[..., ExecutionFacts],
) -> None:
    failed = pipeline_jobs[3].name
    error = f"Processing job {failed} failed: ValueError: no column 'target'"
    lines = summary_lines(
        take_snapshot(pipeline_jobs, execution=facts(status="FAILED", error=error))
    )
    assert "\n".join(lines).count("no column 'target'") == 1
    assert any(
        line.startswith("evaluate failed") and "Correct the function" in line for line in lines
    )
    assert lines[-2:] == ["execution a0f3a9d1c0b7e5f60718: FAILED", error]


def test_the_view_writes_title_changes_and_summary(snapshot: Snapshot) -> None:
    stream = io.StringIO()
    view = PlainView(stream)
    view.paint(snapshot)
    view.paint(snapshot)
    view.finish(snapshot)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "execution a0f3a9d1c0b7e5f60718"
    assert len([line for line in lines if line.startswith("2026-11-23T")]) == 4
    assert lines[5:] == summary_lines(snapshot)


def painted(snapshots: list[Snapshot]) -> list[str]:
    stream = io.StringIO()
    view = PlainView(stream)
    for snapshot in snapshots:
        view.paint(snapshot)
    return stream.getvalue().splitlines()


def test_while_nothing_changes_there_is_a_sign_of_life_each_minute(
    rich_snapshot: Snapshot,
) -> None:
    snapshots = [
        replace(rich_snapshot, taken=rich_snapshot.taken + timedelta(seconds=seconds))
        for seconds in range(0, 200, 5)
    ]
    lines = painted(snapshots)
    assert len(lines) == 1 + 5 + 3
    assert lines[-1] == (
        "2026-11-23T22:04:07Z still watching: 1 failed, 1 running, 1 waiting, 2 succeeded"
        " after 12m 22s, $0.52 so far"
    )


def test_a_map_of_a_thousand_is_a_line_now_and_then(
    map_snapshot: Callable[..., Snapshot],
) -> None:
    first = map_snapshot(1000)
    (line,) = [line for line in painted([first]) if "square x" in line]
    assert line.endswith("square x1000   Processing      640 ok, 12 running, 348 waiting, 0 failed")
    later = map_snapshot(1000, failed_each=500)
    soon = replace(later, taken=first.taken + timedelta(seconds=5))
    lines = painted([first, soon])
    assert sum("square x1000" in line for line in lines) == 1
    assert sum("Failed" in line for line in lines) == 2  # what failed is told at once
    late = replace(later, taken=first.taken + timedelta(seconds=11))
    assert sum("square x1000" in line for line in painted([first, soon, late])) == 2


def test_the_summary_has_the_bill_and_one_line_for_a_map(
    rich_snapshot: Snapshot, map_snapshot: Callable[..., Snapshot]
) -> None:
    lines = summary_lines(rich_snapshot)
    assert "cost: $0.52 at list price, spot saved $0.027 (5%)" in lines
    assert any("$0.51" in line and "hint: The GPU" in line for line in lines)
    assert "  data: The column 'target' that the code reads is not in the data." in lines
    lines = summary_lines(map_snapshot(1000, failed_each=100))
    assert len(lines) < 15
    assert "  and 9 more failed in the same way" in lines
    assert lines[1].startswith("square x1000  633 ok, 12 running, 345 waiting, 10 failed in 1m 02s")
