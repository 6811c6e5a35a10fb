"""What CloudWatch tells of the processes of jobs."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.local.server import LocalSageMaker

BUSY = (
    "import time; held = b'x' * (200 << 20); end = time.time() + 60;"
    " exec('while time.time() < end: pass')"
)


def _query(job: str, metric: str, stat: str = "Average") -> dict[str, Any]:
    return {
        "Id": metric.lower(),
        "MetricStat": {
            "Metric": {
                "Namespace": "/aws/sagemaker/ProcessingJobs",
                "MetricName": metric,
                "Dimensions": [{"Name": "Host", "Value": f"{job}/algo-1"}],
            },
            "Period": 1,
            "Stat": stat,
        },
    }


@pytest.fixture
def series(boto: Any) -> Callable[..., dict[str, list[float]]]:
    """Asks an unmodified boto3 client for metrics of the last minutes."""
    client = boto("cloudwatch")

    def ask(*queries: dict[str, Any]) -> dict[str, list[float]]:
        now = datetime.now(timezone.utc)
        answer = client.get_metric_data(
            MetricDataQueries=list(queries),
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=1),
            ScanBy="TimestampAscending",
        )
        return {result["Id"]: result["Values"] for result in answer["MetricDataResults"]}

    return ask


def test_a_busy_job_uses_a_cpu_and_its_memory(
    start_processing: Callable[..., str], series: Callable[..., dict[str, list[float]]]
) -> None:
    name = start_processing(f"usage-{time.time_ns()}", BUSY)
    deadline = time.monotonic() + 30
    found: dict[str, list[float]] = {}
    while not (found.get("memoryutilization") and max(found["cpuutilization"]) > 10):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
        found = series(_query(name, "CPUUtilization"), _query(name, "MemoryUtilization"))
    assert max(found["cpuutilization"]) < 150
    # ml.m5.large has 8 GiB, of which 200 MiB are 2.4 %.
    assert 2 < max(found["memoryutilization"]) < 5


def test_what_is_not_known_is_empty(series: Callable[..., dict[str, list[float]]]) -> None:
    found = series(_query("no-such-job", "CPUUtilization"), _query("x", "GPUUtilization"))
    assert found == {"cpuutilization": [], "gpuutilization": []}


def test_what_is_no_cbor_is_a_bad_request(embedded: LocalSageMaker) -> None:
    connection = HTTPConnection(embedded.url.removeprefix("http://"), timeout=10)
    path = "/service/GraniteServiceVersion20100801/operation/GetMetricData"
    for body in (b"\xc1\xfc", b"\xff", b"\x9f", b""):
        connection.request("POST", path, body)
        answer = connection.getresponse()
        assert (answer.status, b"SerializationException" in answer.read()) == (400, True)
    connection.close()
