"""Counters of AWS calls for Prometheus, made with the first call.

They are in prometheus_client's own registry, beside those of flytekit's connector service.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prometheus_client import Counter, Gauge, Histogram
    from prometheus_client.metrics import MetricWrapperBase

__all__ = ["AwsMetrics", "aws_metrics"]

MetricT = TypeVar("MetricT", bound="MetricWrapperBase")

# A describe takes some 50 ms; botocore's retries of one call end within some seconds.
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True)
class AwsMetrics:
    """The metrics of this package's calls to AWS.

    Attributes:
        calls: ``cdao_aws_calls_total``; ``code`` is AWS's, ``OK``, ``ClientRateLimit`` (not sent)
            or ``Cancelled``.
        seconds: ``cdao_aws_call_seconds``, without the wait for the rate.
        throttled: ``cdao_aws_throttled_total``.
        rate: ``cdao_aws_rate``, requests a second that are allowed now.
        watched: ``cdao_watched_jobs``, jobs whose status is kept in memory.
        refreshes: ``cdao_status_refreshes_total``.
        events: ``cdao_job_events_total``, messages of the event queue.
    """

    calls: Counter
    seconds: Histogram
    throttled: Counter
    rate: Gauge
    watched: Gauge
    refreshes: Counter
    events: Counter


@functools.cache
def aws_metrics() -> AwsMetrics:
    """The metrics of this process; the same however often this module is loaded."""
    from prometheus_client import Counter, Gauge, Histogram

    return AwsMetrics(
        calls=_once(Counter, "cdao_aws_calls", "Calls to AWS.", ("service", "operation", "code")),
        seconds=_once(
            functools.partial(Histogram, buckets=_SECONDS),
            "cdao_aws_call_seconds",
            "Seconds that calls to AWS took.",
            ("service", "operation"),
        ),
        throttled=_once(
            Counter, "cdao_aws_throttled", "Calls that AWS throttled.", ("service", "operation")
        ),
        rate=_once(
            Gauge,
            "cdao_aws_rate",
            "Requests a second that are allowed now.",
            ("account", "region", "operation"),
        ),
        watched=_once(Gauge, "cdao_watched_jobs", "Jobs whose status is kept.", ("region", "kind")),
        refreshes=_once(
            Counter,
            "cdao_status_refreshes",
            "Looks at the status of many jobs at once.",
            ("kind", "how", "outcome"),
        ),
        events=_once(Counter, "cdao_job_events", "Messages with changes of jobs.", ("outcome",)),
    )


def _once(
    make: Callable[[str, str, Sequence[str]], MetricT],
    name: str,
    documentation: str,
    labels: Sequence[str],
) -> MetricT:
    from prometheus_client import REGISTRY

    try:
        return make(name, documentation, labels)
    except ValueError:
        # This module was loaded before, under another name or before a reload.
        known = cast("dict[str, MetricT]", REGISTRY._names_to_collectors)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] # there is no other way to ask
        return known[name]
