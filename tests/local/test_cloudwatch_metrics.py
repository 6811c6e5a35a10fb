"""What CloudWatch tells of the processes of jobs."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdao_sdk.local import cbor

if TYPE_CHECKING:
    from collections.abc import Callable

BUSY = (
    "import time; held = b'x' * (200 << 20); end = time.time() + 60;"
    " exec('while time.time() < end: pass')"
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
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


@given(value=VALUES)
def test_cbor_comes_back_as_it_went(value: object) -> None:
    assert cbor.decode(cbor.encode(value)) == value


@given(data=st.binary(max_size=40))
def test_any_bytes_are_a_value_or_an_error_of_ours(data: bytes) -> None:
    try:
        cbor.decode(data)
    except cbor.CborError:
        return


def test_cbor_of_unknown_length_and_times_are_read() -> None:
    # RFC 8949, appendix A.
    assert cbor.decode(bytes.fromhex("bf61610161629f0203ffff")) == {"a": 1, "b": [2, 3]}
    assert cbor.decode(bytes.fromhex("7f657374726561646d696e67ff")) == "streaming"
    assert cbor.decode(bytes.fromhex("c11a514b67b0")) == datetime(
        2013, 3, 21, 20, 4, tzinfo=timezone.utc
    )
