"""Views over real jobs of the embedded SageMaker."""

from __future__ import annotations

import io
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.errors import NotFound, ResourcesUnavailable
from cdao_sdk.kinds.naming import job_name
from cdao_sdk.monitor.feed import JobFeed
from cdao_sdk.monitor.watching import choose_view, watch
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.flyte.services import Services
    from cdao_sdk.local.server import LocalSageMaker


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("ui", "stream", "environment", "in_notebook", "expected"),
    [
        ("auto", Terminal(), {"TERM": "xterm"}, False, "rich"),
        ("auto", Terminal(), {"TERM": "dumb"}, False, "plain"),
        ("auto", Terminal(), {"CI": "true"}, False, "plain"),
        ("auto", Terminal(), {"CI": "false"}, False, "rich"),
        ("auto", io.StringIO(), {}, False, "plain"),
        ("auto", io.StringIO(), {"CI": "true"}, True, "notebook"),
        ("widget", io.StringIO(), {}, False, "plain"),
        ("html", io.StringIO(), {}, True, "notebook"),
        ("plain", Terminal(), {}, True, "plain"),
        ("rich", io.StringIO(), {"CI": "true"}, False, "rich"),
    ],
)
def test_the_view_follows_setting_notebook_and_stream(
    ui: Any, stream: io.StringIO, environment: dict[str, str], in_notebook: bool, expected: str
) -> None:
    assert choose_view(ui, stream, environment, in_notebook=in_notebook) == expected


def test_a_job_is_followed_to_its_end(
    services: Services, start_processing: Callable[..., str], unique: str
) -> None:
    name = start_processing(f"{unique}-job", "import time; print('hello'); time.sleep(4)")
    out = io.StringIO()
    snapshot = watch(name, services.clients, holder.gather().settings, out=out)
    assert snapshot.outcome == "succeeded"
    lines = out.getvalue().splitlines()
    assert lines[0] == f"job {name}"
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ .*Processing +InProgress", lines[1])
    assert "Completed after" in lines[2]


def test_a_failed_job_tells_its_reason_and_last_log_lines(
    services: Services, start_processing: Callable[..., str], unique: str
) -> None:
    name = start_processing(f"{unique}-job", "print('near the end'); raise SystemExit(3)")
    out = io.StringIO()
    snapshot = watch(name, services.clients, holder.gather().settings, out=out)
    assert snapshot.outcome == "failed"
    assert snapshot.jobs[0].log_tail == ("near the end",)
    assert "  | near the end" in out.getvalue()


def test_the_label_comes_from_the_tags(
    services: Services, start_processing: Callable[..., str], unique: str
) -> None:
    name = job_name(unique, "n0", 0)
    start_processing(name, tags={"cdao:task": "flow.preprocess", "cdao:node": "n0"})
    snapshot = watch(unique, services.clients, holder.gather().settings, out=io.StringIO())
    assert [row.label for row in snapshot.jobs] == ["preprocess"]


def test_an_unknown_name_says_what_to_check(services: Services, unique: str) -> None:
    with pytest.raises(NotFound, match=r"neither an execution nor.*cdao config show") as caught:
        watch(unique, services.clients, holder.gather().settings, out=io.StringIO())
    assert repr(unique) in str(caught.value)


def test_watching_lasts_as_long_as_the_record_says(
    services: Services,
    start_processing: Callable[..., str],
    write_record: Callable[..., None],
    unique: str,
) -> None:
    write_record(unique, status="RUNNING")
    start_processing(job_name(unique, "n0", 0))
    ended = threading.Event()

    def second_step() -> None:
        time.sleep(1.0)
        start_processing(job_name(unique, "n1", 0))
        ended.set()
        write_record(unique, status="FAILED", error="the second step was wrong")

    threading.Thread(target=second_step).start()
    out = io.StringIO()
    snapshot = watch(unique, services.clients, holder.gather().settings, out=out)
    assert ended.is_set()
    assert snapshot.outcome == "failed"
    assert [row.node for row in snapshot.jobs] == ["n0", "n1"]
    assert out.getvalue().splitlines()[-1] == "the second step was wrong"


def test_an_execution_may_have_no_job_at_all(
    services: Services, write_record: Callable[..., None], unique: str
) -> None:
    write_record(unique, status="SUCCEEDED")
    snapshot = watch(unique, services.clients, holder.gather().settings, out=io.StringIO())
    assert (snapshot.jobs, snapshot.outcome) == ((), "succeeded")


def test_the_caller_may_say_when_it_is_over(
    services: Services, write_record: Callable[..., None], unique: str
) -> None:
    write_record(unique, status="RUNNING")
    asked: list[float] = []

    def is_over() -> bool:
        asked.append(time.monotonic())
        return len(asked) == 3

    settings = holder.gather().settings
    watch(unique, services.clients, settings, until_over=is_over, out=io.StringIO())
    assert len(asked) == 3
    assert asked[2] - asked[0] > 0.15  # it pauses between two looks


def test_ctrl_c_ends_the_watching_and_not_the_job(
    services: Services, write_record: Callable[..., None], unique: str
) -> None:
    write_record(unique, status="RUNNING")

    def interrupted() -> bool:
        raise KeyboardInterrupt

    out = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        watch(unique, services.clients, holder.gather().settings, until_over=interrupted, out=out)
    assert out.getvalue().endswith(f"The jobs go on. To stop them: cdao stop {unique}\n")


def test_an_endpoint_that_is_away_is_a_note_and_then_an_error(
    write_record: Callable[..., None],
    unique: str,
    monkeypatch: pytest.MonkeyPatch,
    own_server: LocalSageMaker,
) -> None:
    from cdao_sdk.aws.session import AwsClients, embedded_target
    from cdao_sdk.monitor import feed as feed_module

    write_record(unique, status="RUNNING")
    clients = AwsClients(embedded_target(own_server.url))
    feed = JobFeed(unique, clients, holder.gather().settings)
    assert feed.open().note == ""
    own_server.close()
    assert "waiting for SageMaker" in feed.snapshot(fresh=True).note
    monkeypatch.setattr(feed_module, "_PATIENCE_SECONDS", 0.0)
    with pytest.raises(ResourcesUnavailable):
        feed.snapshot(fresh=True)
    bridge.run(clients.close())


def test_running_jobs_show_their_last_log_line(
    services: Services, start_processing: Callable[..., str], unique: str
) -> None:
    name = start_processing(f"{unique}-job", "import time; print('step 1'); time.sleep(30)")
    feed = JobFeed(name, services.clients, holder.gather().settings, shows_logs=True)
    deadline = time.monotonic() + 20
    snapshot = feed.open()
    while snapshot.jobs[0].log_tail != ("step 1",) and time.monotonic() < deadline:
        time.sleep(feed.seconds_to_wait)
        snapshot = feed.snapshot()
    assert snapshot.jobs[0].log_tail == ("step 1",)
