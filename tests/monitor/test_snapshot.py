from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdao_sdk.kinds.job import Phase
from cdao_sdk.kinds.naming import execution_slug, job_name
from cdao_sdk.monitor.snapshot import STATES, changes, label_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.aws.watch import Job
    from cdao_sdk.monitor.snapshot import ExecutionFacts, Snapshot


def test_every_phase_has_a_state_and_only_ended_ones_are_over() -> None:
    assert set(STATES) == set(Phase)
    ended = {phase for phase, state in STATES.items() if state not in ("waiting", "running")}
    assert ended == {phase for phase in Phase if phase.is_terminal}


@pytest.mark.parametrize("execution", ["f3a9d1c0b7", "An execution with_a long name 2026"])
def test_node_and_attempt_are_read_from_the_name_where_there_are_no_tags(execution: str) -> None:
    name = job_name(execution, "n1-n0", 2)
    label = label_of(name, {}, execution_slug(execution))
    assert (label.node, label.attempt) == ("n1-n0", 2)


def test_a_job_of_others_keeps_its_whole_name(
    make_job: Callable[..., Job], take_snapshot: Callable[..., Snapshot]
) -> None:
    job = make_job()
    object.__setattr__(job, "name", "xgboost-2026-11-23-10-00-00-123")
    assert take_snapshot([job], labels={}).jobs[0].label == "xgboost-2026-11-23-10-00-00-123"


def test_tasks_used_twice_and_later_tries_are_told_apart(
    make_job: Callable[..., Job], take_snapshot: Callable[..., Snapshot]
) -> None:
    jobs = [make_job("n0"), make_job("n1"), make_job("n1", attempt=1)]
    labels = {
        job.name: label_of(job.name, {"cdao:task": "flow.train", "cdao:node": node})
        for job, node in zip(jobs, ["n0", "n1", "n1"], strict=True)
    }
    words = [row.label for row in take_snapshot(jobs, labels=labels).jobs]
    assert words == ["train n0", "train n1", "train n1 (try 2)"]


def test_jobs_stand_in_the_order_of_the_nodes(
    pipeline_jobs: list[Job],
    take_snapshot: Callable[..., Snapshot],
    facts: Callable[..., ExecutionFacts],
) -> None:
    snapshot = take_snapshot(pipeline_jobs[::-1], execution=facts())
    assert [row.node for row in snapshot.jobs] == ["n0", "n1", "n2", "n3"]


def test_a_job_is_over_when_its_phase_is(snapshot: Snapshot) -> None:
    over = {row.label: row.is_over for row in snapshot.jobs}
    assert over == {"preprocess": True, "train": False, "score": False, "evaluate": True}
    assert not snapshot.jobs_are_over


def test_elapsed_time_ends_with_the_job(snapshot: Snapshot) -> None:
    elapsed = {row.label: round(row.elapsed_seconds, 1) for row in snapshot.jobs}
    assert elapsed == {"preprocess": 78.0, "train": 62.0, "score": 3.2, "evaluate": 62.0}


def test_only_new_status_words_are_changes(
    make_job: Callable[..., Job], take_snapshot: Callable[..., Snapshot]
) -> None:
    before = take_snapshot([make_job("n1", "training", secondary_status="Starting")])
    same = take_snapshot(
        [make_job("n1", "training", secondary_status="Starting", metrics={"auc": 0.7})]
    )
    after = take_snapshot([make_job("n1", "training", secondary_status="Training"), make_job()])
    assert changes(before, same) == []
    assert [row.label for row in changes(before, after)] == ["train", "preprocess"]
    assert changes(None, before) == list(before.jobs)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("RUNNING", "running"),
        ("SUCCEEDED", "succeeded"),
        ("FAILED", "failed"),
        ("ABORTED", "stopped"),
    ],
)
def test_the_record_decides_how_an_execution_ended(
    status: str,
    outcome: str,
    pipeline_jobs: list[Job],
    take_snapshot: Callable[..., Snapshot],
    facts: Callable[..., ExecutionFacts],
) -> None:
    # A failed job of a succeeded execution was tried again.
    assert take_snapshot(pipeline_jobs, execution=facts(status=status)).outcome == outcome


def test_without_a_record_the_jobs_decide(
    make_job: Callable[..., Job], take_snapshot: Callable[..., Snapshot]
) -> None:
    done = make_job(phase=Phase.SUCCEEDED, status="Completed")
    stopped = make_job("n1", phase=Phase.STOPPED, status="Stopped")
    failed = make_job("n2", phase=Phase.RETRYABLE, status="Failed")
    running = make_job("n3")
    outcomes = [
        take_snapshot(jobs).outcome
        for jobs in ([done], [done, stopped], [done, stopped, failed], [failed, running])
    ]
    assert outcomes == ["succeeded", "stopped", "failed", "running"]
