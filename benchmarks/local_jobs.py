"""The embedded SageMaker: its start, one job's latency, many jobs' rate."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3

from benchmarks.measure import PYTHON, Row, milliseconds
from cdao_sdk.local.server import LocalSageMaker

LATENCY_JOBS = 30
RATE_JOBS = 200
_START = """
import sys, time
begin = float(sys.argv[1])
from cdao_sdk.local.server import LocalSageMaker
from urllib.request import urlopen
with LocalSageMaker(sys.argv[2]) as server:
    urlopen(server.url)  # an anonymous ListBuckets
    print(time.time() - begin)
"""


def rows() -> list[Row]:
    """Trivial jobs, `python3 -c pass`, over HTTP by boto3."""
    with tempfile.TemporaryDirectory() as folder:
        starts = sorted(_start(f"{folder}/start") for _ in range(5))
        with LocalSageMaker(f"{folder}/state", concurrency=2) as server:
            client = boto3.client(
                "sagemaker",
                endpoint_url=server.url,
                region_name="us-east-1",
                aws_access_key_id="local",
                aws_secret_access_key="local",
            )
            server.objects.create_bucket("bench")
            _run_one(client, "warm-up")
            latencies = [_run_one(client, f"latency-{index}") for index in range(LATENCY_JOBS)]
            rate = _rate(client)
    return [
        Row(
            "embedded SageMaker answers after its process began",
            milliseconds(statistics.median(starts)),
            reach="≤ 2,000 ms",
        ),
        Row(
            f"trivial job, create → Completed, median of {LATENCY_JOBS}",
            milliseconds(statistics.median(latencies)),
            f"slowest: {milliseconds(max(latencies))}",
            reach="≤ 150 ms",
        ),
        Row(
            f"trivial jobs, two at a time, {RATE_JOBS} in all",
            f"{rate:.0f} a second",
            reach="≥ 50 a second",
        ),
    ]


def _start(state: str) -> float:
    answer = subprocess.run(
        [PYTHON, "-c", _START, str(time.time()), state], check=True, capture_output=True, text=True
    )
    return float(answer.stdout)


def _create(client: Any, name: str) -> None:
    client.create_training_job(
        TrainingJobName=name,
        RoleArn="arn:aws:iam::123456789012:role/bench",
        AlgorithmSpecification={
            "TrainingImage": "bench:1",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "-c", "pass"],
        },
        OutputDataConfig={"S3OutputPath": "s3://bench/out"},
        ResourceConfig={
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 1,
        },
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )


def _run_one(client: Any, name: str) -> float:
    begin = time.perf_counter()
    _create(client, name)
    while True:
        status = client.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
        if status != "InProgress":
            break
        time.sleep(0.002)
    taken = time.perf_counter() - begin
    if status != "Completed":
        msg = f"{name} is {status}"
        raise RuntimeError(msg)
    return taken


def _rate(client: Any) -> float:
    begin = time.perf_counter()
    for index in range(RATE_JOBS):
        _create(client, f"rate-{index}")
    unfinished = {"NameContains": "rate-", "StatusEquals": "InProgress", "MaxResults": 1}
    while client.list_training_jobs(**unfinished)["TrainingJobSummaries"]:
        time.sleep(0.05)
    taken = time.perf_counter() - begin
    pages = client.get_paginator("list_training_jobs").paginate(
        NameContains="rate-", StatusEquals="Completed", PaginationConfig={"PageSize": 100}
    )
    completed = sum(len(page["TrainingJobSummaries"]) for page in pages)
    if completed != RATE_JOBS:
        msg = f"{completed} of {RATE_JOBS} jobs completed"
        raise RuntimeError(msg)
    return RATE_JOBS / taken


if __name__ == "__main__":
    print(rows(), Path(__file__).name)
