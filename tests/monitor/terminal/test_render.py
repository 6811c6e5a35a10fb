"""What is drawn, as text; ``views/`` holds whole screens, which people have looked at."""

from __future__ import annotations

import io
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from cdao_sdk.kinds.job import Phase
from cdao_sdk.monitor.terminal.render import Screen, draw, render
from cdao_sdk.monitor.terminal.signs import ASCII, UNICODE
from cdao_sdk.monitor.terminal.state import ViewState
from cdao_sdk.monitor.terminal.view import TerminalView

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.aws.watch import Job
    from cdao_sdk.monitor.snapshot import ExecutionFacts, JobRow, Snapshot

VIEWS = Path(__file__).parent / "views"


def shown(snapshot: Snapshot, width: int, height: int | None = None) -> str:
    console = Console(width=width, file=io.StringIO(), record=True, highlight=False)
    console.print(render(snapshot, width, height))
    return console.export_text()


def drawn(snapshot: Snapshot, screen: Screen, state: ViewState | None = None) -> str:
    return "\n".join(line.plain.rstrip() for line in draw(snapshot, screen, state))


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("name", "screen"),
    [
        ("pipeline-60", Screen(60, 30, keys=True, may_stop=True)),
        ("pipeline-80", Screen(80, 30, keys=True, may_stop=True)),
        ("pipeline-120", Screen(120, 30, keys=True, may_stop=True)),
        ("pipeline-200", Screen(200, 40, keys=True)),
        ("pipeline-end", Screen(100)),
        ("map-60", Screen(60, 24)),
        ("map-80", Screen(80, 24)),
        ("map-failed-80", Screen(80, 30, keys=True)),
        ("map-ascii-80", Screen(80, 24, ASCII, keys=True)),
    ],
)
def test_screens_are_as_they_were_approved(
    name: str,
    screen: Screen,
    rich_snapshot: Snapshot,
    map_snapshot: Callable[..., Snapshot],
) -> None:
    """After a wanted change: UPDATE_VIEWS=1, and look at what git shows."""
    snapshot = rich_snapshot
    if name.startswith("map"):
        snapshot = map_snapshot(1000, failed_each=83 if "80" in name and name != "map-80" else 0)
    text = drawn(snapshot, screen) + "\n"
    path = VIEWS / f"{name}.txt"
    if os.environ.get("UPDATE_VIEWS"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("height", [8, 12, 24, 60])
@pytest.mark.parametrize("signs", [UNICODE, ASCII])
def test_nothing_is_wider_or_taller_than_the_screen(
    width: int,
    height: int,
    signs: object,
    rich_snapshot: Snapshot,
    map_snapshot: Callable[..., Snapshot],
) -> None:
    for snapshot in (rich_snapshot, map_snapshot(300, failed_each=10)):
        for state in (ViewState(), ViewState(asks=True), ViewState(only_failed=True)):
            screen = Screen(width, height, signs, keys=True, may_stop=True)  # type: ignore[arg-type]
            lines = draw(snapshot, screen, state)
            assert len(lines) < height
            assert max(line.cell_len for line in lines) <= width


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_status_is_whole_at_every_width(width: int, rich_snapshot: Snapshot) -> None:
    text = drawn(rich_snapshot, Screen(width, 40, keys=True))
    for status in ("✔ Completed", "● Training", "○ InProgress", "✖ Failed"):
        assert status in text
    for step in ("preprocess", "train_model", "tune", "score", "evaluate"):
        assert step in text
    assert "42%" in text


def test_without_the_newer_facts_the_table_is_whole_too(snapshot: Snapshot) -> None:
    text = shown(snapshot, 80)
    assert max(map(len, text.splitlines())) <= 80
    lines = words(text)
    assert "preprocess processing ✔ Completed 1m 18s ml.m5.xlarge rows=1000" in lines
    assert "train training ● Downloading 1m 02s ml.g5.2xlarge ×2 logloss=0.4917" in lines  # times
    assert "COST" not in text
    assert "PROGRESS" not in text


@pytest.mark.parametrize("width", [30, 45, 60])
def test_job_and_status_stay_at_any_width(snapshot: Snapshot, width: int) -> None:
    text = shown(snapshot, width)
    for word in ("preprocess", "✔ Completed", "● Downloading", "✖ Failed"):
        assert word in text


def test_results_and_the_last_log_line_stand_below(snapshot: Snapshot) -> None:
    below = drawn(snapshot, Screen(120)).partition("\n\ntrain ")[2]
    assert "auc=0.7812  logloss=0.4917" in below
    assert "[10] validation-auc:0.78125 validation-logloss:0.49170" in below
    assert "/output" in below
    assert "ValueError: no column 'target'" in below


def test_a_failure_tells_class_cause_and_mend(rich_snapshot: Snapshot) -> None:
    text = drawn(rich_snapshot, Screen(100, 40))
    assert "data: The column 'target' that the code reads is not in the data." in text
    assert "mend: Compare the columns of the input with those that evaluate reads." in text
    assert "│     target" in text  # blanks of a traceback are kept


def test_an_error_s_lines_keep_their_indentation(rich_snapshot: Snapshot) -> None:
    error = "Job x failed: KeyError\n  flow.py:38 in bad: raise KeyError\n      the last line"
    lines = drawn(replace(rich_snapshot, error=error), Screen(60)).splitlines()
    assert lines[-3:] == error.splitlines()


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
    assert "… 17 more: 17 succeeded" in text


def test_many_elements_are_one_line_and_failed_ones_stand_below(
    map_snapshot: Callable[..., Snapshot],
) -> None:
    text = drawn(map_snapshot(1000), Screen(100, 24))
    assert "▸ square ×1000" in text  # times
    assert "640 ok, 12 running, 348 waiting, 0 failed" in text
    assert "square n1-7" not in text.partition("reduce")[0]
    text = drawn(map_snapshot(1000, failed_each=100), Screen(100, 40))
    assert "10 failed" in text
    assert "square n1-107" in text
    assert "… 5 more failed" in text
    assert "… 9 more failed in the same way" in text


def test_few_elements_are_not_folded(map_snapshot: Callable[..., Snapshot]) -> None:
    text = drawn(map_snapshot(3), Screen(100, 24))
    assert "▸" not in text
    assert "square n1-2" in text


def test_a_long_selection_scrolls_with_the_screen(map_snapshot: Callable[..., Snapshot]) -> None:
    snapshot = map_snapshot(1000, group="")
    state = ViewState(selected=snapshot.jobs[500].name)
    text = drawn(snapshot, Screen(100, 24, keys=True), state)
    assert "❯ square n1-499" in text  # noqa: RUF001 # the pointer
    assert "of 1002" in text


def test_an_execution_without_jobs_says_so(
    take_snapshot: Callable[..., Snapshot], facts: Callable[..., ExecutionFacts]
) -> None:
    text = shown(take_snapshot([], execution=facts(), note="waiting"), 80)
    assert "RUNNING" in text
    assert "no job yet" in text
    assert "waiting" in text


def test_the_selected_job_tells_all_about_itself(rich_snapshot: Snapshot) -> None:
    row = replace(
        rich_snapshot.jobs[1],
        hyperparameters={"eta": "0.3", "depth": "6"},
        links=(("SageMaker console", "https://console.aws.amazon.com/x"),),
    )
    snapshot = replace(rich_snapshot, jobs=(row, *rich_snapshot.jobs[2:]))
    text = drawn(snapshot, Screen(100, 30, keys=True), ViewState(selected=row.name))
    assert row.name in text
    assert "eta=0.3  depth=6" in text
    assert "SageMaker console" in text
    lines = draw(snapshot, Screen(100, 30, keys=True), ViewState(selected=row.name))
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    console.print(*lines)
    assert ";https://console.aws.amazon.com/x" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "logloss=0.4917  auc=0.8315" in text
    assert "GPUUtilization 96%" in text
    assert "hint: The GPU is the bottleneck; the CPUs idle." in text


def test_a_log_shows_its_end_and_scrolls(rich_snapshot: Snapshot) -> None:
    row = replace(rich_snapshot.jobs[1], log_tail=tuple(f"line {index}" for index in range(100)))
    rich_snapshot = replace(rich_snapshot, jobs=(row,))

    def text(state: ViewState) -> str:
        lines = draw(rich_snapshot, Screen(60, 12, keys=True), state)
        return "\n".join(line.plain for line in lines)

    at_end = text(ViewState(log_of=row.name))
    assert "line 99" in at_end
    assert "line 91" not in at_end
    above = text(ViewState(log_of=row.name, log_offset=50))
    assert "line 49" in above
    assert "50 more below" in above
    assert "line 0" in text(ViewState(log_of=row.name, log_offset=10**9))


def test_the_clock_and_the_bill_stand_in_the_head(rich_snapshot: Snapshot) -> None:
    head = drawn(rich_snapshot, Screen(120, 30)).splitlines()[:2]
    assert head[0].endswith("● RUNNING  12m 22s")
    assert "✖ 1 failed  ● 1 running  ○ 1 waiting  ✔ 2 succeeded" in head[1]
    assert "$0.52 so far (list price)  spot saved $0.027 (5%)" in head[1]


def test_a_thousand_jobs_are_drawn_quickly(map_snapshot: Callable[..., Snapshot]) -> None:
    for snapshot in (map_snapshot(1000), map_snapshot(1000, group="")):
        draw(snapshot, Screen(120, 40))
        began = time.thread_time()
        draw(snapshot, Screen(120, 40))
        assert time.thread_time() - began < 0.25  # it takes about 0.03 s


def test_wide_characters_keep_the_columns_straight(
    make_row: Callable[..., JobRow], rich_snapshot: Snapshot
) -> None:
    rows = (make_row("n0", "前処理"), make_row("n1", "train"))
    lines = draw(replace(rich_snapshot, jobs=rows), Screen(80, 24))
    starts = {line.plain.index("●") + line.cell_len - len(line.plain) for line in lines[4:6]}
    assert len(starts) == 1


def test_the_last_state_stays_on_the_screen(snapshot: Snapshot) -> None:
    stream = io.StringIO()
    view = TerminalView(stream)
    view.paint(snapshot)
    view.finish(snapshot)
    view.close()
    assert "evaluate" in stream.getvalue().rpartition("STEP")[2]
