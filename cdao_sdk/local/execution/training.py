"""Training jobs: channels in, one process a host, model and output data out."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cdao_sdk.local.execution import artifacts
from cdao_sdk.local.execution.channels import DataSource, download
from cdao_sdk.local.execution.console import metric_definitions
from cdao_sdk.local.execution.context import MESSAGE_CHARACTERS, JobFailed, first_text
from cdao_sdk.local.execution.continuous import ContinuousUpload
from cdao_sdk.local.execution.entrypoint import (
    Entrypoint,
    training_entrypoint,
    user_hyperparameters,
)
from cdao_sdk.local.execution.environment import job_environment, toolkit_environment
from cdao_sdk.local.execution.hosts import hosts_of, reason_of, run_hosts
from cdao_sdk.local.execution.instance_groups import (
    instance_groups,
    names_of,
    resource_configuration,
)
from cdao_sdk.local.execution.opt_ml import remove_tree
from cdao_sdk.local.execution.request import mapping, section, sections, text, whole
from cdao_sdk.local.execution.training_channels import training_channels
from cdao_sdk.local.jobs import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cdao_sdk.local.execution.context import Context
    from cdao_sdk.local.execution.hosts import Host
    from cdao_sdk.local.execution.instance_groups import InstanceGroup
    from cdao_sdk.local.execution.request import Document
    from cdao_sdk.local.execution.training_channels import Channel
    from cdao_sdk.local.processes import GroupExit

_NETWORK = {"NCCL_SOCKET_IFNAME": "lo", "GLOO_SOCKET_IFNAME": "lo"}


@dataclass(frozen=True)
class _Cluster:
    """What a job runs, and where."""

    context: Context
    entrypoint: Entrypoint
    groups: list[InstanceGroup]
    channels: list[Channel]
    hosts: list[Host]

    @property
    def request(self) -> Document:
        return self.context.job.request


def run_training(context: Context) -> Outcome:
    """Run a training job from its start to its end.

    Raises:
        JobFailed: before its processes ran: an input is missing, something is not offered here.
        JobStopped: it was stopped before its processes ran.
    """
    request = context.job.request
    context.report("Starting", "Launching requested ML instances")
    entrypoint = training_entrypoint(request)
    given = sections(section(request, "AlgorithmSpecification"), "MetricDefinitions")
    named = [(text(metric, "Name"), text(metric, "Regex")) for metric in given]
    definitions = metric_definitions([*entrypoint.metrics, *named])
    groups = instance_groups(section(request, "ResourceConfig"))
    channels = training_channels(request, reads_files=entrypoint.reads_files)
    with hosts_of(context, names_of(groups), definitions) as hosts:
        cluster = _Cluster(context, entrypoint, groups, channels, hosts)
        outcome = _run_to_the_end(cluster)
        try:
            uploaded = _upload(context, hosts, with_model=outcome.status != "Failed")
        except JobFailed as error:
            if outcome.status != "Failed":
                raise
            hosts[0].console.note(str(error))  # why the job itself failed says more
            uploaded = None
    metrics = {
        name: value for host in reversed(hosts) for name, value in host.console.metrics.items()
    }
    return replace(outcome, model_artifact=uploaded, metrics=metrics)


class _Limits:
    """How long the job may still run; interruptions do not count as running."""

    def __init__(self, request: Document) -> None:
        stopping = section(request, "StoppingCondition")
        self._running: float = whole(stopping, "MaxRuntimeInSeconds", 24 * 3600)
        wait = whole(stopping, "MaxWaitTimeInSeconds", 0)
        self._until = time.monotonic() + wait if wait else float("inf")

    @property
    def seconds(self) -> float:
        """Until the first limit is reached."""
        return max(0.0, min(self._running, self._until - time.monotonic()))

    @property
    def exceeded(self) -> str:
        """The secondary status of a job that has reached it."""
        late = time.monotonic() >= self._until
        return "MaxWaitTimeExceeded" if late else "MaxRuntimeExceeded"

    def ran(self, seconds: float) -> None:
        """Count a run."""
        self._running -= seconds


class _Stop:
    """Ends the hosts with the job, or when their spot capacity is reclaimed."""

    def __init__(self, context: Context) -> None:
        self._job = context.stop
        self._interrupt = context.job.interrupt
        self.interrupted = False

    def is_set(self) -> bool:
        if self._job.is_set():
            self.interrupted = False
            return True
        self.interrupted = self.interrupted or self._interrupt.is_set()
        return self.interrupted


def _run_to_the_end(cluster: _Cluster) -> Outcome:
    """Run the hosts, and again whenever their spot capacity was reclaimed."""
    context = cluster.context
    limits = _Limits(cluster.request)
    while True:
        context.report("Downloading", "Downloading input data")
        with contextlib.ExitStack() as pipes:
            for number in range(len(cluster.hosts)):
                _prepare(cluster, number, pipes)
            context.check_stop()
            started = time.monotonic()
            ended, stop = _run_once(cluster, limits.seconds)
            limits.ran(time.monotonic() - started)
        if ended.cause != "stop" or not stop.interrupted or context.stop.is_set():
            context.report("Uploading", "Uploading generated training model")
            return _outcome(cluster, ended, limits)
        context.report("Interrupted", "Managed spot training instances were reclaimed")
        context.job.interrupt.clear()
        for host in cluster.hosts:
            host.console.note("the spot instance was reclaimed; the job goes on with another one")
            remove_tree(host.opt_ml.root)
        context.check_stop()
        context.report("Starting", "Launching requested ML instances")


def _run_once(cluster: _Cluster, seconds: float) -> tuple[GroupExit, _Stop]:
    context = cluster.context
    stop = _Stop(context)
    configuration = section(cluster.request, "CheckpointConfig")
    uri = text(configuration, "S3Uri")
    folders = [
        (host, _checkpoint_folder(configuration, host), uri) for host in cluster.hosts if uri
    ]
    message = "Training image download completed. Training in progress."
    with ContinuousUpload(context, folders) as checkpoints:
        context.report("Training", message)
        ended = run_hosts(
            context,
            cluster.hosts,
            cluster.entrypoint.command,
            lambda host: _environment(cluster, host),
            directory=cluster.entrypoint.directory,
            timeout_seconds=seconds,
            stop=stop,
        )
    try:
        checkpoints.finish()
    except JobFailed as error:
        if ended.failed is None:
            raise
        cluster.hosts[0].console.note(str(error))  # why the job itself failed says more
    return ended, stop


def _prepare(cluster: _Cluster, number: int, pipes: contextlib.ExitStack) -> None:
    """Lay out one host's /opt/ml; what feeds its pipes ends with `pipes`."""
    context, host = cluster.context, cluster.hosts[number]
    host.opt_ml.make("code", "model", "input/config", "input/data", "output/data")
    request = cluster.request
    documents = {
        "hyperparameters": mapping(request, "HyperParameters"),
        "inputdataconfig": {item.name: item.description for item in cluster.channels},
        "resourceconfig": resource_configuration(cluster.groups, host.name),
    }
    for name, document in documents.items():
        path = host.opt_ml.root / "input" / "config" / f"{name}.json"
        path.write_text(json.dumps(document), encoding="utf-8")
    for channel in cluster.channels:
        channel.deliver(context, host, names_of(cluster.groups, channel.groups), pipes)
    _restore_checkpoints(context, host)
    cluster.entrypoint.fetch_code(context, host.opt_ml)


def _environment(cluster: _Cluster, host: Host) -> Mapping[str, str]:
    context, request = cluster.context, cluster.request
    toolkit = toolkit_environment(
        context,
        host.opt_ml,
        host=host.name,
        hosts=names_of(cluster.groups),
        configuration={
            "resource": resource_configuration(cluster.groups, host.name),
            "inputs": {item.name: item.description for item in cluster.channels},
        },
        hyperparameters=user_hyperparameters(mapping(request, "HyperParameters")),
        channels=[channel.name for channel in cluster.channels],
    )
    names = {"TRAINING_JOB_NAME": context.job.name, "TRAINING_JOB_ARN": context.arn}
    own = {**(cluster.entrypoint.environment or {}), **mapping(request, "Environment")}
    # SageMaker's hosts talk through eth0, which nothing says is here.
    own |= {name: value for name, value in _NETWORK.items() if own.get(name) == "eth0"}
    return toolkit | names | job_environment(context, host.opt_ml, own)


def _outcome(cluster: _Cluster, ended: GroupExit, limits: _Limits) -> Outcome:
    if ended.cause == "timeout":
        return Outcome(status="Stopped", secondary_status=limits.exceeded)
    if ended.cause == "stop":
        return Outcome(status="Stopped")
    if ended.failed is None:
        return Outcome(status="Completed")
    status = ended.statuses[ended.failed]
    reason = reason_of(status)
    if reason is None:
        words = _explanation(cluster.entrypoint, cluster.hosts[ended.failed], status.code)
        suffix = f", exit code: {status.code}"
        reason = f"AlgorithmError: {words}"[: MESSAGE_CHARACTERS - len(suffix)] + suffix
    return Outcome(status="Failed", failure_reason=reason)


def _explanation(entrypoint: Entrypoint, host: Host, code: int) -> str:
    try:
        written = first_text(host.opt_ml.root / "output" / "failure")
    except UnicodeDecodeError:
        written = "/opt/ml/output/failure is not UTF-8"
    if written is not None:
        return written
    if entrypoint.script:
        return (
            f"ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "
            f'"{host.console.last_line}"\nCommand "{" ".join(entrypoint.command)}"'
        )
    return host.console.last_line


def _restore_checkpoints(context: Context, host: Host) -> None:
    """Bring back the checkpoints of an earlier run."""
    configuration = section(context.job.request, "CheckpointConfig")
    if not configuration:
        return
    uri = f"{text(configuration, 'S3Uri').rstrip('/')}/"
    folder = _checkpoint_folder(configuration, host)
    download(context, DataSource("S3Prefix", uri, may_be_empty=True), folder)


def _checkpoint_folder(configuration: Document, host: Host) -> Path:
    return host.opt_ml.real(text(configuration, "LocalPath", "/opt/ml/checkpoints"))


def _upload(context: Context, hosts: list[Host], *, with_model: bool) -> str | None:
    """Store what the hosts left; returns where the model is, or None when they left none."""
    request = context.job.request
    configuration = section(request, "OutputDataConfig")
    base = f"{text(configuration, 'S3OutputPath').rstrip('/')}/{context.job.name}/output"
    packed = text(configuration, "CompressionType", "GZIP") == "GZIP"
    _store(context, hosts, "output/data", f"{base}/output.tar.gz" if packed else f"{base}/data/")
    if not with_model:
        return None
    return _store(context, hosts, "model", f"{base}/model.tar.gz" if packed else f"{base}/model/")


def _store(context: Context, hosts: list[Host], folder: str, uri: str) -> str | None:
    files: dict[str, Path] = {}
    for host in reversed(hosts):  # of two files with the same name, the lead host's wins
        files |= artifacts.collect(host.opt_ml.root / folder, host.opt_ml, host.console.note)
    if not files:
        return None
    if uri.endswith("/"):
        artifacts.upload_files(context.objects, uri, files)
        return uri
    artifacts.upload_archive(context.objects, uri, files)
    return uri
