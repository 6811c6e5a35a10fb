"""What survives: checkpoints while a job runs, and through reclaimed spot instances."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.local.executor import Executor
from cdao_sdk.local.job_kinds import JOB_KINDS
from cdao_sdk.local.jobs import Outcome
from cdao_sdk.local.transitions import created, ended, reported

from .conftest import BUCKET

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.local.jobs import JobRun

    from .conftest import Laboratory

CHECKPOINTS = {"S3Uri": f"s3://{BUCKET}/ck"}
# Counts to six in a checkpoint, step by step, and says where it began.
COUNT = """
import pathlib, time
path = pathlib.Path("/opt/ml/checkpoints/step")
step = int(path.read_text()) if path.exists() else 0
print("from", step, flush=True)
leftover = pathlib.Path("/opt/ml/model/leftover")
print("fresh", not leftover.exists(), flush=True)
leftover.touch()
while step < 6:
    step += 1
    path.write_text(str(step))
    time.sleep(0.15)
"""


class Running:
    """A job that runs in a thread of its own."""

    def __init__(self, lab: Laboratory, kind: str, request: dict[str, object]) -> None:
        self.lab = lab
        self.job: JobRun = lab.job(kind, request)
        self.stop = threading.Event()
        self._outcomes: list[Outcome] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        executor = Executor(self.lab.objects, self.lab.processes, sync_seconds=0.02)
        self._outcomes.append(
            executor.run(self.job, self.lab._report, self.stop, self.lab.log)  # type: ignore[arg-type]
        )
        executor.close()

    def when(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, self.lab.log.text()
            time.sleep(0.01)

    def has(self, key: str, body: bytes) -> Callable[[], bool]:
        return lambda: key in self.lab.keys() and self.lab.get(key) == body  # noqa: SIM118

    def outcome(self) -> Outcome:
        self._thread.join()
        return self._outcomes[0]


def training(code: str, **more: object) -> dict[str, object]:
    return {
        "AlgorithmSpecification": {"ContainerEntrypoint": ["python3", "-c", code]},
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "CheckpointConfig": CHECKPOINTS,
        **more,
    }


def test_checkpoints_are_in_s3_while_the_job_runs(lab: Laboratory) -> None:
    running = Running(
        lab, "training", training(COUNT.replace("step < 6", "step < 1") + "time.sleep(60)")
    )
    running.when(running.has("ck/step", b"1"))
    running.stop.set()
    assert running.outcome().status == "Stopped"


def test_a_reclaimed_job_goes_on_at_its_checkpoint(lab: Laboratory) -> None:
    running = Running(lab, "training", training(COUNT, EnableManagedSpotTraining=True))
    running.when(running.has("ck/step", b"3"))
    running.job.interrupt.set()
    assert running.outcome().status == "Completed"
    lines = lab.log.text().splitlines()
    assert [line for line in lines if line.startswith("fresh")] == ["fresh True"] * 2
    begun = [int(line.split()[1]) for line in lines if line.startswith("from")]
    assert begun[0] == 0
    assert begun[1] >= 3
    assert lab.get("ck/step") == b"6"
    again = ["Starting", "Downloading", "Training"]
    assert lab.reports == [*again, "Interrupted", *again, "Uploading"]
    assert lab.archive("out/job/output/model.tar.gz") == {"leftover": b""}


def test_what_is_saved_at_sigterm_is_there_again(lab: Laboratory) -> None:
    code = """
import pathlib, signal, sys, time
path = pathlib.Path("/opt/ml/checkpoints/saved")
def save(*_):
    path.write_text("late")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
if not path.exists():
    print("up", flush=True)
    time.sleep(60)
"""
    running = Running(lab, "training", training(code))
    running.when(lambda: "algo-1" in lab.log.streams and "up" in lab.log.text())
    running.job.interrupt.set()
    assert running.outcome().status == "Completed"
    assert lab.get("ck/saved") == b"late"


def test_a_reclaimed_job_can_be_stopped(lab: Laboratory) -> None:
    running = Running(
        lab, "training", training("print('up', flush=True); import time; time.sleep(60)")
    )
    running.when(lambda: "algo-1" in lab.log.streams and "up" in lab.log.text())
    running.stop.set()
    running.job.interrupt.set()
    assert running.outcome().status == "Stopped"
    assert "Interrupted" not in lab.reports


def test_interruptions_do_not_prolong_the_longest_wait(lab: Laboratory) -> None:
    limits = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 1}
    running = Running(
        lab, "training", training("import time; time.sleep(60)", StoppingCondition=limits)
    )
    outcome = running.outcome()
    assert (outcome.status, outcome.secondary_status) == ("Stopped", "MaxWaitTimeExceeded")


@pytest.mark.parametrize("mode", ["Continuous", "EndOfJob"])
def test_continuous_outputs_are_in_s3_while_the_job_runs(lab: Laboratory, mode: str) -> None:
    path = "/opt/ml/processing/out"
    output = {"S3Uri": f"s3://{BUCKET}/o", "LocalPath": path, "S3UploadMode": mode}
    code = f"open('{path}/a', 'w').write('x'); print('up', flush=True); import time; time.sleep(60)"
    running = Running(
        lab,
        "processing",
        {
            "AppSpecification": {"ImageUri": "any", "ContainerEntrypoint": ["python3", "-c", code]},
            "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1}},
            "ProcessingOutputConfig": {"Outputs": [{"OutputName": "o", "S3Output": output}]},
        },
    )
    if mode == "Continuous":
        running.when(running.has("o/a", b"x"))
    else:
        running.when(lambda: "algo-1" in lab.log.streams and "up" in lab.log.text())
    running.stop.set()
    assert running.outcome().status == "Stopped"
    assert lab.keys("o") == (["o/a"] if mode == "Continuous" else [])


def test_the_time_without_instances_is_not_training_time() -> None:
    kind = next(kind for kind in JOB_KINDS if kind.kind == "training")
    request = {"TrainingJobName": "job", "EnableManagedSpotTraining": True}
    members = ["TrainingJobName", "EnableManagedSpotTraining"]
    job = created(kind, request, members=members, region="eu-west-1", now=0)
    for now, phase in [
        *((10, "Downloading"), (20, "Training"), (50, "Interrupted"), (70, "Starting")),
        *((100, "Downloading"), (110, "Training")),
    ]:
        job = reported(kind, job, phase, "…", now)
    job = ended(kind, job, Outcome(status="Completed"), 160)
    assert job["TrainingTimeInSeconds"] == 100
    assert job["BillableTimeInSeconds"] == 30
