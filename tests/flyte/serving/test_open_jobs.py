from __future__ import annotations

from cdao_sdk.flyte.serving.open_jobs import OpenJobs


def test_a_phase_is_news_once() -> None:
    jobs = OpenJobs()
    assert jobs.saw("a", "QUEUED", is_over=False)
    assert not jobs.saw("a", "QUEUED", is_over=False)
    assert jobs.saw("a", "RUNNING", is_over=False)
    assert jobs.by_phase() == {"RUNNING": 1}
    assert jobs.saw("a", "SUCCEEDED", is_over=True)
    assert jobs.by_phase() == {}


def test_jobs_that_nobody_asks_about_are_forgotten() -> None:
    now = [0.0]
    jobs = OpenJobs(seconds=600, clock=lambda: now[0])
    jobs.saw("old", "RUNNING", is_over=False)
    now[0] = 500
    jobs.saw("new", "RUNNING", is_over=False)
    now[0] = 700
    assert jobs.by_phase() == {"RUNNING": 1}
    jobs.forget("new")
    jobs.forget("never seen")
    assert jobs.by_phase() == {}


def test_memory_is_bounded() -> None:
    jobs = OpenJobs(limit=3)
    for number in range(10):
        jobs.saw(str(number), "RUNNING", is_over=False)
    assert jobs.by_phase() == {"RUNNING": 3}
