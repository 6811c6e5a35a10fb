"""How many jobs run at once, in which order, and what a broken executor does to them."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.job_kinds import JOB_KINDS
from cdao_sdk.local.jobs import JobRun, LogSink, Outcome
from cdao_sdk.local.lifecycle import Lifecycle
from cdao_sdk.local.ownership import Ownership
from cdao_sdk.local.records import Records
from cdao_sdk.local.transitions import created

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdao_sdk.local.records import Record

TRAINING = JOB_KINDS[0]


class GatedExecutor:
    """Runs each job until its gate is opened or it is stopped."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun: list[str] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()

    def run(
        self,
        job: JobRun,
        report: Callable[[str, str], None],
        stop: threading.Event,
        log: LogSink,  # noqa: ARG002
    ) -> Outcome:
        with self._lock:
            self.begun.append(job.name)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        report("Downloading", "Downloading")
        report("Training", "Training")
        if job.name == "broken":
            msg = "the executor itself is broken"
            raise RuntimeError(msg)
        while not self.gate.wait(0.005) and not stop.is_set():
            pass
        with self._lock:
            self._now -= 1
        return Outcome(status="Stopped" if stop.is_set() else "Completed")


@pytest.fixture
def executor() -> GatedExecutor:
    return GatedExecutor()


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    ownership = Ownership(tmp_path / "servers")
    yield Records(tmp_path, ownership)
    ownership.close()


@pytest.fixture
def lifecycle(records: Records, executor: GatedExecutor) -> Iterator[Lifecycle]:
    running = Lifecycle(records, executor, concurrency=2, endpoint_url="http://127.0.0.1:1")
    yield running
    running.close()
    assert running.wait(timeout_seconds=5)


def _submit(lifecycle: Lifecycle, name: str) -> None:
    request = {"TrainingJobName": name}
    describe = created(
        TRAINING, request, members=["TrainingJobName"], region="us-east-1", now=time.time()
    )
    lifecycle.submit(TRAINING, request, describe=describe, region="us-east-1")


def _until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _describe(records: Records, name: str) -> Any:
    record = records.get(TRAINING, name)
    assert record
    return record.describe


def test_jobs_beyond_the_concurrency_wait_their_turn(
    lifecycle: Lifecycle, executor: GatedExecutor, records: Records
) -> None:
    names = [f"job-{number}" for number in range(6)]
    for name in names:
        _submit(lifecycle, name)
    _until(lambda: len(executor.begun) == 2)
    assert _describe(records, "job-5")["SecondaryStatus"] == "Starting"

    executor.gate.set()
    _until(lambda: _describe(records, "job-5")["TrainingJobStatus"] == "Completed")
    assert executor.begun[:2] in (names[:2], names[1::-1])
    assert sorted(executor.begun) == names
    assert executor.most_at_once == 2


def test_a_waiting_job_is_stopped_without_being_begun(
    lifecycle: Lifecycle, executor: GatedExecutor, records: Records
) -> None:
    for name in ("one", "two", "waiting"):
        _submit(lifecycle, name)
    assert lifecycle.stop(TRAINING, "waiting")
    described = _describe(records, "waiting")
    assert described["TrainingJobStatus"] == "Stopped"
    assert described["TrainingTimeInSeconds"] == 0
    executor.gate.set()
    assert lifecycle.wait(timeout_seconds=5)
    assert "waiting" not in executor.begun


def test_an_exception_of_ours_fails_the_job_and_spares_the_worker(
    lifecycle: Lifecycle,
    executor: GatedExecutor,
    records: Records,
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor.gate.set()
    _submit(lifecycle, "broken")
    _until(lambda: _describe(records, "broken")["TrainingJobStatus"] == "Failed")
    reason = _describe(records, "broken")["FailureReason"]
    assert reason == "InternalServerError: RuntimeError: the executor itself is broken"
    assert "Traceback" in caplog.text
    for number in range(4):
        _submit(lifecycle, f"after-{number}")
    _until(lambda: _describe(records, "after-3")["TrainingJobStatus"] == "Completed")


@pytest.mark.parametrize("is_stopped", [False, True])
def test_an_end_that_a_full_disk_refuses_is_recorded_once_there_is_room(
    lifecycle: Lifecycle,
    executor: GatedExecutor,
    records: Records,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    is_stopped: bool,
) -> None:
    _submit(lifecycle, "job")
    _until(lambda: executor.begun)
    save = Records.save
    refused: list[str] = []

    def full(_self: Records, _kind: object, record: Record) -> None:
        refused.append(record.describe["TrainingJobStatus"])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Records, "save", full)
    if is_stopped:
        assert lifecycle.stop(TRAINING, "job")
    executor.gate.set()
    end = "Stopped" if is_stopped else "Completed"
    _until(lambda: refused.count(end) > 1)
    assert _describe(records, "job")["TrainingJobStatus"] == "InProgress"
    monkeypatch.setattr(Records, "save", save)
    assert lifecycle.wait(timeout_seconds=5)
    assert _describe(records, "job")["TrainingJobStatus"] == end
    assert caplog.text.count("a job could not be recorded") == 1


def test_a_disk_without_room_is_not_taken_for_a_name_in_use(
    lifecycle: Lifecycle, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", full)
        with pytest.raises(OSError, match="No space left"):
            _submit(lifecycle, "job")
    assert list((records.root / TRAINING.kind).iterdir()) == []
    _submit(lifecycle, "job")
    with pytest.raises(AwsError, match="ResourceInUse"):
        _submit(lifecycle, "job")


def test_a_job_whose_folder_is_deleted_ends_all_the_same(
    lifecycle: Lifecycle, executor: GatedExecutor, records: Records
) -> None:
    _submit(lifecycle, "job")
    _until(lambda: executor.begun)
    shutil.rmtree(records.directory(TRAINING, "job"))
    executor.gate.set()
    assert lifecycle.wait(timeout_seconds=5)
    assert records.get(TRAINING, "job") is None


def test_a_close_stops_all_and_takes_no_more(
    lifecycle: Lifecycle, records: Records, executor: GatedExecutor
) -> None:
    for name in ("running", "also", "waiting"):
        _submit(lifecycle, name)
    lifecycle.close()
    assert lifecycle.wait(timeout_seconds=5)
    for name in ("running", "also", "waiting"):
        assert _describe(records, name)["TrainingJobStatus"] == "Stopped"
    with pytest.raises(AwsError, match="ServiceUnavailable"):
        _submit(lifecycle, "late")
