"""What Prometheus reads of the service."""

# prometheus-client's collectors are only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily

from cdao_sdk.errors import ConfigurationError
from cdao_sdk.flyte.serving.addresses import why_not_bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.registry import CollectorRegistry

    from cdao_sdk.flyte.serving.open_jobs import OpenJobs

__all__ = ["Metrics", "MetricsServer"]

# Every phase is always there: a series that comes and goes breaks alerts.
_PHASES = ("QUEUED", "WAITING_FOR_RESOURCES", "INITIALIZING", "RUNNING")
_FLYTEKIT_OPERATION = {"CreateTask": "create", "GetTask": "get", "DeleteTask": "delete"}
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one service.

    Args:
        jobs: The jobs that Propeller asks about.
        registry: Where they are registered; flytekit's own are in the default one.
    """

    def __init__(self, jobs: OpenJobs, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self._requests = Counter(
            "cdao_connector_requests",
            "Calls answered, by gRPC code.",
            ["method", "task_type", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "cdao_connector_request_seconds",
            "Seconds from a call's arrival to its answer.",
            ["method", "task_type"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "cdao_connector_requests_in_flight",
            "Calls that are being worked on.",
            registry=registry,
        )
        self.waiting = Gauge(
            "cdao_connector_requests_waiting",
            "Calls that wait for one of --max-concurrent places.",
            registry=registry,
        )
        self.serving = Gauge(
            "cdao_connector_serving", "1 while the health service says SERVING.", registry=registry
        )
        build = Gauge(
            "cdao_connector_build_info",
            "Releases in use.",
            ["version", "flytekit", "python"],
            registry=registry,
        )
        build.labels(version("cdao-sdk"), version("flytekit"), platform.python_version()).set(1)
        registry.register(_JobsCollector(jobs))

    def answered(self, method: str, task_type: str, code: str, seconds: float) -> None:
        """Count a call; ``task_type`` is one of ours or ``"other"``, never what a caller wrote."""
        self._requests.labels(method, task_type, code).inc()
        self._seconds.labels(method, task_type).observe(seconds)
        if (operation := _FLYTEKIT_OPERATION.get(method)) is not None:
            _count_as_flytekit(operation, task_type, code, seconds)


def _count_as_flytekit(operation: str, task_type: str, code: str, seconds: float) -> None:
    """Feed flytekit's own metrics: who has dashboards for its service can keep them."""
    from flytekit.extend.backend import connector_service as flytekit

    if code == "OK":
        flytekit.request_success_count.labels(task_type=task_type, operation=operation).inc()
    else:
        status = "404" if code == "NOT_FOUND" else "500"
        flytekit.request_failure_count.labels(
            task_type=task_type, operation=operation, error_code=status
        ).inc()
    flytekit.request_latency.labels(task_type=task_type, operation=operation).observe(seconds)


class _JobsCollector:
    def __init__(self, jobs: OpenJobs) -> None:
        self._jobs = jobs

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counts: Mapping[str, int] = self._jobs.by_phase()
        by_phase = GaugeMetricFamily(
            "cdao_connector_jobs_open",
            "Jobs that this replica was asked about in the last 10 minutes, by Flyte's phase.",
            labels=["phase"],
        )
        for phase in dict.fromkeys((*_PHASES, *counts)):
            by_phase.add_metric([phase], counts.get(phase, 0))
        yield by_phase
        yield GaugeMetricFamily(
            "cdao_connector_queue_length",
            "Jobs that wait for a quota, capacity or a request rate of AWS.",
            value=counts.get("WAITING_FOR_RESOURCES", 0),
        )


class _HttpServer(Protocol):
    server_port: int

    def shutdown(self) -> None: ...

    def server_close(self) -> None: ...


class MetricsServer:
    """Serves ``/metrics`` over HTTP, from a thread of its own.

    Args:
        host: Address to listen on.
        port: Port to listen on.
        registry: What is served.

    Raises:
        ConfigurationError: The address cannot be had.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry = REGISTRY) -> None:
        try:
            server, thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            msg = why_not_bound(host, port, error, "--metrics-port")
            raise ConfigurationError(msg) from error
        self._server: _HttpServer = server
        self._thread = thread
        self.port = self._server.server_port

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
