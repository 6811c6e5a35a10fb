"""A bucket, a supervisor and a way to run one job of any kind to its end."""

from __future__ import annotations

import io
import tarfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.local.executor import Executor
from cdao_sdk.local.jobs import JobRun
from cdao_sdk.local.objects import ObjectStore
from cdao_sdk.local.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdao_sdk.local.jobs import Outcome

BUCKET = "bucket"


class MemoryLog:
    """A LogSink that keeps what it gets."""

    def __init__(self) -> None:
        self.streams: dict[str, io.BytesIO] = {}

    def open(self, host: str) -> MemoryStream:
        return MemoryStream(self.streams.setdefault(host, io.BytesIO()))

    def text(self, host: str = "algo-1") -> str:
        return self.streams[host].getvalue().decode()


class MemoryStream:
    def __init__(self, buffer: io.BytesIO) -> None:
        self.buffer = buffer

    def write(self, chunk: bytes) -> None:
        self.buffer.write(chunk)

    def close(self) -> None:
        """Nothing to do: the bytes are to be looked at."""


@dataclass
class Laboratory:
    """Runs jobs and shows what they made of S3."""

    objects: ObjectStore
    processes: Processes
    directory: Path
    log: MemoryLog = field(default_factory=MemoryLog)
    reports: list[str] = field(default_factory=list)

    def put(self, key: str, body: bytes | str) -> str:
        data = body.encode() if isinstance(body, str) else body
        self.objects.put_bytes(BUCKET, key, data)
        return f"s3://{BUCKET}/{key}"

    def get(self, key: str) -> bytes:
        _, file = self.objects.get(BUCKET, key)
        with file:
            return file.read()

    def keys(self, prefix: str = "") -> list[str]:
        return self.objects.keys(BUCKET, prefix)

    def archive(self, key: str) -> dict[str, bytes]:
        """The files of a tar.gz in the bucket."""
        with tarfile.open(fileobj=io.BytesIO(self.get(key)), mode="r:gz") as tar:
            members = [(member.name, tar.extractfile(member)) for member in tar]
            return {name: file.read() for name, file in members if file}

    def put_archive(self, key: str, files: Mapping[str, str | bytes]) -> str:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            for name, body in files.items():
                data = body.encode() if isinstance(body, str) else body
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return self.put(key, stream.getvalue())

    def job(self, kind: str, request: Mapping[str, object], name: str = "job") -> JobRun:
        directory = self.directory / kind / name
        directory.mkdir(parents=True, exist_ok=True)
        return JobRun(
            kind=kind,  # type: ignore[arg-type]
            name=name,
            request=request,
            directory=directory,
            endpoint_url="http://127.0.0.1:4566",
            region="eu-west-1",
        )

    def run(
        self,
        kind: str,
        request: Mapping[str, object],
        *,
        name: str = "job",
        stop: threading.Event | None = None,
    ) -> Outcome:
        job = self.job(kind, request, name)
        executor = Executor(self.objects, self.processes)
        outcome = executor.run(job, self._report, stop or threading.Event(), self.log)
        executor.close()
        assert not (job.directory / "work").exists()
        return outcome

    def train(self, code: str | list[str], **request: object) -> Outcome:
        """Run Python code (or a command) as a training job."""
        command = code if isinstance(code, list) else ["python3", "-c", code]
        resources = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        defaults: dict[str, object] = {
            "TrainingJobName": "job",
            "AlgorithmSpecification": {"TrainingInputMode": "File", "ContainerEntrypoint": command},
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
            "ResourceConfig": resources,
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        }
        return self.run("training", defaults | request)

    def _report(self, status: str, message: str) -> None:
        assert message
        self.reports.append(status)


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(tmp_path / "s3")
    store.create_bucket(BUCKET)
    return store


@pytest.fixture
def processes() -> Iterator[Processes]:
    processes = Processes(grace_seconds=0.5)
    yield processes
    processes.close()


@pytest.fixture
def lab(objects: ObjectStore, processes: Processes, tmp_path: Path) -> Laboratory:
    return Laboratory(objects, processes, tmp_path / "sagemaker")
