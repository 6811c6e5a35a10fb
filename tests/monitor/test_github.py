from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.monitor.github import GithubView, annotation, step_summary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot

HOSTILE = (
    "::error title=x::y",
    "  ::set-output name=a::b",
    "##[add-mask]secret",
    "fine ##[group]x",
    "100% done",
)


@pytest.fixture
def failing(make_row: Callable[..., JobRow], rich_snapshot: Snapshot) -> Snapshot:
    """A job that failed and printed what could command the runner."""
    row = make_row(
        "n0",
        "train: it, all",
        state="failed",
        status="Failed",
        error="AlgorithmError: first\n::warning::second | `third` <b>",
        log_tail=HOSTILE,
        cost_usd=0.5,
    )
    return replace(rich_snapshot, jobs=(row,), status="FAILED", error="")


def written(snapshot: Snapshot, summary: Path | None = None) -> list[str]:
    stream = io.StringIO()
    view = GithubView(stream, summary)
    view.paint(snapshot)
    view.finish(snapshot)
    return stream.getvalue().splitlines()


def test_a_failed_job_is_a_group_and_an_annotation_and_the_bill_a_notice(
    failing: Snapshot,
) -> None:
    lines = written(failing)
    begin = lines.index(f"::group::log of train: it, all ({failing.jobs[0].name})")
    end = lines.index("::endgroup::")
    assert "  | 100% done" in lines[begin:end]
    assert (
        "::error title=train%3A it%2C all failed::AlgorithmError: first%0A"
        "::warning::second | `third` <b>"
    ) in lines
    assert f"::notice title=cost of {failing.title}::$0.50 at list price" in lines


def test_an_error_is_shown_at_the_line_that_raised_it(failing: Snapshot, tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text("def f():\n    return {}[key]\n")
    error = "AlgorithmError: KeyError: 'k'\n  flow.py:2 in f: return {}[key]"
    failing = replace(failing, jobs=(replace(failing.jobs[0], error=error),))
    stream = io.StringIO()
    GithubView(stream, checkout=tmp_path).finish(failing)
    assert "::error file=flow.py,line=2,title=train%3A it%2C all failed::" in stream.getvalue()


def test_what_a_job_prints_is_no_command(failing: Snapshot) -> None:
    ours = ("::group::", "::endgroup::", "::error title=train%3A", "::notice title=cost")
    for line in written(failing):
        assert "##[" not in line
        assert not line.lstrip().startswith("::") or line.startswith(ours), line


def test_what_was_tried_again_with_success_is_a_warning(failing: Snapshot) -> None:
    lines = written(replace(failing, status="SUCCEEDED"))
    assert any(line.startswith("::warning title=train") for line in lines)
    assert not any(line.startswith("::error") for line in lines)


def test_ten_errors_are_all_that_github_shows(
    make_row: Callable[..., JobRow], failing: Snapshot
) -> None:
    rows = tuple(
        make_row(f"n{index}", f"step{index}", state="failed", status="Failed", error=f"no {index}")
        for index in range(30)
    )
    lines = written(replace(failing, jobs=rows))
    errors = [line for line in lines if line.startswith("::error")]
    assert len(errors) == 10
    assert errors[-1].endswith("::21 more jobs failed; see the log.")


def test_many_that_failed_in_the_same_way_are_one_annotation(
    map_snapshot: Callable[..., Snapshot],
) -> None:
    lines = written(map_snapshot(100, failed_each=10))
    (error,) = [line for line in lines if line.startswith("::error")]
    assert error == "::error title=square n1-7 and 9 more failed::ClientError: memory"


def test_the_summary_is_a_table_that_nothing_breaks(
    failing: Snapshot, rich_snapshot: Snapshot, tmp_path: Path
) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    written(rich_snapshot, path)
    written(failing, path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n### execution")
    assert "| train\\_model | Training | 🔵 InProgress/Training | 12m 22s |" in text
    assert "| $0.51 | logloss=0.4917 auc=0.8315 |" in text
    assert "**evaluate** (`a0f3a9d1c0b7e5f60718-n4-dtyxehan-0`) failed: The column" in text
    assert "first ::warning::second \\| \\`third\\` &lt;b&gt;" in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") == 8


def test_a_summary_that_cannot_be_written_does_no_harm(failing: Snapshot, tmp_path: Path) -> None:
    assert written(failing, tmp_path / "missing" / "summary.md")


def test_a_thousand_jobs_fit_into_a_summary(map_snapshot: Callable[..., Snapshot]) -> None:
    folded = step_summary(map_snapshot(1000, failed_each=2))
    assert "| square ×1000 |" in folded  # times
    assert len(folded.encode()) < 10_000
    single = step_summary(map_snapshot(1000, group=""))
    assert "… and 702 more jobs" in single
    assert len(single.encode()) < 100_000


def test_a_stopped_execution_and_one_without_failed_jobs_are_told(failing: Snapshot) -> None:
    stopped = written(replace(failing, jobs=(), status="ABORTED"))
    assert f"::warning title={failing.title}::It was stopped." in stopped
    broken = written(replace(failing, jobs=(), error="no such file\nat all"))
    assert f"::error title={failing.title}::no such file%0Aat all" in broken


def test_any_text_is_one_line() -> None:
    line = annotation("notice", "a,b:c%\n", "d%0A\r\n::e")
    assert line == "::notice title=a%2Cb%3Ac%25%0A::d%250A%0D%0A::e"


def test_what_a_group_tells_is_not_told_again(failing: Snapshot) -> None:
    stream = io.StringIO()
    told = replace(failing, error=f"Job {failing.jobs[0].name} failed: no memory left")
    GithubView(stream).finish(told)
    assert "no memory left" not in stream.getvalue()
    other = replace(failing, error="The quota of executions is used up.")
    GithubView(stream).finish(other)
    assert "\nThe quota of executions is used up.\n" in stream.getvalue()
