"""A view's feed over an execution of a thousand jobs: first paint, and what a refresh costs."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.kernel import kernel
from benchmarks.measure import PYTHON, Row, milliseconds
from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.calls import call
from cdao_sdk.aws.session import AwsClients, embedded_target
from cdao_sdk.kinds.naming import job_name
from cdao_sdk.local.job_kinds import JOB_KINDS
from cdao_sdk.local.jobs import Outcome
from cdao_sdk.local.ownership import Ownership
from cdao_sdk.local.records import Record, Records
from cdao_sdk.local.service_model import sagemaker_model
from cdao_sdk.local.transitions import created, ended
from cdao_sdk.monitor.feed import JobFeed
from cdao_sdk.monitor.notebook import NotebookView
from cdao_sdk.monitor.notebook_lines import lines_of
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdao_sdk.monitor.snapshot import Snapshot

JOBS = 1_000
OTHERS, DAYS = 20_000, 30
RUNNING, FAILED = 300, 20
ROUNDS = 15
SERVICES = ("sagemaker", "logs", "cloudwatch")
TRAINING = JOB_KINDS[0]
EXECUTION = "a0f3a9d1c0b7e5f60718"


def rows() -> list[Row]:
    """First paint by an execution's id alone, and refreshes while it runs."""
    return [*_of_many_jobs(), *_in_a_large_account()]


def _in_a_large_account() -> list[Row]:
    """One execution beside many jobs of others, half of them younger; paged as SageMaker does."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        command = [PYTHON, "-m", "benchmarks.open_account", str(OTHERS), str(ready), str(DAYS * 24)]
        with subprocess.Popen(command) as process:
            try:
                while not ready.exists() or not ready.read_bytes():
                    time.sleep(0.01)
                return _beside_others(json.loads(ready.read_bytes())["url"])
            finally:
                process.terminate()


def _beside_others(url: str) -> list[Row]:
    clients = AwsClients(embedded_target(url))
    counted = _count(clients)
    feed = JobFeed(f"execution-{OTHERS // 2:05}", clients, holder.gather().settings)
    begin = time.perf_counter()
    feed.open()
    looks = 1
    while not feed.is_over:  # without a record it is over once all lists are read
        feed.snapshot(hurried=True)
        looks += 1
    read, all_calls = time.perf_counter() - begin, counted.total()
    calls: list[int] = []
    for _ in range(ROUNDS):
        counted.clear()
        feed.snapshot(hurried=True)
        calls.append(counted.total())
    bridge.run(clients.close())
    return [
        Row(
            f"an execution found among {OTHERS:,} jobs of {DAYS} days, by its id alone",
            f"{all_calls} calls, once, {max(1, looks)} looks",
            f"{read:.1f} s here; AWS lets lists be asked for twice a second",
        ),
        Row(
            "each refresh after that: calls, the most",
            f"{max(calls)}",
            f"all pages again: {OTHERS // 100}",
            f"1/{OTHERS // 100 // max(calls)}",
            "≤ 12",
        ),
    ]


def _of_many_jobs() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        ownership = _fill(state)
        try:
            for url in _server(state):
                return _measured(url)
        finally:
            ownership.close()
    raise RuntimeError


def _measured(url: str) -> list[Row]:
    clients = AwsClients(embedded_target(url))
    bridge.run(_open(clients))
    counted = _count(clients)
    feed = JobFeed(EXECUTION, clients, holder.gather().settings, shows_logs=True)
    sent = kernel()
    begin, busy_before = time.perf_counter(), time.process_time()
    view = NotebookView(stop=lambda _: None)
    first = feed.open()
    view.paint(first)
    painted, worked = time.perf_counter() - begin, time.process_time() - busy_before
    first_calls, first_bytes = counted.total(), sent.bytes
    _open_all(view, first)
    costs, walls, calls, sizes = [], [], [], []
    for _ in range(ROUNDS):
        counted.clear()
        sent.bytes = 0
        begin, busy = time.perf_counter(), time.process_time()
        view.paint(feed.snapshot(hurried=True))
        sizes.append(sent.bytes)
        costs.append(time.process_time() - busy)
        walls.append(time.perf_counter() - begin)
        calls.append(counted.total())
    bridge.run(clients.close())
    last = feed.last
    if last is None or len(last.jobs) != JOBS:
        msg = f"the last paint has {len(last.jobs) if last else 0} jobs"
        raise RuntimeError(msg)
    return [
        Row(
            f"first paint of {JOBS:,} jobs in a notebook, clients open",
            milliseconds(painted),
            f"{len(first.jobs):,} jobs in it, {first_calls} calls; the kernel's time:"
            f" {milliseconds(worked)}; to the browser: {first_bytes / 1000:.0f} kB",
            reach="< 500 ms",
        ),
        Row(
            f"refresh of {JOBS:,} jobs in a notebook: the kernel's time",
            milliseconds(statistics.median(costs)),
            f"the slowest: {milliseconds(max(costs))}; by the clock:"
            f" {milliseconds(statistics.median(walls))}; to the browser: {max(sizes) / 1000:.1f} kB"
            " at the most",
            reach="< 100 ms",
        ),
        Row(
            f"refresh of {JOBS:,} jobs: calls, the most",
            f"{max(calls)}",
            f"a Describe each: {JOBS:,}",
            f"1/{JOBS // max(calls)}",
            reach="≤ 12",
        ),
    ]


def _open_all(view: NotebookView, first: Snapshot) -> None:
    """Open the group, so that a page of jobs is shown, and the first job with its log."""
    if view.widget is None:
        msg = "ipywidgets is not installed"
        raise RuntimeError(msg)
    (group,) = lines_of(first)
    view.widget.toggle(group)
    view.widget.opened.add(first.jobs[0].name)


async def _open(clients: AwsClients) -> None:
    for service in SERVICES:
        await clients.client(service)
    await call(clients, "sagemaker", "ListTrainingJobs", {"MaxResults": 1})


def _count(clients: AwsClients) -> Counter[str]:
    """Counts the calls from now on."""
    counted: Counter[str] = Counter()

    def sent(event_name: str, **_: object) -> None:
        counted[event_name.rpartition(".")[2]] += 1

    async def listen() -> None:
        for service in SERVICES:
            client: Any = await clients.client(service)
            client.meta.events.register("before-send", sent)

    bridge.run(listen())
    return counted


def _server(state: Path) -> Iterator[str]:
    """The embedded SageMaker in a process of its own; its URL."""
    ready = state / "ready.json"
    command = [PYTHON, "-m", "cdao_sdk.local", "--state-dir", str(state)]
    with subprocess.Popen(
        [*command, "--ready-file", str(ready)], stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not ready.exists():
                time.sleep(0.01)
            yield json.loads(ready.read_bytes())["url"]
        finally:
            process.terminate()


def _fill(state: Path) -> Ownership:
    """Write a map's jobs down: some run, some have failed, most are done."""
    root = state / "sagemaker"
    ownership = Ownership(root / "servers")
    records = Records(root, ownership)
    members = sagemaker_model().output_members("DescribeTrainingJob")
    for number in range(JOBS):
        name = job_name(EXECUTION, f"n1-n{number}-fit_model", 0)
        request: dict[str, Any] = {
            "TrainingJobName": name,
            "RoleArn": "arn:aws:iam::123456789012:role/SageMakerExecutionRole",
            "AlgorithmSpecification": {"TrainingImage": "local", "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
            "HyperParameters": {f"parameter_{index}": str(index) for index in range(20)},
        }
        now = time.time() - 3600 + number
        describe = created(TRAINING, request, members=members, region="us-east-1", now=now)
        if number >= RUNNING:
            has_failed = number < RUNNING + FAILED
            outcome = Outcome(
                status="Failed" if has_failed else "Completed",
                failure_reason="AlgorithmError: ValueError: no column" if has_failed else "",
            )
            describe = ended(TRAINING, describe, outcome, now + 60)
        records.create(
            TRAINING,
            Record(
                name=name,
                region="us-east-1",
                owner=ownership.server_id,
                request=request,
                describe=describe,
            ),
        )
    return ownership
