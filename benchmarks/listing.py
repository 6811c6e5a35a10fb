"""Lists of the embedded SageMaker over a state directory with ten thousand jobs."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from datetime import datetime, timezone
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3

from benchmarks.measure import PYTHON, Row, milliseconds
from cdao_sdk.local import LocalSageMaker
from cdao_sdk.local.job_kinds import JOB_KINDS
from cdao_sdk.local.jobs import Outcome
from cdao_sdk.local.ownership import Ownership
from cdao_sdk.local.records import Record, Records
from cdao_sdk.local.service_model import sagemaker_model
from cdao_sdk.local.transitions import created, ended

JOBS = 10_000
PAGE = 100
ROUNDS = 5
TRAINING = JOB_KINDS[0]
FIRST_CREATED = 1_760_000_000.0
_MIDDLE = datetime.fromtimestamp(FIRST_CREATED + JOBS / 2, timezone.utc)
QUERIES: dict[str, dict[str, object]] = {
    "StatusEquals": {"StatusEquals": "Completed"},
    "a status that none has": {"StatusEquals": "Failed"},
    "NameContains": {"NameContains": "-9999-"},
    "CreationTimeAfter": {"CreationTimeAfter": _MIDDLE},
    "LastModifiedTimeBefore": {"LastModifiedTimeBefore": _MIDDLE},
    "SortBy Name": {"SortBy": "Name", "SortOrder": "Ascending"},
    "SortBy Status": {"SortBy": "Status"},
    "several": {
        "StatusEquals": "Completed",
        "NameContains": "train",
        "CreationTimeAfter": _MIDDLE,
        "SortBy": "Name",
    },
}


def rows() -> list[Row]:
    """First pages after a start, and pages of a server that has run for a while."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        _fill(state)
        cold = _first_page(state)
        firsts = [_first_page(state) for _ in range(ROUNDS)]
        with LocalSageMaker(state) as server:
            client = _client(server)
            pages = _pages(client)
            asked = {name: _pages(client, **query) for name, query in QUERIES.items()}
        keys, listed = _keys(state / "keys")
    name, times = max(asked.items(), key=lambda one: statistics.median(one[1]))
    reach = "≤ 200 ms a page"
    return [
        Row(
            f"a page of {PAGE} of {JOBS:,} jobs, the first one after a start",
            milliseconds(statistics.median(firsts)),
            f"without the index of an earlier server: {milliseconds(cold)}",
            reach=reach,
        ),
        Row(
            f"a page of {PAGE} of {JOBS:,} jobs, each of all {len(pages)}",
            milliseconds(statistics.median(pages)),
            f"the slowest: {milliseconds(max(pages))}",
            reach=reach,
        ),
        Row(
            f"a page of {PAGE} of {JOBS:,} jobs, the slowest of {len(QUERIES)} filters and orders",
            milliseconds(statistics.median(times)),
            f"{name}; its slowest page: {milliseconds(max(times))}",
            reach=reach,
        ),
        Row(f"all pages of {keys:,} S3 objects", milliseconds(listed), reach="≤ 2,000 ms"),
    ]


def _fill(state: Path) -> None:
    """Write down finished jobs, as a server does at the end of each."""
    root = state / "sagemaker"
    ownership = Ownership(root / "servers")
    records = Records(root, ownership)
    members = sagemaker_model().output_members("DescribeTrainingJob")
    for number in range(JOBS):
        name = f"execution-{number // 10}-n{number % 10}-{number}-train"
        request: dict[str, Any] = {
            "TrainingJobName": name,
            "RoleArn": "arn:aws:iam::123456789012:role/SageMakerExecutionRole",
            "AlgorithmSpecification": {"TrainingImage": "local", "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
            "HyperParameters": {f"parameter_{index}": str(index) for index in range(20)},
        }
        now = FIRST_CREATED + number
        describe = created(TRAINING, request, members=members, region="us-east-1", now=now)
        describe = ended(TRAINING, describe, Outcome(status="Completed"), now + 1)
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
    ownership.close()


def _client(server: LocalSageMaker) -> Any:
    session = boto3.Session("local", "local", region_name="us-east-1")
    client = session.client("sagemaker", endpoint_url=server.url)
    client.list_models()  # opens the connection
    return client


def _first_page(state: Path) -> float:
    """Asked at once: a client of boto3's takes longer to be made than the server to be ready."""
    ready = state / "ready.json"
    ready.unlink(missing_ok=True)
    command = [PYTHON, "-m", "cdao_sdk.local", "--state-dir", str(state)]
    with subprocess.Popen(
        [*command, "--ready-file", str(ready)], stderr=subprocess.DEVNULL
    ) as process:
        while not ready.exists():
            time.sleep(0.005)
        begin = time.perf_counter()
        connection = HTTPConnection(json.loads(ready.read_bytes())["url"].removeprefix("http://"))
        headers = {"X-Amz-Target": "SageMaker.ListTrainingJobs"}
        connection.request("POST", "/", json.dumps({"MaxResults": PAGE}), headers)
        shown = json.loads(connection.getresponse().read())["TrainingJobSummaries"]
        taken = time.perf_counter() - begin
        connection.close()
        process.terminate()
    if len(shown) != PAGE:
        msg = f"the first page has {len(shown)} jobs"
        raise RuntimeError(msg)
    return taken


def _pages(client: Any, **query: object) -> list[float]:
    times: list[float] = []
    token: dict[str, str] = {}
    while True:
        begin = time.perf_counter()
        answer = client.list_training_jobs(MaxResults=PAGE, **query, **token)
        times.append(time.perf_counter() - begin)
        if "NextToken" not in answer:
            return times
        token = {"NextToken": answer["NextToken"]}


def _keys(state: Path) -> tuple[int, float]:
    """So many objects in one folder, and the seconds to list them all."""
    with LocalSageMaker(state) as server:
        server.objects.create_bucket("bucket")
        for number in range(JOBS):
            server.objects.put_bytes("bucket", f"data/part-{number:05}.csv", b"x")
        session = boto3.Session("local", "local", region_name="us-east-1")
        s3 = session.client("s3", endpoint_url=server.url)
        s3.list_buckets()  # opens the connection
        begin = time.perf_counter()
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix="data/")
        count = sum(page["KeyCount"] for page in pages)
        return count, time.perf_counter() - begin
