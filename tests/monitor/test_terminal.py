from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from cdao_sdk.kinds.job import Phase
from cdao_sdk.monitor.terminal import TerminalView, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.aws.watch import Job
    from cdao_sdk.monitor.snapshot import ExecutionFacts, Snapshot


def shown(snapshot: Snapshot, width: int, height: int | None = None) -> str:
    console = Console(width=width, file=io.StringIO(), record=True, highlight=False)
    console.print(render(snapshot, width, height))
    return console.export_text()


def test_at_80_columns_every_column_is_whole(snapshot: Snapshot) -> None:
    text = shown(snapshot, 80)
    assert max(map(len, text.splitlines())) <= 80
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "JOB KIND STATUS TIME INSTANCE SPOT" in lines
    assert "preprocess Processing ✔ Completed 1m 18s ml.m5.xlarge" in lines
    assert "train Training ● Downloading 1m 02s ml.g5.2xlarge x2 yes" in lines
    assert "score Batch transform ○ InProgress 3.2s ml.m5.xlarge" in lines
    assert "evaluate Processing ✖ Failed 1m 02s ml.m5.xlarge" in lines


def test_with_more_room_there_are_more_columns(snapshot: Snapshot) -> None:
    assert "BILLED" in shown(snapshot, 120)
    assert "INSTANCE" not in shown(snapshot, 45)


@pytest.mark.parametrize("width", [30, 45, 60])
def test_job_and_status_stay_at_any_width(snapshot: Snapshot, width: int) -> None:
    text = shown(snapshot, width)
    for words in ("preprocess", "✔ Completed", "● Downloading", "✖ Failed"):
        assert words in text


def test_results_and_the_last_log_line_stand_below(snapshot: Snapshot) -> None:
    below = shown(snapshot, 120).partition("BILLED")[2]
    assert "auc=0.7812  logloss=0.4917" in below
    assert "[10] validation-auc:0.78125 validation-logloss:0.49170" in below
    assert "/output" in below
    assert "ValueError: no column 'target'" in below


def test_what_a_job_prints_is_no_markup(
    make_job: Callable[..., Job], take_snapshot: Callable[..., Snapshot]
) -> None:
    job = make_job()
    text = shown(take_snapshot([job], log_tails={job.name: ["[bold]x[/wrong] :smile:"]}), 80)
    assert "[bold]x[/wrong] :smile:" in text


def test_a_short_screen_shows_what_moves_and_counts_the_rest(
    make_job: Callable[..., Job], take_snapshot: Callable[..., Snapshot]
) -> None:
    jobs = [
        make_job(f"m{index}", phase=Phase.SUCCEEDED, status="Completed") for index in range(20)
    ] + [make_job("n0"), make_job("n3", phase=Phase.FAILED, status="Failed")]
    text = shown(take_snapshot(jobs, labels={}), 80, height=12)
    assert "● InProgress" in text
    assert "✖ Failed" in text
    assert "… and 18 more: 18 succeeded" in text


def test_an_execution_without_jobs_says_so(
    take_snapshot: Callable[..., Snapshot], facts: Callable[..., ExecutionFacts]
) -> None:
    text = shown(take_snapshot([], execution=facts(), note="waiting"), 80)
    assert "RUNNING" in text
    assert "no job yet" in text
    assert "waiting" in text


def test_the_last_state_stays_on_the_screen(snapshot: Snapshot) -> None:
    stream = io.StringIO()
    view = TerminalView(stream)
    view.paint(snapshot)
    view.finish(snapshot)
    view.close()
    assert "evaluate" in stream.getvalue().rpartition("JOB")[2]
