from __future__ import annotations

import io
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
