"""Series of CloudWatch's metrics, many in one call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, cast

from cdao_sdk.aws.calls import call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk.aws.call_budget import CallBudget
    from cdao_sdk.aws.session import AwsClients

__all__ = ["QUERIES_A_CALL", "MetricQuery", "Points", "finest_period", "read_metrics"]

QUERIES_A_CALL = 500  # API reference of GetMetricData

# How fine CloudWatch still has what began so many days ago (API reference of MetricStat, 2026-11).
_KEPT = ((15, 60), (63, 300))
_COARSEST = 3600

Points = list[tuple[datetime, float]]


@dataclass(frozen=True)
class MetricQuery:
    """One metric of one thing.

    Attributes:
        namespace: Such as ``"/aws/sagemaker/TrainingJobs"``.
        name: Such as ``"CPUUtilization"``.
        dimension: (name, value), such as ``("Host", "my-job/algo-1")``.
        period_seconds: Seconds of one point: 60 or a multiple.
        statistic: ``"Average"``, ``"Maximum"``, …
    """

    namespace: str
    name: str
    dimension: tuple[str, str]
    period_seconds: int = 60
    statistic: str = "Average"


def finest_period(start: datetime, now: datetime) -> int:
    """Seconds of one point of what CloudWatch has from then on; a finer period finds nothing.

    Args:
        start: From when on.
        now: The time.

    Example:
        >>> now = datetime(2026, 11, 25)
        >>> [finest_period(datetime(2026, *day), now) for day in [(11, 24), (10, 25), (1, 1)]]
        [60, 300, 3600]
    """
    days = (now - start) / timedelta(days=1)
    return next((seconds for kept, seconds in _KEPT if days < kept), _COARSEST)


async def read_metrics(
    clients: AwsClients,
    queries: Sequence[MetricQuery],
    start: datetime,
    end: datetime,
    budget: CallBudget,
    *,
    patience_seconds: float = 60.0,
) -> list[Points]:
    """The series, each by time; empty where CloudWatch has nothing.

    Args:
        clients: Where to ask.
        queries: Which, at most 500 for each call of the budget; more are left out.
        start: From when on.
        end: Until when.
        budget: How many calls it may cost.
        patience_seconds: How long a call may wait for its turn.

    Returns:
        A series for each query, in their order.

    Raises:
        SubmissionError: A call was refused.
    """
    found: list[Points] = [[] for _ in queries]
    for first in range(0, len(queries), QUERIES_A_CALL):
        request: dict[str, object] = {
            "MetricDataQueries": [
                _query(number, query)
                for number, query in enumerate(queries[first : first + QUERIES_A_CALL], first)
            ],
            "StartTime": start,
            "EndTime": end,
            "ScanBy": "TimestampAscending",
        }
        while budget.take():
            answer = await call(
                clients, "cloudwatch", "GetMetricData", request, at_most_seconds=patience_seconds
            )
            results = cast("Sequence[Mapping[str, object]]", answer.get("MetricDataResults", ()))
            for result in results:
                found[int(str(result["Id"])[1:])] += _points(result)
            if not answer.get("NextToken"):
                break
            request["NextToken"] = answer["NextToken"]
    return found


def _query(number: int, query: MetricQuery) -> dict[str, object]:
    name, value = query.dimension
    metric = {
        "Namespace": query.namespace,
        "MetricName": query.name,
        "Dimensions": [{"Name": name, "Value": value}],
    }
    stat = {"Metric": metric, "Period": query.period_seconds, "Stat": query.statistic}
    return {"Id": f"q{number}", "MetricStat": stat, "ReturnData": True}


def _points(result: Mapping[str, object]) -> Points:
    times = cast("Sequence[datetime]", result.get("Timestamps", ()))
    values = cast("Sequence[float]", result.get("Values", ()))
    return [
        (time.astimezone(timezone.utc), float(value))
        for time, value in zip(times, values, strict=True)
    ]
