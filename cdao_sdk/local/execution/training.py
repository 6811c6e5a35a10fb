"""Training jobs: channels in, one process a host, model and output data out."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cdao_sdk.local.execution import artifacts
from cdao_sdk.local.execution.channels import DataSource, download
from cdao_sdk.local.execution.console import metric_definitions
from cdao_sdk.local.execution.context import MESSAGE_CHARACTERS, JobFailed, first_text
from cdao_sdk.local.execution.entrypoint import (
    Entrypoint,
    training_entrypoint,
    user_hyperparameters,
)
from cdao_sdk.local.execution.environment import job_environment, toolkit_environment
from cdao_sdk.local.execution.hosts import host_names, hosts_of, reason_of, run_hosts
from cdao_sdk.local.execution.request import mapping, section, sections, text, whole
from cdao_sdk.local.jobs import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cdao_sdk.local.execution.context import Context
    from cdao_sdk.local.execution.hosts import Host
    from cdao_sdk.local.execution.request import Document
    from cdao_sdk.local.processes import GroupExit


@dataclass(frozen=True)
class _Group:
    """Hosts of one instance type."""

    name: str
    instance_type: str
    hosts: list[str]


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
    groups = _groups(section(request, "ResourceConfig"))
    with hosts_of(context, _names(groups), definitions) as hosts:
        context.report("Downloading", "Downloading input data")
        for number in range(len(hosts)):
            _prepare(context, entrypoint, groups, hosts, number)
        context.check_stop()
        message = "Training image download completed. Training in progress."
        context.report("Training", message)
        ended = run_hosts(
            context,
            hosts,
            entrypoint.command,
            lambda host: _environment(context, entrypoint, groups, host),
            directory=entrypoint.directory,
            timeout_seconds=_longest_run(request),
        )
        context.report("Uploading", "Uploading generated training model")
        outcome = _outcome(entrypoint, hosts, ended)
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


def _groups(resources: Document) -> list[_Group]:
    groups = sections(resources, "InstanceGroups") or [
        {
            "InstanceGroupName": "homogeneousCluster",
            "InstanceType": text(resources, "InstanceType"),
            "InstanceCount": whole(resources, "InstanceCount", 1),
        }
    ]
    names = iter(host_names(sum(whole(group, "InstanceCount", 1) for group in groups)))
    return [
        _Group(
            name=text(group, "InstanceGroupName"),
            instance_type=text(group, "InstanceType"),
            hosts=[next(names) for _ in range(whole(group, "InstanceCount", 1))],
        )
        for group in groups
    ]


def _names(groups: list[_Group]) -> list[str]:
    return [name for group in groups for name in group.hosts]


def _prepare(
    context: Context, entrypoint: Entrypoint, groups: list[_Group], hosts: list[Host], number: int
) -> None:
    """Lay out one host's /opt/ml."""
    host = hosts[number]
    host.opt_ml.make("code", "model", "input/config", "input/data", "output/data")
    request = context.job.request
    configuration = _configuration(request, groups, host)
    documents = {
        "hyperparameters": mapping(request, "HyperParameters"),
        "inputdataconfig": configuration["inputs"],
        "resourceconfig": configuration["resource"],
    }
    for name, document in documents.items():
        path = host.opt_ml.root / "input" / "config" / f"{name}.json"
        path.write_text(json.dumps(document), encoding="utf-8")
    for channel in sections(request, "InputDataConfig"):
        target = host.opt_ml.root / "input" / "data" / text(channel, "ChannelName")
        download(context, _source(request, channel), target, host=number, hosts=len(hosts))
    _restore_checkpoints(context, host)
    entrypoint.fetch_code(context, host.opt_ml)


def _source(request: Document, channel: Document) -> DataSource:
    name = text(channel, "ChannelName")
    specification = section(request, "AlgorithmSpecification")
    mode = text(channel, "InputMode") or text(specification, "TrainingInputMode", "File")
    if mode == "Pipe":
        msg = (
            f"ClientError: Channel {name!r} asks for Pipe mode, which the embedded SageMaker does "
            "not offer; use File or FastFile"
        )
        raise JobFailed(msg)
    source = section(section(channel, "DataSource"), "S3DataSource")
    if not source:
        msg = (
            f"ClientError: Channel {name!r} has no S3DataSource; the embedded SageMaker reads "
            "channels from S3 only"
        )
        raise JobFailed(msg)
    return DataSource(
        kind=text(source, "S3DataType", "S3Prefix"),
        uri=text(source, "S3Uri"),
        sharded=text(source, "S3DataDistributionType") == "ShardedByS3Key",
        gunzip=text(channel, "CompressionType") == "Gzip",
    )


def _configuration(request: Document, groups: list[_Group], host: Host) -> dict[str, object]:
    own = next(group for group in groups if host.name in group.hosts)
    resource = {
        "current_host": host.name,
        "current_instance_type": own.instance_type,
        "current_group_name": own.name,
        "hosts": _names(groups),
        "instance_groups": [
            {
                "instance_group_name": group.name,
                "instance_type": group.instance_type,
                "hosts": group.hosts,
            }
            for group in groups
        ],
        "network_interface_name": "lo",
    }
    inputs: dict[str, dict[str, str]] = {}
    for channel in sections(request, "InputDataConfig"):
        source = section(section(channel, "DataSource"), "S3DataSource")
        described = {
            "ContentType": text(channel, "ContentType"),
            "TrainingInputMode": "File",
            "S3DistributionType": text(source, "S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": text(channel, "RecordWrapperType", "None"),
        }
        inputs[text(channel, "ChannelName")] = {
            key: item for key, item in described.items() if item
        }
    return {"resource": resource, "inputs": inputs}


def _environment(
    context: Context, entrypoint: Entrypoint, groups: list[_Group], host: Host
) -> Mapping[str, str]:
    request = context.job.request
    toolkit = toolkit_environment(
        context,
        host.opt_ml,
        host=host.name,
        hosts=_names(groups),
        configuration=_configuration(request, groups, host),
        hyperparameters=user_hyperparameters(mapping(request, "HyperParameters")),
        channels=[text(item, "ChannelName") for item in sections(request, "InputDataConfig")],
    )
    names = {"TRAINING_JOB_NAME": context.job.name, "TRAINING_JOB_ARN": context.arn}
    own = {**(entrypoint.environment or {}), **mapping(request, "Environment")}
    return toolkit | names | job_environment(context, host.opt_ml, own)


def _longest_run(request: Document) -> float:
    return whole(section(request, "StoppingCondition"), "MaxRuntimeInSeconds", 24 * 3600)


def _outcome(entrypoint: Entrypoint, hosts: list[Host], ended: GroupExit) -> Outcome:
    if ended.cause == "timeout":
        return Outcome(status="Stopped", secondary_status="MaxRuntimeExceeded")
    if ended.cause == "stop":
        return Outcome(status="Stopped")
    if ended.failed is None:
        return Outcome(status="Completed")
    status = ended.statuses[ended.failed]
    reason = reason_of(status)
    if reason is None:
        words = _explanation(entrypoint, hosts[ended.failed], status.code)
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
    checkpoints = section(request, "CheckpointConfig")
    for host in hosts if checkpoints else []:
        folder = _checkpoint_folder(checkpoints, host)
        files = artifacts.collect(folder, host.opt_ml, host.console.note)
        artifacts.upload_files(context.objects, text(checkpoints, "S3Uri"), files)
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
