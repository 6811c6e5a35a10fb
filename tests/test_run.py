"""`run()` in a process of its own, and what an execution says of itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

import cdao_sdk
from cdao_sdk.errors import CdaoError, ConfigurationError, ExecutionTimeout, NotFound
from cdao_sdk.execution_record import ExecutionRecord, ExecutionStatus

FLOW = """
import os, sys, time
import cdao_sdk

@cdao_sdk.sagemaker_processing_task(framework="sklearn")
def nap(seconds: float, mark: str) -> str:
    with open(mark, "a") as file:
        file.write("%d\\n" % os.getpid())
    time.sleep(seconds)
    with open(mark, "a") as file:
        file.write("done\\n")
    return mark

@cdao_sdk.sagemaker_workflow
def flow(seconds: float, mark: str) -> str:
    return nap(seconds=seconds, mark=mark)

@cdao_sdk.sagemaker_workflow
def two(seconds: float, mark: str) -> str:
    return nap(seconds=seconds, mark=nap(seconds=0.0, mark=mark))
"""


def script(folder: Path, body: str) -> subprocess.Popen[str]:
    """A user's script with the flow above it."""
    path = folder / "script.py"
    path.write_text(FLOW + textwrap.dedent(body))
    environment = {**os.environ, "CDAO_STATE_DIR": str(folder / "state")}
    return subprocess.Popen(
        [sys.executable, str(path)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def lines_of(mark: Path, count: int) -> list[str]:
    deadline = time.monotonic() + 60
    while not mark.exists() or len(mark.read_text().splitlines()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return mark.read_text().splitlines()


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def children_in(folder: Path) -> list[str]:
    """Command lines of processes that know of this state folder."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        try:
            text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        except (OSError, NotADirectoryError):
            continue
        if str(folder).encode() in text:
            found.append((entry / "cmdline").read_text().replace("\0", " "))
    return found


def record_in(folder: Path) -> ExecutionRecord:
    (path,) = (folder / "state" / "executions").glob("*.json")
    return ExecutionRecord.read(path)


def test_script_that_ends_first_stops_its_execution_and_says_so(tmp_path: Path) -> None:
    # From Python 3.12 on no thread can be started by then: going on is not possible.
    process = script(
        tmp_path,
        """
        if __name__ == "__main__":  # the job imports this file, too
            execution = cdao_sdk.run(flow, {"seconds": 90.0, "mark": os.path.abspath("mark")})
            while not os.path.exists("mark"):
                time.sleep(0.02)
            print("the script is done")
        """,
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.strip()) == (0, "the script is done"), err
    record = record_in(tmp_path)
    assert record.status is ExecutionStatus.ABORTED
    assert f"execution {record.id} is stopped, because the process ends" in err
    assert "Traceback" not in err
    assert "Unclosed" not in err
    assert gone(int((tmp_path / "mark").read_text()))
    assert children_in(tmp_path) == []


def test_ctrl_c_stops_the_jobs_and_ends_the_script(tmp_path: Path) -> None:
    process = script(
        tmp_path,
        """
        cdao_sdk.run(flow, {"seconds": 90.0, "mark": os.path.abspath("mark")}).wait()
        """,
    )
    job = int(lines_of(tmp_path / "mark", 1)[0])
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=40)
    assert process.returncode != 0
    assert time.monotonic() - began < 30, "it did not wait for the job's own end"
    assert gone(job)
    assert record_in(tmp_path).status is ExecutionStatus.ABORTED


def test_kill_leaves_no_child_and_what_had_finished_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = script(
        tmp_path,
        """
        cdao_sdk.run(two, {"seconds": 90.0, "mark": os.path.abspath("mark")}).wait()
        """,
    )
    job = int(lines_of(tmp_path / "mark", 3)[2])
    process.kill()
    process.communicate(timeout=10)
    assert gone(job)
    deadline = time.monotonic() + 10
    while children_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children_in(tmp_path) == []
    record = record_in(tmp_path)
    assert record.status is ExecutionStatus.FAILED
    assert "ended before it did" in record.error
    # A second process sees the jobs.
    reader = f"""
import json, sys
import cdao_sdk
from cdao_sdk._connect import connect
from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.watch import JobWatch
from cdao_sdk.settings import holder
clients = connect(holder.gather().settings).clients
jobs = bridge.run(JobWatch(clients, {record.id!r}).refresh())
print(json.dumps([job.status for job in jobs]))
"""
    environment = {**os.environ, "CDAO_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, "-c", reader],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == ["Completed", "Failed"]


@pytest.fixture
def sleeper(on_embedded: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The flow as a module of this process."""
    (tmp_path / "sleeping_flow.py").write_text(FLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    import sleeping_flow

    yield sleeping_flow
    monkeypatch.delitem(sys.modules, "sleeping_flow")


def test_execution_tells_where_it_stands(sleeper: Any, tmp_path: Path, on_embedded: Path) -> None:
    mark = tmp_path / "mark"
    execution = cdao_sdk.run(sleeper.flow, {"seconds": 1.0, "mark": str(mark)})
    assert str(execution.status) == "RUNNING"
    assert execution.error is None
    assert execution.id in repr(execution)
    with pytest.raises(CdaoError, match="still running; wait"):
        _ = execution.outputs
    with pytest.raises(ExecutionTimeout, match=r"still running after 0\.01 s"):
        execution.wait(timeout=0.01)
    assert cdao_sdk.get_execution(execution.id).status is ExecutionStatus.RUNNING
    assert execution.wait(timeout=60) is execution
    assert str(execution.status) == "SUCCEEDED"
    record = cdao_sdk.get_execution(execution.id)
    assert (record.status, record.workflow) == (ExecutionStatus.SUCCEEDED, "sleeping_flow.flow")
    assert record.ended > record.created
    (job,) = execution.jobs()
    assert job.name.startswith(f"{execution.id}-n0-nap-")
    with pytest.raises(NotFound, match=f"'other'.*{job.name}"):
        execution.logs("other")
    assert execution.logs(job.name) == execution.logs()


def test_settings_of_a_call_hold_for_it_alone(sleeper: Any, tmp_path: Path, embedded: Any) -> None:
    mark = str(tmp_path / "mark")
    execution = cdao_sdk.run(sleeper.flow, {"seconds": 0.0, "mark": mark}, project="elsewhere")
    execution.wait(timeout=60)
    (job,) = execution.jobs()
    assert "/elsewhere/development/" in job.artifact
    with pytest.raises(ConfigurationError, match="Did you mean 'project'"):
        cdao_sdk.run(sleeper.flow, {"seconds": 0.0, "mark": mark}, projct="x")


def test_execution_in_a_process_has_no_place_on_a_cluster(sleeper: Any, tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")
    execution = cdao_sdk.run(sleeper.flow, {"seconds": 0.0, "mark": mark}, name="mine")
    execution.wait(timeout=60)
    assert (execution.id, execution.url, execution.nodes) == ("mine", "", ())
    for verb in (execution.recover, execution.relaunch):
        with pytest.raises(CdaoError, match="execution mine runs in this process"):
            verb()


def test_execution_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match="'a-nowhere'"):
        cdao_sdk.get_execution("a-nowhere")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": "x", "status": "??"}'])
def test_damaged_record_says_where_it_is(tmp_path: Path, text: str) -> None:
    good = ExecutionRecord("a1", "flow", ExecutionStatus.SUCCEEDED, "2026-11-23", os.getpid())
    good.write(tmp_path)
    assert ExecutionRecord.read(tmp_path / "a1.json") == good
    (tmp_path / "a2.json").write_text(text)
    with pytest.raises(CdaoError, match=r"a2\.json cannot be read"):
        ExecutionRecord.read(tmp_path / "a2.json")


def test_a_state_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    from cdao_sdk._connect import connect
    from cdao_sdk.settings import holder

    (tmp_path / "file").touch()
    settings = holder.gather({"state_dir": tmp_path / "file" / "state"}).settings
    with pytest.raises(ConfigurationError, match=r"cannot keep its state in .*Set state_dir to"):
        connect(settings)
