"""The command as a user starts it: a process of its own, with the imports done."""

from __future__ import annotations

import os
import secrets
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cdao_sdk.local.server import LocalSageMaker

FLOW = """
import time
from cdao_sdk import sagemaker_processing_task, sagemaker_workflow
from flytekit import task, workflow

on = dict(instance_type="ml.m5.large", framework="scikit-learn", framework_version="1.9-0")

@sagemaker_processing_task(**on)
def double(number: int) -> int:
    print("doubling", number)
    return 2 * number

@sagemaker_processing_task(**on)
def fail(number: int) -> int:
    print("about to fail")
    if number:
        raise ValueError("no column 'target'")
    return number

@sagemaker_processing_task(**on)
def hang(number: int) -> int:
    print("hanging")
    time.sleep(300)
    return number

@task
def divide(number: int) -> float:
    return number / 0

@sagemaker_workflow
def good(number: int, note: str = "") -> int:
    return double(number=number)

@sagemaker_workflow
def bad(number: int) -> int:
    return fail(number=number)

@sagemaker_workflow
def plain_bad(number: int) -> float:
    return divide(number=number)

@sagemaker_workflow
def endless(number: int) -> int:
    return hang(number=double(number=number))
"""


@pytest.fixture
def cdao(
    warm_start: Callable[..., list[str]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``cdao`` with these arguments; keyword arguments are added to the environment."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            warm_start("cdao", *arguments),
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


@pytest.fixture
def start_cdao(
    warm_start: Callable[..., list[str]],
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts ``cdao`` in a session of its own; it is killed at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            warm_start("cdao", *arguments),
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def flow(tmp_path: Path) -> str:
    """A user's file with some workflows."""
    path = tmp_path / f"flow_{secrets.token_hex(4)}.py"
    path.write_text(FLOW)
    return str(path)


@pytest.fixture
def endpoint(embedded: LocalSageMaker) -> dict[str, str]:
    """The environment that points ``cdao`` at the server which the tests share."""
    return {"CDAO_ENDPOINT_URL": embedded.url}


@pytest.fixture
def start_job(start_processing: Callable[..., str]) -> Callable[[str], str]:
    """Starts a job that runs a line of Python, of an execution of its own; returns its name."""
    return lambda code: start_processing(f"c{secrets.token_hex(9)}-n0-dtyxehan-0", code)
