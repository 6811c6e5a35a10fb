"""Jobs made by hand, as SageMaker would describe them."""

from __future__ import annotations

import json
import os
import secrets
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.aws.watch import Job
from cdao_sdk.kinds.failures import Diagnosis
from cdao_sdk.kinds.job import Observation, Phase
from cdao_sdk.monitor.snapshot import ExecutionFacts, JobRow, Snapshot, label_of, take
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cdao_sdk.local.server import LocalSageMaker

NOW = datetime(2026, 11, 23, 22, 1, 7, tzinfo=timezone.utc)
EXECUTION = "a0f3a9d1c0b7e5f60718"
TASKS = {
    "n0": "credit_scoring.preprocess",
    "n1": "credit_scoring.train",
    "n2": "credit_scoring.score",
    "n3": "credit_scoring.evaluate",
}


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def make_job() -> Callable[..., Job]:
    """Makes a job of node ``node``; keyword arguments go to its observation."""

    def make(
        node: str = "n0",
        kind: str = "processing",
        *,
        phase: Phase = Phase.RUNNING,
        status: str = "InProgress",
        attempt: int = 0,
        age: float = 62.0,
        artifact: str = "",
        **seen: object,
    ) -> Job:
        values = {"instance_type": "ml.m5.xlarge", "instance_count": 1, **seen}
        return Job(
            name=f"{EXECUTION}-{node}-dtyxehan-{attempt}",
            kind=kind,
            seen=Observation(phase=phase, status=status, **values),  # type: ignore[arg-type] # by name
            created=NOW - timedelta(seconds=age),
            artifact=artifact,
        )

    return make


@pytest.fixture
def pipeline_jobs(make_job: Callable[..., Job]) -> list[Job]:
    """A pipeline half way: one step done, one training on spot, one waiting, one failed."""
    prefix = f"s3://cdao-local/cdao/ml/development/{EXECUTION}"
    return [
        make_job(
            phase=Phase.SUCCEEDED,
            status="Completed",
            age=200,
            ended=NOW - timedelta(seconds=122),
            artifact=f"{prefix}/n0/{EXECUTION}-n0-dtyxehan-0/output",
            metrics={"rows": 1000.0},
        ),
        make_job(
            "n1",
            "training",
            secondary_status="Downloading",
            spot=True,
            instance_type="ml.g5.2xlarge",
            instance_count=2,
            metrics={"auc": 0.78125, "logloss": 0.4917},
            billable_seconds=31,
        ),
        make_job("n2", "transform", phase=Phase.INITIALIZING, age=3.21),
        make_job(
            "n3",
            phase=Phase.FAILED,
            status="Failed",
            ended=NOW,
            failure_reason="AlgorithmError: [cdao:USER] ValueError: no column 'target'",
        ),
    ]


@pytest.fixture
def take_snapshot(now: datetime) -> Callable[..., Snapshot]:
    """Takes a snapshot of jobs that carry our tags."""

    def snapshot(jobs: list[Job], **options: object) -> Snapshot:
        labels = {
            job.name: label_of(job.name, {"cdao:node": node, "cdao:task": TASKS.get(node, "")})
            for job in jobs
            for node in [job.name.split("-")[1]]
        }
        values = {"taken": now, "labels": labels, **options}
        return take(f"execution {EXECUTION}", jobs, **values)  # type: ignore[arg-type] # by name

    return snapshot


@pytest.fixture
def facts() -> Callable[..., ExecutionFacts]:
    """Makes what an execution's record says."""

    def make(**values: object) -> ExecutionFacts:
        nodes = tuple(TASKS)
        return ExecutionFacts(**{"id": EXECUTION, "nodes": nodes, **values})  # type: ignore[arg-type] # by name

    return make


@pytest.fixture
def snapshot(pipeline_jobs: list[Job], take_snapshot: Callable[..., Snapshot]) -> Snapshot:
    """The pipeline half way, with log lines."""
    tails = {
        pipeline_jobs[1].name: ["[10] validation-auc:0.78125 validation-logloss:0.49170"],
        pipeline_jobs[3].name: ["Traceback (most recent call last):", "ValueError: no column"],
    }
    return take_snapshot(pipeline_jobs, log_tails=tails)


@pytest.fixture
def unique() -> str:
    """An execution's id that no other test uses."""
    return f"t{secrets.token_hex(9)}"


@pytest.fixture
def write_record() -> Callable[..., None]:
    """Writes an execution's record as a run in this process does."""

    def write(execution: str, **values: object) -> None:
        folder = holder.gather().settings.state_path / "executions"
        folder.mkdir(parents=True, exist_ok=True)
        record = {
            "id": execution,
            "workflow": "flow.pipeline",
            "created": NOW.isoformat(),
            "pid": os.getpid(),
            "nodes": ["n0", "n1"],
            "ended": "",
            "error": "",
            **values,
        }
        (folder / f"{execution}.tmp").write_text(json.dumps(record))
        (folder / f"{execution}.tmp").replace(folder / f"{execution}.json")

    return write


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LocalSageMaker]:
    """An embedded SageMaker that the test may close."""
    from cdao_sdk.local.server import LocalSageMaker

    with LocalSageMaker(tmp_path / "own") as server:
        yield server


@pytest.fixture
def write_jobs(embedded: LocalSageMaker) -> Iterator[Callable[..., list[str]]]:
    """Writes training jobs down as a server of its own would, which goes on while the test does.

    `jobs`: for each its end ("Completed", "Failed", None for one that runs) by its node.
    """
    from cdao_sdk.kinds.naming import job_name
    from cdao_sdk.local.job_kinds import JOB_KINDS
    from cdao_sdk.local.jobs import Outcome
    from cdao_sdk.local.ownership import Ownership
    from cdao_sdk.local.records import Record, Records
    from cdao_sdk.local.service_model import sagemaker_model
    from cdao_sdk.local.transitions import created, ended

    root = embedded.state_dir / "sagemaker"
    ownership = Ownership(root / "servers")
    records, training = Records(root, ownership), JOB_KINDS[0]
    members = sagemaker_model().output_members("DescribeTrainingJob")

    def write(execution: str, jobs: dict[str, str | None], seconds: float = 60.0) -> list[str]:
        names: list[str] = []
        for number, (node, end) in enumerate(jobs.items()):
            name = job_name(execution, f"{node}-fit_model", 0)
            names.append(name)
            request = {
                "TrainingJobName": name,
                "RoleArn": "arn:aws:iam::123456789012:role/SageMakerExecutionRole",
                "AlgorithmSpecification": {"TrainingImage": "x", "TrainingInputMode": "File"},
                "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
                "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
                "HyperParameters": {"depth": str(number)},
            }
            now = time.time() - 3600 + number
            told = created(training, request, members=members, region="us-east-1", now=now)
            if end is not None:
                told = {**told, "TrainingStartTime": now, "SecondaryStatusTransitions": []}
                reason = "AlgorithmError: [cdao:USER] ValueError: no column"
                why = reason if end == "Failed" else ""
                outcome = Outcome(status=end, failure_reason=why)  # type: ignore[arg-type] # a literal
                told = ended(training, told, outcome, now + seconds)
            record = Record(
                name=name,
                region="us-east-1",
                owner=ownership.server_id,
                request=request,
                describe=told,
            )
            records.create(training, record)
        return names

    yield write
    ownership.close()


@pytest.fixture
def make_row(now: datetime) -> Callable[..., JobRow]:
    """Makes a row of node ``node``; keyword arguments are its other fields."""

    def make(node: str, label: str, *, age: float = 62.0, **fields: object) -> JobRow:
        values: dict[str, object] = {
            "name": f"{EXECUTION}-{node}-dtyxehan-{fields.get('attempt', 0)}",
            "label": label,
            "node": node,
            "execution": EXECUTION,
            "kind": "processing",
            "kind_title": "Processing",
            "state": "running",
            "status": "InProgress",
            "secondary_status": "",
            "message": "",
            "created": now - timedelta(seconds=age),
            "ended": None,
            "elapsed_seconds": age,
            "instance_type": "ml.m5.xlarge",
            "instance_count": 1,
            "spot": False,
            "savings_percent": None,
            "billable_seconds": None,
            **fields,
        }
        return JobRow(**values)  # type: ignore[arg-type] # by name

    return make


@pytest.fixture
def rich_snapshot(make_row: Callable[..., JobRow], now: datetime) -> Snapshot:
    """A pipeline half way, of which all is known that can be known."""
    series = [(now - timedelta(seconds=60 - i), 0.84 - 0.34 / (1 + i)) for i in range(40)]
    error = "AlgorithmError: ValueError: no column 'target'"
    rows = (
        make_row(
            "n0",
            "preprocess",
            age=200,
            state="succeeded",
            status="Completed",
            ended=now - timedelta(seconds=122),
            elapsed_seconds=78.0,
            metrics={"rows": 1000.0},
            cost_usd=0.0039,
            artifact=f"s3://cdao-local/cdao/ml/development/{EXECUTION}/n0/output",
        ),
        make_row(
            "n1",
            "train_model",
            age=742,
            kind="training",
            kind_title="Training",
            secondary_status="Training",
            instance_type="ml.g5.2xlarge",
            instance_count=2,
            spot=True,
            metrics={"logloss": 0.4917, "auc": series[-1][1]},
            metric_series={"auc": series},
            progress=0.42,
            expected_seconds=1500.0,
            cost_usd=0.505,
            log_tail=("[40] validation-auc:0.83718 validation-logloss:0.49170",),
            utilization={"CPUUtilization": 12.0, "GPUUtilization": 96.0},
            hint="The GPU is the bottleneck; the CPUs idle.",
        ),
        make_row(
            "n2",
            "tune",
            age=700,
            kind="training",
            kind_title="Training",
            state="succeeded",
            status="Completed",
            elapsed_seconds=300.0,
            spot=True,
            savings_percent=70.0,
            cost_usd=0.0115,
        ),
        make_row("n3", "score", kind="transform", kind_title="Batch transform", state="waiting"),
        make_row(
            "n4",
            "evaluate",
            state="failed",
            status="Failed",
            cost_usd=0.0019,
            error=error,
            log_tail=("Traceback (most recent call last):", "    target", "ValueError: no column"),
            diagnosis=Diagnosis(
                "data",
                "The column 'target' that the code reads is not in the data.",
                "Compare the columns of the input with those that evaluate reads.",
                retryable=False,
            ),
        ),
    )
    return Snapshot(f"execution {EXECUTION} of credit_scoring", rows, now, status="RUNNING")


@pytest.fixture
def map_snapshot(make_row: Callable[..., JobRow], now: datetime) -> Callable[..., Snapshot]:
    """A map of so many elements, every so many of them failed, between two other steps."""

    def make(count: int, *, failed_each: int = 0, group: str = "n1") -> Snapshot:
        def element(index: int) -> JobRow:
            fields: dict[str, object] = {"state": "waiting"}
            if failed_each and index % failed_each == 7:
                fields = {"state": "failed", "status": "Failed", "error": "ClientError: memory"}
            elif index < 0.64 * count:
                fields = {"state": "succeeded", "status": "Completed", "cost_usd": 0.0011}
            elif index < 0.652 * count:
                fields = {"cost_usd": 0.0002, "log_tail": (f"part {index}",)}
            return make_row(f"n1-{index}", f"square n1-{index}", group=group, **fields)

        rows = (
            make_row("n0", "list_parts", state="succeeded", status="Completed", age=300),
            *map(element, range(count)),
            make_row("n2", "reduce", state="waiting", age=1),
        )
        return Snapshot(f"execution {EXECUTION} of squares", rows, now, status="RUNNING")

    return make
