"""pyflyte as users run it, and plain tasks beside SageMaker's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mixed_flow

SOURCE = Path(mixed_flow.__file__)


def pyflyte(client: Any, folder: Path, *arguments: str) -> str:
    config = client.flyte.config_file(folder)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(
        [Path(sys.executable).parent / "pyflyte", "--config", config, *arguments],
        cwd=SOURCE.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pyflyte_registers_and_runs_a_file(client: Any, tmp_path: Path) -> None:
    place = ("--project", "flytesnacks", "--domain", "development", "--image", "python:3.11")
    pyflyte(client, tmp_path, "register", *place, "--version", "v1", SOURCE.name)
    assert client.remote.fetch_workflow(name="mixed_flow.mixed").id.version == "v1"
    pyflyte(client, tmp_path, "run", "--remote", *place, SOURCE.name, "mixed", "--number", "4")
    (execution,) = client.flyte.executions
    ended = client.wait(client.remote.fetch_execution(name=execution.id.name))
    assert ended.is_successful, ended.error
    assert ended.outputs["o0"] == "9 is odd"
