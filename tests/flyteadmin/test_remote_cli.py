"""The command on a cluster: a process of its own, as CI starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import cdao_sdk

if TYPE_CHECKING:
    from collections.abc import Callable

    from flyte_double import FlyteDouble

FLOWS = Path(__file__).parent / "flows"
PYFLYTE = str(Path(sys.executable).with_name("pyflyte"))


@pytest.fixture
def cdao(
    flyte: FlyteDouble, embedded: Any, warm_start: Callable[..., list[str]]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command in the flows' folder."""
    settings = {
        "CDAO_ADMIN_ENDPOINT": f"http://{flyte.endpoint}",
        "CDAO_ENDPOINT_URL": embedded.url,
        "CDAO_POLL_INTERVAL_SECONDS": "0.2",
        "CDAO_IMAGE": "python:3.11",
        "CI": "true",
    }

    def run(*arguments: str, tool: str = "") -> subprocess.CompletedProcess[str]:
        command = [tool, *arguments] if tool else warm_start("cdao", *arguments)
        return subprocess.run(
            command, cwd=FLOWS, capture_output=True, text=True, timeout=100,
            env={**os.environ, **settings}, check=False,
        )  # fmt: skip

    return run


def test_register_then_run_to_the_end(flyte: FlyteDouble, cdao: Any) -> None:
    dry = json.loads(cdao("register", "cluster_flows.py", "--dry-run", "--json").stdout)
    assert sum(flyte.calls.values()) == 0
    assert {"kind": "launch_plan", "name": "five"} in dry["entities"]
    done = cdao("register", "cluster_flows.py", "--activate-launchplans", "--json")
    assert json.loads(done.stdout) == {**dry, "registered": True}, done.stderr
    assert flyte.database.launch_plans
    ran = cdao("run", "cluster_flows.py", "numbers", "--remote", "--input", "number=2")
    assert (ran.returncode, ran.stdout) == (0, "o0 = 8\n"), ran.stderr
    assert "/console/projects/flytesnacks/" in ran.stderr
    assert "SUCCEEDED" in ran.stderr


def test_start_only_then_stop(flyte: FlyteDouble, cdao: Any) -> None:
    started = cdao("run", "cluster_flows.py", "sleeping", "--no-wait", "--name", "to-be-stopped")
    assert started.stdout == "to-be-stopped\n", started.stderr
    stopped = cdao("stop", "flytesnacks:development:to-be-stopped")
    assert stopped.returncode == 0
    assert stopped.stdout.startswith("stopping execution to-be-stopped")
    assert [execution.id.name for execution in flyte.executions] == ["to-be-stopped"]


def test_failure_has_its_exit_code_and_words(cdao: Any) -> None:
    ran = cdao("run", "cluster_flows.py", "failing", "--json")
    assert ran.returncode == 1
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    assert events[0]["url"].startswith("http://127.0.0.1:")
    assert "no good: 6" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--project", "nowhere"], "no project 'nowhere'"),
        (["--input", "number=x"], "The inputs of cluster_flows.numbers do not fit"),
        (["--local", "--no-wait"], "--no-wait: without admin_endpoint"),
    ],
)
def test_what_cannot_be_run_is_a_bad_input(cdao: Any, arguments: list[str], words: str) -> None:
    ran = cdao("run", "cluster_flows.py", "numbers", *arguments)
    assert ran.returncode == 2
    assert words in ran.stderr


def test_pyflyte_runs_the_same_file(
    flyte: FlyteDouble, cdao: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(flyte.config_file(tmp_path))
    ran = cdao(
        "--config", config, "run", "--remote", "cluster_flows.py", "numbers", "--number", "4",
        tool=PYFLYTE,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    [started] = flyte.executions
    monkeypatch.setenv("FLYTECTL_CONFIG", config)
    execution = cdao_sdk.get_execution(started.id.name)
    assert isinstance(execution, cdao_sdk.Execution)
    assert execution.wait(timeout=60).outputs == {"o0": 16}
