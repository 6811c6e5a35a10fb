"""Propeller's side of the connection: its configuration as YAML, with the reason for each number.

Keys, defaults and limits as in Flyte 1.16.8: flyteplugins' ``webapi/connector/config.go``,
``pluginmachinery/webapi/pluginconfig.go`` and the checks in ``internal/webapi/core.go``.
"""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cdao_sdk.errors import ConfigurationError
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Chart", "PropellerOptions", "render_propeller_config", "service_config"]

Chart = Literal["none", "flyte-binary", "flyte-core"]

_ASYNC = "flyteidl.service.AsyncAgentService"
_METADATA = "flyteidl.service.AgentMetadataService"
# Where a chart's values take Propeller's configuration.
_CHART_KEYS: Mapping[Chart, tuple[str, ...]] = {
    "none": (),
    "flyte-binary": ("configuration", "inline"),
    "flyte-core": ("configmap", "enabled_plugins"),
}
# Flyte's own limits.
_MOST_BURST, _MOST_WORKERS = 10_000, 10_000
# A round of reads is spread over a third of the interval: what is new waits behind it.
_PART_OF_INTERVAL = 3
# A read that has to ask AWS.
_SLOW_READ_SECONDS = 0.2


@dataclass(frozen=True)
class PropellerOptions:
    """What the numbers follow from.

    Attributes:
        endpoint: The service's address as gRPC's Go client takes it.
        jobs: Open jobs that are expected at once.
        resync_seconds: Between two looks at a job; 5 to 3,600.
        insecure: Without TLS.
        max_message_mb: Largest answer; the service's ``--max-message-mb``.
        chart: Whose values the YAML is for.
    """

    endpoint: str = "dns:///cdao-connector.flyte.svc.cluster.local:8000"
    jobs: int = 1_000
    resync_seconds: int = 30
    insecure: bool = True
    max_message_mb: int = 16
    chart: Chart = "none"

    @property
    def reads_per_second(self) -> float:
        """GetTask calls that the open jobs need."""
        return self.jobs / self.resync_seconds

    @property
    def read_qps(self) -> int:
        """The rate limit; Propeller's default of 10 serves 300 jobs."""
        return max(10, math.ceil(_PART_OF_INTERVAL * self.reads_per_second))

    @property
    def read_burst(self) -> int:
        """Reads that need not wait for the rate."""
        return min(_MOST_BURST, max(100, self.read_qps))

    @property
    def workers(self) -> int:
        """GetTask calls at once."""
        return min(_MOST_WORKERS, max(10, math.ceil(self.read_qps * _SLOW_READ_SECONDS)))


def service_config(options: PropellerOptions) -> str:
    """gRPC's service config: one line of JSON, which grpc-go checks when it connects."""
    retries = {
        "maxAttempts": 5,  # grpc-go takes no more
        "initialBackoff": "0.5s",
        "maxBackoff": "5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    answers = {"maxResponseMessageBytes": options.max_message_mb * 1024 * 1024}
    always = {"waitForReady": True, "retryPolicy": retries}
    jobs = {"name": [{"service": _ASYNC}], "timeout": "30s", **answers, **always}
    reads = {"name": [{"service": _ASYNC, "method": "GetTask"}], "timeout": "20s"}
    # Propeller's own start waits for this one.
    routes = {"name": [{"service": _METADATA}], "timeout": "5s", **always}
    document: dict[str, object] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [jobs, {**reads, **answers, **always}, routes],
    }
    return json.dumps(document, separators=(",", ":"))


def render_propeller_config(options: PropellerOptions) -> str:
    """The configuration as YAML.

    Raises:
        ConfigurationError: The endpoint's form would not do what is wanted.
    """
    _check(options)
    types = [kind.task_type for kind in KINDS.values()]
    text = f"{_tasks(types)}\n{_plugins(options, types)}"
    for key in reversed(_CHART_KEYS[options.chart]):
        text = f"{key}:\n{textwrap.indent(text, '  ')}"
    head = (
        "# Propeller's configuration for the CDAO SDK's connector; for Flyte 1.16.\n"
        f"# For {options.jobs:,} open jobs: {options.reads_per_second:,.0f} reads a second.\n"
    )
    return head + text


def _check(options: PropellerOptions) -> None:
    problems: list[str] = []
    if options.endpoint.startswith(("http://", "https://")):
        problems.append("gRPC takes no http:// URL: give dns:///host:port.")
    if not options.endpoint.rsplit(":", 1)[-1].isdigit():
        problems.append("it has no port.")
    if any(character in options.endpoint for character in "\"'\\\n \t"):
        problems.append("it has blanks or quotes.")
    if problems:
        msg = f"The endpoint {options.endpoint!r} cannot be used."
        raise ConfigurationError(msg, problems=problems)


def _tasks(types: list[str]) -> str:
    lines = "\n".join(f"      {name}: connector-service" for name in types)
    return f"""\
tasks:
  task-plugins:
    # The whole list: it takes the place of the one that is set.
    enabled-plugins: [container, sidecar, k8s-array, connector-service, echo]
    default-for-task-types:
      container: container
      sidecar: sidecar
      container_array: k8s-array
{lines}
"""


def _plugins(options: PropellerOptions, types: list[str]) -> str:
    routes = "\n".join(f"      {name}: cdao" for name in types)
    return f"""\
plugins:
  connector-service:
    # Without this a connector that cannot be reached when Propeller asks what it serves (each
    # 10 s) would lose its task types until the next answer, and their tasks would fail.
    connectorForTaskTypes:
{routes}
    supportedTaskTypes: [] # the default names two types of a test
    connectors:
      cdao:
        # dns:/// has the addresses of all replicas looked up; the service has to be headless.
        endpoint: "{options.endpoint}"
        insecure: {str(options.insecure).lower()}
        # A CreateTask that fails costs one of the task's retries, whatever the reason: so calls
        # wait for a replica that restarts (waitForReady) and try another one (retryPolicy), and
        # their time is long. They may come twice: the job's name makes them one.
        # maxResponseMessageBytes: 4 MB otherwise, which large outputs exceed.
        defaultServiceConfig: '{service_config(options)}'
        # Each method's time is in there, too: Propeller's own `timeouts` have no effect in 1.16,
        # for its configuration is read with keys in lower case and asked for CreateTask.
        defaultTimeout: 30s
    webApi:
      caching:
        resyncInterval: {options.resync_seconds}s # between two looks at a job
        # {options.read_qps:,} reads a second of up to {_SLOW_READ_SECONDS} s each.
        workers: {options.workers}
        # Failed reads over a job's whole life, never reset; with the default of 5 a long job
        # is lost to a connector that was away for three minutes.
        maxSystemFailures: 10000
      readRateLimiter:
        # {options.jobs:,} jobs / {options.resync_seconds} s, times three: a new job's first read,
        # which starts it, waits behind a round of all others. Default 10: for 300 jobs.
        qps: {options.read_qps}
        burst: {options.read_burst}
      # Counted only where Propeller's resourcemanager is redis; its resourceMaxQuota (1,000)
      # has to be as large.
      resourceQuotas:
        default: {options.jobs}
    # Likewise. Larger than the quota on purpose: a project beyond its own limit fails in
    # Flyte 1.16 ("allocation status undefined") where it should wait.
    resourceConstraints:
      ProjectScopeResourceConstraint: {{value: {2 * options.jobs}}}
      NamespaceScopeResourceConstraint: {{value: {2 * options.jobs}}}
"""
