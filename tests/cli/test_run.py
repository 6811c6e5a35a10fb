from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Cdao = Callable[..., subprocess.CompletedProcess[str]]
    StartCdao = Callable[..., subprocess.Popen[str]]


def events_until(process: subprocess.Popen[str], step: str, status: str) -> str:
    """Reads events until a step has a status; returns the execution's id."""
    assert process.stdout is not None
    execution = ""
    for line in process.stdout:
        event = json.loads(line)
        execution = execution or str(event.get("id", ""))
        if event.get("label") == step and event["status"] == status:
            return execution
    pytest.fail(f"{step} never was {status}")


def test_progress_goes_to_stderr_and_outputs_to_stdout(cdao: Cdao, flow: str) -> None:
    done = cdao("run", flow, "good", "--input", "number=21")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "o0 = 42\n"
    assert "double" in done.stderr
    assert "Completed" in done.stderr
    assert "SUCCEEDED" in done.stderr


def test_json_is_one_event_a_line(cdao: Cdao, flow: str) -> None:
    done = cdao("run", flow, "good", "--inputs", '{"number": 4}', "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in (events[0], *events[-2:])] == [
        "execution",
        "end",
        "outputs",
    ]
    assert events[-2]["status"] == "SUCCEEDED"
    assert events[-1]["outputs"] == {"o0": 8}
    assert {event["label"] for event in events if event["event"] == "job"} == {"double"}


def test_a_failed_job_is_exit_code_1_and_tells_why_once(cdao: Cdao, flow: str) -> None:
    done = cdao("run", flow, "bad", "--input", "number=1")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "about to fail" in done.stderr
    assert "raise ValueError(\"no column 'target'\")" in done.stderr
    assert done.stderr.count("failed: ValueError: no column 'target'") == 1
    assert "flytekit/" not in done.stderr


def test_a_failed_plain_task_shows_the_users_own_lines(cdao: Cdao, flow: str) -> None:
    done = cdao("run", flow, "plain_bad", "--input", "number=1")
    assert done.returncode == 1
    assert "return number / 0" in done.stderr
    assert "site-packages" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("goood",), "Did you mean 'good'?"),
        (("good",), "number: missing"),
        (("good", "--input", "number=x"), "number='x'"),
        (("good", "--input", "numbr=1"), "Did you mean 'number'?"),
        (("good", "--inputs", "{"), "is not JSON"),
        (("good", "--no-wait"), "--no-wait"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_message(
    arguments: tuple[str, ...], words: str, cdao: Cdao, flow: str
) -> None:
    done = cdao("run", flow, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_timeout_stops_the_jobs(cdao: Cdao, flow: str) -> None:
    done = cdao("run", flow, "endless", "--input", "number=1", "--timeout", "6")
    assert done.returncode == 124, done.stderr
    assert "was not done after 6 s" in done.stderr
    assert "stopped" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_the_jobs_and_keeps_what_is_done(
    number: signal.Signals, cdao: Cdao, start_cdao: StartCdao, flow: str
) -> None:
    process = start_cdao("run", flow, "endless", "--input", "number=1", "--json")
    execution = events_until(process, "hang", "InProgress")
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"Execution {execution} stopped." in stderr
    listed = json.loads(cdao("jobs", execution, "--json").stdout)
    statuses = {job["label"]: job["status"] for job in listed}
    assert statuses == {"double": "Completed", "hang": "Stopped"}


def test_a_killed_run_leaves_no_process_and_its_finished_jobs(
    cdao: Cdao, start_cdao: StartCdao, flow: str
) -> None:
    process = start_cdao("run", flow, "endless", "--input", "number=1", "--json")
    execution = events_until(process, "hang", "InProgress")
    marked = os.environ["CDAO_STATE_DIR"]
    process.kill()
    process.communicate()
    listed = json.loads(cdao("jobs", execution, "--json").stdout)
    statuses = {job["label"]: job["status"] for job in listed}
    assert statuses == {"double": "Completed", "hang": "Failed"}
    deadline = time.monotonic() + 10
    while (left := processes_with(marked)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def processes_with(text: str) -> list[str]:
    """Living processes whose command line or environment names a state directory."""
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name == str(os.getpid()):
            continue
        try:
            words = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in words:
            found.append(folder.name)
    return found
