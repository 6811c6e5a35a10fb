"""What open jobs cost one connector: API calls and memory, with each job asked for every 30 s.

A real service and real GetTask calls, for some minutes; AWS is a server that pages as SageMaker
does (`open_account`), reached as AWS is, so that intervals and request rates are those for AWS.
Jobs move, but none ends: an end costs a Describe of its own, once, whoever looks.
"""

from __future__ import annotations

import base64
import json
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from benchmarks.connector import ask
from benchmarks.connector_calls import Plan, Report
from benchmarks.connector_servers import Server, aws_account, our_connector
from benchmarks.measure import Row
from benchmarks.open_account import job_names

MINUTES = 4
EVERY_SECONDS = 30
_IN_FLIGHT = 64


def rows() -> list[Row]:
    """One thousand, and ten thousand."""
    return [row for jobs in (1_000, 10_000) for row in _rows(jobs)]


def _rows(jobs: int) -> list[Row]:
    metas = [_meta(name) for name in job_names(jobs)]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        aws = stack.enter_context(aws_account(Path(folder), jobs))
        ours = stack.enter_context(our_connector(Path(folder), aws.address, is_aws=True))
        idle_mb = ours.memory_mb
        _ask(ours, metas, 1)  # Propeller learns of its jobs, and the connector does
        first, first_cpu, begin = _calls(aws), ours.cpu_seconds, time.monotonic()
        report = _ask(ours, metas, MINUTES * 60 // EVERY_SECONDS)
        seconds = time.monotonic() - begin
        spent = {name: count - first.get(name, 0) for name, count in _calls(aws).items()}
        share = (ours.cpu_seconds - first_cpu) / seconds
        print(jobs, report.phases, f"slowest {report.slowest_ms:.0f} ms", first, spent, seconds)
        memory_mb = ours.memory_mb
    sagemaker = sum(count for name, count in spent.items() if name != "PutObject")
    rounds = MINUTES * 60 // EVERY_SECONDS
    return [
        Row(
            f"connector: API calls a round of looks at {jobs:,} open jobs",
            f"{sagemaker / rounds:.1f}",
            f"a Describe each: {jobs:,}; the first round: {sum(first.values()):,}",
            f"1/{jobs * rounds / max(sagemaker, 1):.0f}",
            "≤ 1/20",
        ),
        Row(
            f"connector: resident memory with {jobs:,} open jobs",
            f"{memory_mb:.0f} MB",
            f"without any: {idle_mb:.0f} MB",
            f"{share:.0%} of a core; GetTask: median {report.median_ms:.0f} ms",
            "≤ 300 MB",
        ),
    ]


def _ask(server: Server, metas: list[str], rounds: int) -> Report:
    return ask(
        Plan(
            server.address,
            "get",
            metas,
            "sagemaker_training",
            in_flight=_IN_FLIGHT,
            calls=len(metas) * rounds,
            seconds=EVERY_SECONDS * rounds,
        )
    )


def _calls(aws: Server) -> dict[str, int]:
    with urllib.request.urlopen(f"{aws.address}/calls") as answer:
        return json.load(answer)


def _meta(name: str) -> str:
    import flytekit  # noqa: F401 # it brings our modules, in an order that they bear

    from cdao_sdk.flyte.job_meta import JobMeta

    meta = JobMeta(
        kind="training",
        job_names=(name,),
        request_uri=f"s3://cdao-bench/cdao/bench/development/{name}/request-0123456789abcdef.pb",
        request_digest="0123456789abcdef" * 4,
        created=round(time.time() - 3600, 3),
        project="bench",
        domain="development",
        execution=name[:15],
        node="n0",
        runs_body=True,
        output_prefix=f"s3://cdao-bench/metadata/{name}/n0/data/0",
        has_deck=True,
        instance_types=("ml.m5.xlarge",),
    )
    return base64.b64encode(meta.encode()).decode()
