"""``cdao monitor`` in a terminal, as a person sees and uses it; real jobs, real keys."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.local.server import LocalSageMaker
    from tests.monitor.terminal.conftest import Terminal

    Cdao = Callable[..., Terminal]

CDAO = str(Path(sys.executable).with_name("cdao"))
FLOW = """
import time
from cdao_sdk import sagemaker_processing_task, sagemaker_workflow
from flytekit import task

@task
def greet() -> int:
    print("printed here")
    return 1

@sagemaker_processing_task(
    instance_type="ml.m5.large", framework="scikit-learn", framework_version="1.9-0"
)
def hang(number: int) -> int:
    print("hanging", flush=True)
    time.sleep(300)
    return number

@sagemaker_workflow
def endless() -> int:
    return hang(number=greet())
"""
SLEEP = "import time; print('step 1', flush=True); time.sleep(60)"


@pytest.fixture
def sleeper(start_processing: Callable[..., str], unique: str) -> str:
    """A job of an execution of its own that goes on for a minute."""
    return start_processing(f"{unique[:20]}-n0-dtyxehan-0", SLEEP)


def status(boto: Any, name: str) -> str:
    described = boto("sagemaker").describe_processing_job(ProcessingJobName=name)
    return described["ProcessingJobStatus"]


def test_a_job_is_watched_resized_and_looked_away_from(cdao: Cdao, sleeper: str, boto: Any) -> None:
    screen = cdao("monitor", sleeper, columns=100, lines=24)
    text = screen.wait_for("● InProgress", "│ step 1", "Ctrl-C")
    assert "q look away" in text
    assert not screen.is_as_before
    screen.resize(44, 14)
    screen.wait_for("● InProgress", "q look away", gone="Enter open")
    screen.resize(120, 24)
    text = screen.wait_for("Enter open")
    assert text.count("STEP") == 1
    screen.press("l")
    screen.wait_for("log of", "step 1", "/ find", "Esc back")
    screen.press("/EP x")
    screen.wait_for("find: EP x", "no line has it")
    screen.press("\x7f\x7f\r")
    screen.wait_for("step 1", "1 of the last", "Esc all lines", gone="no line has it")
    screen.press("\x1b")
    screen.wait_for("step 1", "Esc back")
    screen.press("\x1b")
    screen.wait_for("STATUS")
    screen.press("q")
    assert screen.end() == 0
    assert f"The jobs go on. To stop them: cdao stop {sleeper}" in screen.text
    assert screen.is_as_before
    assert status(boto, sleeper) == "InProgress"


def test_ctrl_c_can_stop_the_jobs(cdao: Cdao, sleeper: str, boto: Any) -> None:
    execution = sleeper.partition("-")[0]
    screen = cdao("monitor", execution)
    screen.wait_for("● InProgress", "Ctrl-C")
    screen.press("\x03")
    screen.wait_for("Stop the jobs, or only look away?")
    screen.press("c")
    screen.wait_for("f failed only", gone="Stop the jobs")
    screen.press("\x03")
    screen.wait_for("Stop the jobs, or only look away?")
    screen.press("s")
    assert screen.end() == 3
    assert "■ Stopped" in screen.text
    assert screen.is_as_before
    assert status(boto, sleeper) == "Stopped"


def test_a_second_ctrl_c_looks_away(cdao: Cdao, sleeper: str, boto: Any) -> None:
    screen = cdao("monitor", sleeper)
    screen.wait_for("● InProgress", "Ctrl-C")
    screen.press("\x03")
    screen.wait_for("Stop the jobs")
    screen.press("\x03")
    assert screen.end() == 130
    assert "The jobs go on." in screen.text
    assert "Stop the jobs, or" not in screen.text
    assert screen.is_as_before
    assert status(boto, sleeper) == "InProgress"


def test_a_signal_leaves_the_terminal_as_it_was(cdao: Cdao, sleeper: str) -> None:
    screen = cdao("monitor", sleeper)
    screen.wait_for("● InProgress", "Ctrl-C")
    screen.process.send_signal(signal.SIGTERM)
    assert screen.end() == 130
    assert screen.is_as_before


def test_ctrl_z_gives_the_terminal_back_for_a_while(
    terminal: Callable[..., Terminal], embedded: LocalSageMaker, sleeper: str
) -> None:
    script = f"set -m; {CDAO} monitor {sleeper}; stty -a | grep -o ' icanon'; read; fg; echo $?"
    screen = terminal("/bin/bash", "-c", script, CDAO_ENDPOINT_URL=embedded.url)
    screen.wait_for("● InProgress", "Ctrl-C")
    screen.press("\x1a")
    screen.wait_for(" icanon")  # the shell has its terminal again
    screen.press("\n")
    screen.wait_for("icanon", twice="q look away")
    screen.press("q")
    screen.wait_for("The jobs go on.", "\n0")
    assert screen.end() == 0


def test_a_failed_job_ends_with_its_reason_and_exit_code(
    cdao: Cdao, start_processing: Callable[..., str], unique: str
) -> None:
    name = start_processing(
        f"{unique[:20]}-n0-dtyxehan-0", "print('near the end'); raise SystemExit(3)"
    )
    screen = cdao("monitor", name, columns=80)
    assert screen.end() == 1
    assert "✖ Failed" in screen.text
    assert "│ near the end" in screen.text
    assert screen.is_as_before


def test_without_colours_and_unicode_the_view_is_the_same(cdao: Cdao, sleeper: str) -> None:
    screen = cdao("monitor", sleeper, PYTHONIOENCODING="ascii", NO_COLOR="1")
    text = screen.wait_for("> InProgress", "Up/Down move")
    assert text.isascii()
    colours = {cell.fg for line in screen.screen.buffer.values() for cell in line.values()}
    assert colours == {"default"}
    screen.press("q")
    screen.end()


def test_a_dumb_terminal_gets_lines(cdao: Cdao, sleeper: str) -> None:
    screen = cdao("monitor", sleeper, TERM="dumb")
    text = screen.wait_for("Processing")
    assert "STEP" not in text
    screen.press("\x03")
    assert screen.end() == 130
    assert "The jobs go on." in screen.text


def test_what_runs_here_is_stopped_by_ctrl_c_and_prints_above_the_table(
    cdao: Cdao, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    monkeypatch.chdir(tmp_path)
    screen = cdao("run", "flow.py", "endless", lines=40)
    text = screen.wait_for("● InProgress", "│ hanging", "Ctrl-C stop", seconds=60)
    assert "look away" not in text
    assert text.index("printed here") < text.index("STEP")
    screen.press("\x03")
    assert screen.end() == 130
    assert "stopping the jobs" in screen.text
    assert "■ Stopped" in screen.text
    assert screen.is_as_before
