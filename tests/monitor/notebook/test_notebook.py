"""What a notebook stores, and the thread that paints it."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.errors import CdaoError
from cdao_sdk.kinds.failures import translate
from cdao_sdk.monitor.notebook import NotebookView, has_kernel, snapshot_html, watch_in_notebook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cdao_sdk.aws.watch import Job
    from cdao_sdk.monitor.snapshot import Snapshot

WIDGET = "application/vnd.jupyter.widget-view+json"


def test_a_test_run_is_no_notebook() -> None:
    assert not has_kernel()


def test_html_shows_every_job(snapshot: Snapshot) -> None:
    text = snapshot_html(snapshot)
    for words in (
        "preprocess",
        "✅\u00a0Completed",
        "InProgress/Downloading",
        "❌\u00a0Failed",
        "auc=0.7812",
    ):
        assert words in text


def test_html_is_escaped(
    make_job: Callable[..., Job], take_snapshot: Callable[..., Snapshot]
) -> None:
    text = snapshot_html(take_snapshot([make_job(failure_reason="<script>alert(1)</script>")]))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_html_uses_nothing_that_github_drops(snapshot: Snapshot) -> None:
    tags = set(re.findall(r"<(\w+)", snapshot_html(snapshot)))
    allowed = "div p b br i table thead tbody tr th td pre code details summary a"
    assert tags <= set(allowed.split())


def test_html_leaves_out_columns_that_say_nothing(snapshot: Snapshot) -> None:
    assert "<th" in snapshot_html(snapshot)
    assert ">Cost<" not in snapshot_html(snapshot)
    priced = replace(snapshot, jobs=tuple(replace(row, cost_usd=0.5) for row in snapshot.jobs))
    assert ">Cost<" in snapshot_html(priced)
    assert "$2.00 at list prices" in snapshot_html(priced)


def test_html_tells_cause_and_mend_of_a_failure(snapshot: Snapshot) -> None:
    failed = next(row for row in snapshot.jobs if row.state == "failed")
    told = translate("OutOfMemoryError: Please use an instance type with more memory")
    rows = tuple(replace(row, diagnosis=told) if row is failed else row for row in snapshot.jobs)
    text = snapshot_html(replace(snapshot, jobs=rows))
    assert told.failure_class in text
    assert "<b>Mend:</b>" in text
    assert text.count("<details open>") == 1


def test_html_tells_log_lines_of_a_failure_once(snapshot: Snapshot) -> None:
    failed = next(row for row in snapshot.jobs if row.state == "failed")
    line = failed.log_tail[0]
    error = f"Processing job {failed.name} failed: no column\nLast 2 log lines:\n  a| {line}"
    text = snapshot_html(replace(snapshot, error=error, status="FAILED"))
    assert "failed: no column</pre>" in text
    assert text.count(line) == 1


def test_html_shows_links_to_pages_only(snapshot: Snapshot) -> None:
    links = (
        ("Console", "https://console.aws.amazon.com/x?a=1&b=2"),
        ("Evil", "javascript:alert(1)"),
    )
    rows = tuple(replace(row, links=links) for row in snapshot.jobs)
    text = snapshot_html(replace(snapshot, jobs=rows))
    assert "https://console.aws.amazon.com/x?a=1&amp;b=2" in text
    assert "javascript:" not in text


def test_html_of_a_thousand_jobs_stays_small(many_jobs: Snapshot) -> None:
    assert len(snapshot_html(many_jobs)) < 30_000
    loose = replace(many_jobs, jobs=tuple(replace(row, group="") for row in many_jobs.jobs))
    text = snapshot_html(loose)
    assert len(text) < 60_000
    assert "more: " in text


def test_log_lines_that_were_read_are_stored_with_their_job(snapshot: Snapshot) -> None:
    first, *others = snapshot.jobs
    first = replace(first, log_tail=("one", "two"))
    text = snapshot_html(replace(snapshot, jobs=(first, *others)), opened={first.name})
    assert "<pre>one\ntwo</pre>" in text


class Cell:
    """A notebook's cell: real IPython, whose outputs are caught."""

    def __init__(self, outputs: list[Any]) -> None:
        self._outputs = outputs

    @property
    def bundles(self) -> list[dict[str, Any]]:
        return [each["data"] for each in self._outputs]

    @property
    def shown(self) -> dict[str, Any]:
        return self.bundles[-1]

    @property
    def updates(self) -> list[bool]:
        return [bool(each.get("update")) for each in self._outputs]


@pytest.fixture
def cell() -> Any:
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance(history_length=0)
    shell.history_manager.enabled = False
    shell.display_pub = CapturingDisplayPublisher()
    yield Cell(shell.display_pub.outputs)
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


class Feed:
    """Snapshots one after the other, the last one for ever."""

    def __init__(self, *snapshots: Snapshot, fails_with: Exception | None = None) -> None:
        self._snapshots = list(snapshots)
        self._fails_with = fails_with
        self.last: Snapshot | None = None
        self.seconds_to_wait = 0.01
        self.looked_at: frozenset[str] = frozenset()

    @property
    def is_over(self) -> bool:
        return len(self._snapshots) == 1

    def look_at(self, names: Iterable[str]) -> None:
        self.looked_at = frozenset(names)

    def open(self) -> Snapshot:
        self.last = self._snapshots[0]
        return self.last

    def snapshot(self, *, fresh: bool = False) -> Snapshot:  # noqa: ARG002 # as JobFeed has it
        if len(self._snapshots) > 1:
            self._snapshots.pop(0)
        elif self._fails_with is not None:
            raise self._fails_with
        self.last = self._snapshots[0]
        return self.last


def ended(thread: str = "cdao-monitor") -> bool:
    until = time.monotonic() + 10
    while any(each.name == thread for each in threading.enumerate()):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def test_a_widget_becomes_html_at_the_end(cell: Cell, snapshot: Snapshot, done: Snapshot) -> None:
    first = watch_in_notebook(Feed(snapshot, snapshot, done), NotebookView())
    assert first is snapshot
    assert ended()
    assert WIDGET in cell.bundles[0]
    assert set(cell.shown) == {"text/html", "text/plain"}
    assert cell.updates == [False, True]
    assert "SUCCEEDED" in cell.shown["text/html"]
    assert "SUCCEEDED" in cell.shown["text/plain"]


def test_without_a_widget_html_is_painted_anew_where_jobs_changed(
    cell: Cell, snapshot: Snapshot, done: Snapshot
) -> None:
    watch_in_notebook(Feed(snapshot, snapshot, snapshot, done), NotebookView(ui="html"))
    assert ended()
    assert all(WIDGET not in bundle for bundle in cell.bundles)
    assert cell.updates[0] is False
    assert all(cell.updates[1:])
    assert len(cell.bundles) <= 3


def test_a_view_that_was_left_says_so_and_stays_so(cell: Cell, snapshot: Snapshot) -> None:
    view = NotebookView(again="cdao_sdk.monitor_sagemaker_jobs('x')")
    watch_in_notebook(Feed(snapshot, snapshot), view, until_over=lambda: False)
    view.leave()
    assert ended()
    assert "the jobs go on" in cell.shown["text/html"]
    assert "monitor_sagemaker_jobs(&#x27;x&#x27;)" in cell.shown["text/html"]
    count = len(cell.bundles)
    view.paint(snapshot)
    assert len(cell.bundles) == count


def test_a_late_click_does_not_overwrite_the_end(
    cell: Cell, snapshot: Snapshot, done: Snapshot
) -> None:
    view = NotebookView()
    view.paint(snapshot)
    view.finish(done)
    view.leave()
    assert "SUCCEEDED" in cell.shown["text/html"]
    assert "go on" not in cell.shown["text/html"]


def test_the_end_shows_the_logs_of_the_jobs(cell: Cell, snapshot: Snapshot, done: Snapshot) -> None:
    view = NotebookView()
    view.paint(snapshot)
    rows = tuple(replace(row, log_tail=(f"the log of {row.name}",)) for row in done.jobs)
    view.finish(replace(done, jobs=rows))
    assert all(f"the log of {row.name}" in cell.shown["text/html"] for row in rows)


def test_an_error_of_the_feed_is_a_note_and_the_end_of_the_thread(
    cell: Cell, snapshot: Snapshot
) -> None:
    feed = Feed(snapshot, fails_with=CdaoError("SageMaker has been away for long"))
    watch_in_notebook(feed, NotebookView(), until_over=lambda: False)
    assert ended()
    assert "SageMaker has been away for long" in cell.shown["text/html"]


def test_the_end_of_a_cell_waits_for_the_last_state(
    cell: Cell, snapshot: Snapshot, done: Snapshot
) -> None:
    from IPython.core.getipython import get_ipython

    feed = Feed(snapshot, done)
    feed.seconds_to_wait = 60.0
    watch_in_notebook(feed, NotebookView())
    time.sleep(0.2)  # the thread sleeps by now
    began = time.monotonic()
    shell: Any = get_ipython()
    shell.events.trigger("post_run_cell", None)
    assert "SUCCEEDED" in cell.shown["text/html"]
    assert time.monotonic() - began < 5
    assert ended()


def test_the_feed_hears_which_jobs_someone_looks_at(
    cell: Cell, snapshot: Snapshot, done: Snapshot
) -> None:
    feed = Feed(snapshot, snapshot)
    feed.seconds_to_wait = 60.0
    view = NotebookView()
    watch_in_notebook(feed, view, until_over=lambda: False)
    name = snapshot.jobs[0].name
    assert view.widget is not None
    view.widget.opened.add(name)
    until = time.monotonic() + 5
    while feed.looked_at != {name}:
        assert time.monotonic() < until
        time.sleep(0.01)
    view.leave()
    assert ended()


def test_two_views_of_one_execution_do_not_mind_each_other(
    cell: Cell, snapshot: Snapshot, done: Snapshot
) -> None:
    views = [NotebookView(), NotebookView()]
    for view in views:
        watch_in_notebook(Feed(snapshot, done), view)
    assert ended()
    assert cell.updates.count(False) == 2
    assert sum("SUCCEEDED" in bundle["text/html"] for bundle in cell.bundles) >= 2
