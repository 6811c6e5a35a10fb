"""Requests a second that AWS's APIs are asked for, by operation.

Published, for an account and region: ListTrainingJobs 2 a second, not adjustable (seen in
awslabs/deepracer-on-aws#87); CloudWatch Logs' quotas (AWS General Reference, "Amazon CloudWatch
Logs endpoints and quotas", November 2026): DescribeLogStreams 25, GetLogEvents 10 to 30 by region,
the least of which stands here. SageMaker publishes no others: those are ours, small enough to be
throttled rarely and large enough for a connector of thousands of jobs. The setting ``api_rates``
changes any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OPERATIONS", "RATES", "Rate"]


@dataclass(frozen=True)
class Rate:
    """A token bucket's measures.

    Attributes:
        per_second: Requests a second for ever.
        burst: Requests at once, after a rest.
    """

    per_second: float
    burst: int


_CREATE = Rate(5, 10)
_DESCRIBE = Rate(10, 50)
_STOP = Rate(5, 10)
_LIST = Rate(2, 2)

RATES: Mapping[str, Rate] = {
    "CreateTrainingJob": _CREATE,
    "CreateProcessingJob": _CREATE,
    "CreateTransformJob": _CREATE,
    "CreateModel": _CREATE,
    "DescribeTrainingJob": _DESCRIBE,
    "DescribeProcessingJob": _DESCRIBE,
    "DescribeTransformJob": _DESCRIBE,
    "DescribeModel": _DESCRIBE,
    "StopTrainingJob": _STOP,
    "StopProcessingJob": _STOP,
    "StopTransformJob": _STOP,
    "DeleteModel": _STOP,
    "ListTrainingJobs": _LIST,
    "ListProcessingJobs": _LIST,
    "ListTransformJobs": _LIST,
    "ListModels": _LIST,
    "AddTags": _STOP,
    "ListTags": _DESCRIBE,
    "DescribeLogStreams": Rate(25, 25),
    "GetLogEvents": Rate(10, 10),
    "GetMetricData": Rate(5, 10),
}

# S3, STS and SQS take thousands of requests a second.
_UNLIMITED = (
    *("GetObject", "PutObject", "HeadObject", "HeadBucket", "CopyObject", "CreateBucket"),
    *("ListObjectsV2", "DeleteObject", "DeleteObjects", "GetCallerIdentity"),
    *("ReceiveMessage", "DeleteMessageBatch"),
)

OPERATIONS = frozenset({*RATES, *_UNLIMITED})
"""Every operation that a rate can be set for."""
