"""What stays on disk, and how several servers share one state directory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.local import LocalSageMaker
from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.job_index import JobIndex
from cdao_sdk.local.job_kinds import JOB_KINDS
from cdao_sdk.local.objects import ObjectStore
from cdao_sdk.local.ownership import Ownership
from cdao_sdk.local.records import Record, Records
from cdao_sdk.local.transitions import created

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cdao_sdk.local.job_kinds import JobKind

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


class CountingRecords(Records):
    """Tells which records were read."""

    def __init__(self, root: Path, ownership: Ownership) -> None:
        super().__init__(root, ownership)
        self.read: list[str] = []

    def get(self, kind: JobKind, name: str) -> Record | None:
        self.read.append(name)
        return super().get(kind, name)


@pytest.fixture
def indexes(tmp_path: Path) -> Iterator[Callable[[], tuple[JobIndex, CountingRecords]]]:
    """Makes indexes of one folder, each as the next server that starts."""
    ownership = Ownership(tmp_path / "servers")

    def make() -> tuple[JobIndex, CountingRecords]:
        records = CountingRecords(tmp_path, ownership)
        return JobIndex(TRAINING, records), records

    yield make
    ownership.close()


def write_job(records: Records, name: str, status: str = "Completed") -> None:
    request = {"TrainingJobName": name}
    members = ["TrainingJobName"]
    describe = created(TRAINING, request, members=members, region="us-east-1", now=1.0)
    record = Record(
        name=name,
        region="us-east-1",
        owner=records.server_id,
        request=request,
        describe={**describe, "TrainingJobStatus": status},
    )
    try:
        records.create(TRAINING, record)
    except AwsError:
        records.save(TRAINING, record)


def test_an_index_spares_the_next_server_the_records(indexes: Any, tmp_path: Path) -> None:
    index, records = indexes()
    for number in range(200):
        write_job(records, f"job-{number}")
    write_job(records, "live", "InProgress")
    told = {entry.name: entry for entry in index.entries()}
    index.write()
    write_job(records, "later")
    write_job(records, "job-1", "Failed")  # by a hand: no server changes a finished job
    shutil.rmtree(tmp_path / "training" / "job-2")

    index, records = indexes()
    again = {entry.name: entry for entry in index.entries()}
    assert sorted(records.read) == ["job-1", "later", "live"]
    assert again.keys() == told.keys() - {"job-2"} | {"later"}
    assert again["job-1"].status == "Failed"
    assert tuple(again["job-3"]) == tuple(told["job-3"])


def test_few_new_jobs_are_not_worth_a_new_index(indexes: Any, tmp_path: Path) -> None:
    index, records = indexes()
    write_job(records, "job")
    index.entries()
    index.write()
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"head": [0]}', '{"head": null, "jobs": [[1]]}'])
def test_an_index_that_is_broken_counts_as_none(
    indexes: Any, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    index, records = indexes()
    write_job(records, "job")
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "training.json").write_text(text)
    assert [entry.name for entry in index.entries()] == ["job"]


def test_a_server_leaves_its_index_at_the_end(
    state_dir: Path, client: Callable[..., Any], indexes: Any
) -> None:
    ownership = Ownership(state_dir / "sagemaker" / "servers")
    for number in range(150):
        write_job(Records(state_dir / "sagemaker", ownership), f"job-{number}")
    ownership.close()
    for _ in range(2):
        with LocalSageMaker(state_dir) as server:
            found = client("sagemaker", server.url).list_training_jobs(NameContains="job-99")
            assert len(found["TrainingJobSummaries"]) == 1
            assert found["TrainingJobSummaries"][0]["CreationTime"].timestamp() == 1.0
    assert (state_dir / "sagemaker" / "index" / "training.json").exists()


def test_bytes_of_a_killed_server_are_removed_at_the_next_start(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path / "s3")
    store.create_bucket("bucket")
    folder = tmp_path / "s3" / "bucket" / "incoming"
    held, fresh = store.incoming("bucket"), folder / "fresh"
    (folder / "left").write_bytes(b"half of")
    fresh.write_bytes(b"of a moment ago")
    for path in (folder / "left", held.path):
        os.utime(path, (1, 1))
    with LocalSageMaker(tmp_path):
        deadline = time.monotonic() + 10
        while (folder / "left").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert sorted(folder.iterdir()) == sorted([held.path, fresh])
        held.discard()
