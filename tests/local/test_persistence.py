"""What stays on disk, and how several servers share one state directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.local import LocalSageMaker
from cdao_sdk.local.job_index import JobIndex
from cdao_sdk.local.job_kinds import JOB_KINDS
from cdao_sdk.local.ownership import Ownership
from cdao_sdk.local.records import Record, Records
from cdao_sdk.local.transitions import created

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Make = Callable[..., dict[str, Any]]
    Ended = Callable[..., dict[str, Any]]

TRAINING = JOB_KINDS[0]
SLEEP = "import time; time.sleep(600)"


@pytest.fixture
def second(server: LocalSageMaker, state_dir: Path) -> Iterator[LocalSageMaker]:
    """Another server on the same state directory."""
    with LocalSageMaker(state_dir) as running:
        yield running


@pytest.fixture
def other_process(server: LocalSageMaker, state_dir: Path, tmp_path: Path) -> Iterator[Any]:
    """A server process on the same state directory: (process, url)."""
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "cdao_sdk.local", "--state-dir", str(state_dir)]
    with subprocess.Popen(
        [*command, "--ready-file", str(ready)], stderr=subprocess.DEVNULL
    ) as process:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.01)
        yield process, json.loads(ready.read_text())["url"]
        process.kill()


def test_jobs_objects_and_logs_outlive_the_server(
    state_dir: Path, client: Callable[..., Any], processing: Make, ended: Ended
) -> None:
    with LocalSageMaker(state_dir) as server:
        server.objects.create_bucket("test-bucket")
        client("s3", server.url).put_object(Bucket="test-bucket", Key="k", Body=b"body")
        before = client("sagemaker", server.url)
        before.create_processing_job(**processing("job", "print('remembered')"))
        described = ended(before, "job", kind="processing")
    with LocalSageMaker(state_dir) as server:
        after = client("sagemaker", server.url).describe_processing_job(ProcessingJobName="job")
        del after["ResponseMetadata"], described["ResponseMetadata"]
        assert after == described
        got = client("s3", server.url).get_object(Bucket="test-bucket", Key="k")
        assert got["Body"].read() == b"body"
        events = client("logs", server.url).filter_log_events(
            logGroupName="/aws/sagemaker/ProcessingJobs"
        )["events"]
        assert "remembered" in [event["message"] for event in events]


def test_two_servers_see_each_other(
    server: LocalSageMaker,
    second: LocalSageMaker,
    client: Callable[..., Any],
    training: Make,
    ended: Ended,
) -> None:
    one, two = client("sagemaker", server.url), client("sagemaker", second.url)
    assert two.list_training_jobs()["TrainingJobSummaries"] == []
    one.create_training_job(**training("job", SLEEP))
    listed = two.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]
    assert [job["TrainingJobName"] for job in listed] == ["job"]
    with pytest.raises(two.exceptions.ResourceInUse):
        two.create_training_job(**training("job"))

    two.stop_training_job(TrainingJobName="job")
    assert two.describe_training_job(TrainingJobName="job")["TrainingJobStatus"] == "Stopping"
    begin = time.monotonic()
    assert ended(two, "job")["TrainingJobStatus"] == "Stopped"
    assert time.monotonic() - begin < 5
    stopped = two.list_training_jobs(StatusEquals="Stopped")["TrainingJobSummaries"]
    assert [job["TrainingJobName"] for job in stopped] == ["job"]

    client("s3", server.url).put_object(Bucket="test-bucket", Key="k", Body=b"shared")
    got = client("s3", second.url).get_object(Bucket="test-bucket", Key="k")
    assert got["Body"].read() == b"shared"


def test_a_killed_server_leaves_a_failed_job(
    server: LocalSageMaker,
    other_process: Any,
    client: Callable[..., Any],
    training: Make,
    ended: Ended,
) -> None:
    process, url = other_process
    theirs, ours = client("sagemaker", url), client("sagemaker", server.url)
    theirs.create_training_job(**training("job", SLEEP))
    ended(ours, "job", until=("Training",))
    assert len(ours.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]) == 1

    process.send_signal(signal.SIGKILL)
    process.wait()

    listed = ours.list_training_jobs(StatusEquals="Failed")["TrainingJobSummaries"]
    assert [job["TrainingJobName"] for job in listed] == ["job"]
    job = ours.describe_training_job(TrainingJobName="job")
    assert job["FailureReason"].startswith("InternalServerError: the local SageMaker that ran")
    assert job["SecondaryStatus"] == "Failed"


def test_no_process_of_a_job_outlives_a_close(
    state_dir: Path, client: Callable[..., Any], training: Make, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    code = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); {SLEEP}"
    with LocalSageMaker(state_dir) as server:
        server.objects.create_bucket("test-bucket")
        client("sagemaker", server.url).create_training_job(**training("job", code))
        while not pid_file.exists() or not pid_file.read_text():
            time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
    record = json.loads((state_dir / "sagemaker/training/job/record.json").read_text())
    assert record["describe"]["TrainingJobStatus"] == "Stopped"


def test_no_draft_of_a_record_stays(
    sagemaker: Any, training: Make, ended: Ended, state_dir: Path
) -> None:
    sagemaker.create_training_job(**training("job"))
    ended(sagemaker, "job")
    kind = state_dir / "sagemaker" / "training"
    assert [path.name for path in kind.iterdir()] == ["job"]
    assert [path.name for path in (kind / "job").iterdir() if path.name.startswith(".")] == []


def test_ten_thousand_records_list_fast(tmp_path: Path) -> None:
    ownership = Ownership(tmp_path / "servers")
    records = Records(tmp_path, ownership)
    for number in range(10_000):
        request = {"TrainingJobName": f"job-{number}"}
        describe = created(
            TRAINING, request, members=["TrainingJobName"], region="us-east-1", now=number
        )
        folder = tmp_path / "training" / f"job-{number}"
        folder.mkdir(parents=True)
        ended = {**describe, "TrainingJobStatus": "Completed"}
        record = Record(
            name=folder.name, region="us-east-1", owner="gone", request=request, describe=ended
        )
        (folder / "record.json").write_text(json.dumps(vars(record)))
    index = JobIndex(TRAINING, records)
    assert len(index.entries()) == 10_000  # at the start of a server, in the background

    (tmp_path / "training" / "job-0" / "record.json").touch()
    begin = time.perf_counter()
    for _ in range(5):
        index.entries()
    ownership.close()
    assert (time.perf_counter() - begin) / 5 < 0.2
