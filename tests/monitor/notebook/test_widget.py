"""The widget's own values, without a browser: what travels, what its buttons do."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.errors import SubmissionError
from cdao_sdk.kinds.failures import translate
from cdao_sdk.monitor import widget_html, widget_state
from cdao_sdk.monitor.widget import LINES_A_PAGE, MonitorWidget
from cdao_sdk.monitor.widget_state import Actions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdao_sdk.monitor.snapshot import Snapshot


def all_of(widget: Any) -> list[Any]:
    children = getattr(widget, "children", ())
    return [widget, *(each for child in children for each in all_of(child))]


def is_shown(root: Any, widget: Any) -> bool:
    def path(at: Any) -> list[Any]:
        if at is widget:
            return [at]
        for child in getattr(at, "children", ()):
            if found := path(child):
                return [at, *found]
        return []

    return all(each.layout.display != "none" for each in path(root))


def button(widget: MonitorWidget, words: str) -> Any:
    found = [
        each
        for each in all_of(widget.root)
        if words in getattr(each, "description", "") and is_shown(widget.root, each)
    ]
    assert found, words
    return found[0]


def text_of(widget: MonitorWidget) -> str:
    return " ".join(str(getattr(each, "value", "")) for each in all_of(widget.root))


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


class Sent:
    """Counts the values that would travel to the browser."""

    def __init__(self, widget: MonitorWidget) -> None:
        self.names: list[str] = []
        for each in all_of(widget.root):
            each.observe(lambda change: self.names.append(change["name"]))


def test_nothing_travels_where_nothing_changed(snapshot: Snapshot) -> None:
    widget = MonitorWidget(Actions())
    widget.paint(snapshot)
    sent = Sent(widget)
    widget.paint(snapshot)
    assert sent.names == []


def test_only_the_line_that_changed_travels(snapshot: Snapshot) -> None:
    widget = MonitorWidget(Actions())
    widget.paint(snapshot)
    sent = Sent(widget)
    first, *others = snapshot.jobs
    changed = replace(first, elapsed_seconds=first.elapsed_seconds + 5)
    widget.paint(replace(snapshot, jobs=(changed, *others)))
    assert sent.names == ["value"]


def test_a_thousand_jobs_need_few_widgets_and_little_time(many_jobs: Snapshot) -> None:
    widget = MonitorWidget(Actions())
    widget.paint(many_jobs)
    button(widget, "▸ score").click()
    assert len(all_of(widget.root)) < LINES_A_PAGE * 6
    times: list[float] = []
    for second in range(5):
        rows = tuple(replace(row, elapsed_seconds=second + 1.0) for row in many_jobs.jobs)
        began = time.perf_counter()
        widget.paint(replace(many_jobs, jobs=rows))
        times.append(time.perf_counter() - began)
    assert min(times) < 0.1


def test_pages_and_choices(many_jobs: Snapshot) -> None:
    widget = MonitorWidget(Actions())
    widget.paint(many_jobs)
    button(widget, "▸ score").click()
    assert "1–20 of 1,003" in text_of(widget)
    button(widget, "Later").click()
    assert "21–40 of 1,003" in text_of(widget)
    next(
        each for each in all_of(widget.root) if getattr(each, "description", "") == "Show"
    ).value = "failed"
    assert text_of(widget).count("cdao-pill cdao-failed") == 2


def with_log(snapshot: Snapshot, *lines: str) -> Snapshot:
    rows = tuple(replace(row, log_tail=lines) for row in snapshot.jobs)
    return replace(snapshot, jobs=rows)


def test_a_row_opens_to_its_details_and_closes(snapshot: Snapshot) -> None:
    widget = MonitorWidget(Actions())
    widget.paint(with_log(snapshot, "first line", "second <line>"))
    name = snapshot.jobs[1].name
    button(widget, "▸ train").click()
    assert widget.opened == {name}
    assert "second &lt;line&gt;" in text_of(widget)
    assert "Copy name" in text_of(widget)
    button(widget, "▾ train").click()
    assert widget.opened == set()
    assert "Copy name" not in text_of(widget)


def test_the_log_is_on_its_way_for_a_moment(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = MonitorWidget(Actions())
    widget.paint(with_log(snapshot))
    button(widget, "▸ train").click()
    assert "fetching the log" in text_of(widget)
    monkeypatch.setattr(widget_state, "_FETCHING_SECONDS", 0.0)
    widget.paint(with_log(snapshot))
    assert "no log line yet" in text_of(widget)


def test_the_log_is_searched(snapshot: Snapshot) -> None:
    widget = MonitorWidget(Actions())
    widget.paint(with_log(snapshot, *(f"line {number}" for number in range(30))))
    button(widget, "▸ train").click()
    assert "last 30 lines" in text_of(widget)
    search = next(
        each for each in all_of(widget.root) if getattr(each, "placeholder", "") == "Search the log"
    )
    search.value = "LINE 2"
    assert "11 of 30 lines" in text_of(widget)
    assert "<mark>line 2</mark>9" in text_of(widget)


def test_stopping_takes_two_clicks(snapshot: Snapshot) -> None:
    stopped: list[Sequence[str]] = []
    widget = MonitorWidget(Actions(stop=stopped.append))
    widget.paint(snapshot)
    button(widget, "▸ train").click()
    button(widget, "Stop job").click()
    assert stopped == []
    button(widget, "Confirm: stop this job").click()
    wait_for(lambda: "Asked to stop" in text_of(widget))
    assert stopped == [[snapshot.jobs[1].name]]
    assert button(widget, "Stopping …").disabled


def test_the_first_click_is_forgotten_after_a_while(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(widget_state, "_ARMED_SECONDS", 0.0)
    stopped: list[Sequence[str]] = []
    widget = MonitorWidget(Actions(stop=stopped.append))
    widget.paint(snapshot)
    button(widget, "Stop all").click()
    button(widget, "Stop all").click()
    assert stopped == []


def test_all_that_go_on_are_stopped_and_no_other(snapshot: Snapshot) -> None:
    stopped: list[Sequence[str]] = []
    widget = MonitorWidget(Actions(stop=stopped.append))
    widget.paint(snapshot)
    button(widget, "Stop all").click()
    button(widget, "Keep running").click()
    button(widget, "Stop all").click()
    button(widget, "Confirm: stop 2 jobs").click()
    wait_for(lambda: bool(stopped))
    assert stopped == [[row.name for row in snapshot.jobs if not row.is_over]]


def test_an_execution_on_a_cluster_is_stopped_itself_even_between_two_jobs(
    snapshot: Snapshot,
) -> None:
    stopped: list[str] = []
    actions = Actions(stop=stopped.extend, stop_all=lambda: stopped.append("the execution"))
    widget = MonitorWidget(actions)
    over = tuple(row for row in snapshot.jobs if row.is_over)
    widget.paint(replace(snapshot, jobs=over, status="RUNNING"))
    button(widget, "Stop execution").click()
    button(widget, "Confirm: stop the execution").click()
    wait_for(lambda: "Asked to stop the execution." in text_of(widget))
    assert stopped == ["the execution"]
    assert button(widget, "Stopping …").disabled


def test_what_a_screen_reader_tells_changes_with_the_states_alone(
    snapshot: Snapshot, many_jobs: Snapshot
) -> None:
    before = widget_html.spoken_html(snapshot)
    later = tuple(replace(row, elapsed_seconds=999.0, cost_usd=9.0) for row in snapshot.jobs)
    assert widget_html.spoken_html(replace(snapshot, jobs=later)) == before
    assert "1 failed, 1 running" in before
    assert "done" not in widget_html.spoken_html(many_jobs)


def test_a_stop_that_is_refused_says_why(snapshot: Snapshot) -> None:
    def refuse(_: object) -> None:
        msg = "AccessDenied: sagemaker:StopTrainingJob"
        raise SubmissionError(msg)

    widget = MonitorWidget(Actions(stop=refuse))
    widget.paint(snapshot)
    button(widget, "Stop all").click()
    button(widget, "Confirm").click()
    wait_for(lambda: "It could not be stopped: AccessDenied" in text_of(widget))
    assert not button(widget, "Stop all").disabled


def test_buttons_without_an_action_are_not_shown(snapshot: Snapshot) -> None:
    widget = MonitorWidget(Actions())
    widget.paint(snapshot)
    for words in ("Stop all", "Stop watching"):
        with pytest.raises(AssertionError):
            button(widget, words)


def test_metrics_without_a_series_get_one_from_what_was_seen(snapshot: Snapshot) -> None:
    widget = MonitorWidget(Actions())
    for second in range(3):
        rows = list(snapshot.jobs)
        rows[1] = replace(rows[1], metrics={"auc": 0.5 + second / 10})
        at = snapshot.taken + timedelta(seconds=second)
        widget.paint(replace(snapshot, jobs=tuple(rows), taken=at))
    button(widget, "▸ train").click()
    assert "<polyline" in text_of(widget)


def test_a_widget_that_has_ended_shows_the_end_and_hears_nothing(snapshot: Snapshot) -> None:
    widget = MonitorWidget(Actions())
    widget.paint(snapshot)
    opener = button(widget, "▸ train")
    widget.end("<p>the end</p>")
    opener.click()
    widget.paint(snapshot)
    widget.end("too late")
    assert text_of(widget).strip() == "<p>the end</p>"


def test_threads_may_paint_and_click_at_the_same_time(snapshot: Snapshot) -> None:
    widget = MonitorWidget(Actions())
    widget.paint(snapshot)
    openers = [button(widget, f"▸ {row.label}") for row in snapshot.jobs]
    errors: list[Exception] = []

    def paint() -> None:
        try:
            for second in range(50):
                rows = tuple(replace(row, elapsed_seconds=second + 1.0) for row in snapshot.jobs)
                widget.paint(replace(snapshot, jobs=rows))
        except Exception as error:  # noqa: BLE001 # whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=paint) for _ in range(3)]
    for thread in threads:
        thread.start()
    for opener in openers * 4:
        opener.click()
    for thread in threads:
        thread.join()
    assert errors == []


def test_details_tell_cause_mend_and_hyperparameters(snapshot: Snapshot) -> None:
    told = translate("OutOfMemoryError: Please use an instance type with more memory")
    row = replace(
        snapshot.jobs[1],
        diagnosis=told,
        hyperparameters={"eta": "0.3"},
        utilization={"GPUUtilization": 12.4},
        hint="A smaller instance would do.",
        links=(("SageMaker console", "https://console.aws.amazon.com/x"), ("x", "javascript:1")),
    )
    text = "".join(
        show(row)
        for show in (widget_html.moving_html, widget_html.facts_html, widget_html.actions_html)
    )
    for words in (told.failure_class, "What to do:", "eta", "0.3", "GPU", "12%", row.hint):
        assert words in text
    assert "Open SageMaker console" in text
    assert "javascript:" not in text


def test_what_people_typed_is_escaped(snapshot: Snapshot) -> None:
    evil = "<img src=x onerror=alert(1)>"
    rows = tuple(
        replace(
            row,
            label=evil,
            message=evil,
            error=evil,
            metrics={evil: 1.0},
            name=evil,
            log_tail=(evil,),
        )
        for row in snapshot.jobs
    )
    widget = MonitorWidget(Actions())
    widget.paint(replace(snapshot, jobs=rows[:1], title=evil, note=evil, error=evil))
    button(widget, f"▸ {evil}").click()
    assert "<img" not in text_of(widget)
