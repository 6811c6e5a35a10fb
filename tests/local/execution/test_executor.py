"""The executor itself: at speed, from many threads, and when the machine lets it down."""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cdao_sdk.local.executor import Executor
from cdao_sdk.local.processes import Processes

from .conftest import BUCKET, MemoryLog

if TYPE_CHECKING:
    from .conftest import Laboratory


def trivial(lab: Laboratory, number: int) -> tuple[str, float]:
    request = {
        "AlgorithmSpecification": {"ContainerEntrypoint": ["python3", "-c", "pass"]},
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    job = lab.job("training", request, name=f"job-{number}")
    executor = Executor(lab.objects, lab.processes)
    started = time.perf_counter()
    outcome = executor.run(job, lambda *_: None, threading.Event(), MemoryLog())
    return outcome.status, time.perf_counter() - started


def test_a_trivial_job_costs_little_more_than_its_interpreter(lab: Laboratory) -> None:
    lab.processes.sandbox_refusal()  # starts the supervisor
    results = [trivial(lab, number) for number in range(15)]
    assert {status for status, _ in results} == {"Completed"}
    assert statistics.median(seconds for _, seconds in results) < 0.2  # 0.02 on a quiet machine


def test_jobs_run_side_by_side(lab: Laboratory) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda number: trivial(lab, number), range(40)))
    assert {status for status, _ in results} == {"Completed"}


def test_a_closing_server_fails_its_jobs_plainly(lab: Laboratory) -> None:
    lab.processes.close()
    outcome = lab.train("pass")
    assert outcome.status == "Failed"
    assert str(outcome.failure_reason).startswith("InternalServerError: the server is closing")


def test_close_in_mid_run_fails_the_job(lab: Laboratory) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lab.train, "import time; print('up'); time.sleep(60)")
        while "algo-1" not in lab.log.streams or not lab.log.text():
            time.sleep(0.02)
        lab.processes.close()
        outcome = running.result(10)
    assert outcome.status == "Failed"


def test_stop_before_the_start_runs_nothing(lab: Laboratory) -> None:
    stop = threading.Event()
    stop.set()
    request = {
        "AlgorithmSpecification": {"ContainerEntrypoint": ["sh", "-c", "echo ran"]},
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    assert lab.run("training", request, stop=stop).status == "Stopped"
    assert lab.log.text() == ""


def test_processes_may_be_closed_unused_and_twice() -> None:
    processes = Processes()
    processes.close()
    processes.close()
