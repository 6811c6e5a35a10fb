"""CloudWatch's GetMetricData for what jobs use: CPU and memory of their processes.

All other metrics, and the other calls of CloudWatch, are moto's.
"""

from __future__ import annotations

import json
import os
import statistics
from collections import defaultdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import cbor2
from werkzeug.wrappers import Response

from cdao_sdk.catalog.instances import instance
from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.job_kinds import kind_of_log_group
from cdao_sdk.local.s3.call import new_request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from werkzeug.wrappers import Request

    from cdao_sdk.local.job_kinds import JobKind

__all__ = ["JobMetrics"]

_SERVICE = "GraniteServiceVersion20100801"
_CBOR_PATH = f"/service/{_SERVICE}/operation/GetMetricData"
_TARGET = f"{_SERVICE}.GetMetricData"
_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Average": statistics.fmean,
    "Maximum": max,
    "Minimum": min,
    "SampleCount": len,
    "Sum": sum,
}
_MOST_QUERIES = 500
_COLUMNS = {"CPUUtilization": 1, "MemoryUtilization": 2}


class JobMetrics:
    """Answers GetMetricData where it asks for metrics of jobs.

    Args:
        root: The folder of all jobs.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def answer(self, request: Request) -> Response | None:
        """The answer; None where the call, or a metric that it asks for, is none of ours.

        Raises:
            AwsError: The call is malformed.
        """
        is_cbor = request.path == _CBOR_PATH
        if not is_cbor and request.headers.get("X-Amz-Target") != _TARGET:
            return None
        body = _body(request, is_cbor=is_cbor)
        queries: list[dict[str, Any]] = body.get("MetricDataQueries", [])
        if not all(_is_of_jobs(query) for query in queries):
            return None
        if len(queries) > _MOST_QUERIES:
            msg = (
                f"The collection MetricDataQueries must not have more than {_MOST_QUERIES} members."
            )
            raise AwsError(code="ValidationError", message=msg)
        start, end = (_seconds(body.get(name)) for name in ("StartTime", "EndTime"))
        is_descending = body.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        results = [self._result(query, start, end, is_descending) for query in queries]
        document = {"MetricDataResults": results, "Messages": []}
        headers = {"x-amzn-RequestId": new_request_id()}
        if is_cbor:
            headers["smithy-protocol"] = "rpc-v2-cbor"
            data = cbor2.dumps(document, datetime_as_timestamp=True)
            return Response(data, headers=headers, content_type="application/cbor")
        text = json.dumps(document, default=_seconds)
        return Response(text, headers=headers, content_type="application/x-amz-json-1.0")

    def _result(
        self, query: Mapping[str, Any], start: float, end: float, is_descending: bool
    ) -> dict[str, object]:
        stat = query["MetricStat"]
        period = max(1, int(stat.get("Period", 60)))
        buckets: dict[int, list[float]] = defaultdict(list)
        for time, value in self._samples(stat["Metric"]):
            bucket = int(time // period * period)
            if start <= bucket < end:
                buckets[bucket].append(value)
        summed = _STATISTICS.get(stat.get("Stat", "Average"), statistics.fmean)
        times = sorted(buckets, reverse=is_descending)
        return {
            "Id": query.get("Id", ""),
            "Label": query.get("Label") or stat["Metric"]["MetricName"],
            "Timestamps": [datetime.fromtimestamp(time, timezone.utc) for time in times],
            "Values": [float(summed(buckets[time])) for time in times],
            "StatusCode": "Complete",
        }

    def _samples(self, metric: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
        """(seconds since 1970, value) of one host of a job."""
        kind = kind_of_log_group(metric["Namespace"])
        column = _COLUMNS.get(metric.get("MetricName", ""))
        named = {each["Name"]: each["Value"] for each in metric.get("Dimensions", [])}
        job, _, host = named.get("Host", "").partition("/")
        if kind is None or column is None or named.keys() != {"Host"}:
            return
        if not all(part.replace("-", "").isalnum() for part in (job, host)):
            return
        folder = self._root / kind.kind / job
        try:
            lines = (folder / "usage" / f"{host}.log").read_text(encoding="ascii").splitlines()
        except OSError:
            return
        share = 1.0 if column == 1 else 100 / _memory_bytes(folder, kind)
        for line in lines:
            parts = line.split(" ")
            if len(parts) == 3:
                yield int(parts[0]) / 1000, float(parts[column]) * share


def _is_of_jobs(query: Mapping[str, Any]) -> bool:
    metric = query.get("MetricStat", {}).get("Metric", {})
    return kind_of_log_group(metric.get("Namespace", "")) is not None


def _body(request: Request, *, is_cbor: bool) -> dict[str, Any]:
    data = request.get_data()
    try:
        body = cbor2.loads(data) if is_cbor else json.loads(data or b"{}")
    except (ValueError, cbor2.CBORDecodeError) as error:
        raise AwsError(code="SerializationException", message=str(error)) from error
    return body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _seconds(value: object) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, (int, float)) else 0.0


def _memory_bytes(folder: Path, kind: JobKind) -> float:
    """The memory of the instance that a job asked for; this machine's where that is unknown."""
    try:
        described: Any = json.loads((folder / "record.json").read_bytes())["describe"]
        for member in kind.resources:
            described = described[member]
        known = instance(described["InstanceType"])
    except (OSError, ValueError, KeyError, TypeError):
        known = None
    if known is not None and known.memory_gib:
        return known.memory_gib * (1 << 30)
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
