"""Processing jobs: inputs and outputs at paths of the user's choice below /opt/ml/processing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cdao_sdk.local.execution import artifacts
from cdao_sdk.local.execution.channels import DataSource, download
from cdao_sdk.local.execution.context import MESSAGE_CHARACTERS, JobFailed, first_text
from cdao_sdk.local.execution.continuous import ContinuousUpload
from cdao_sdk.local.execution.environment import job_environment
from cdao_sdk.local.execution.hosts import host_names, hosts_of, reason_of, run_hosts
from cdao_sdk.local.execution.request import mapping, section, sections, text, texts, whole
from cdao_sdk.local.jobs import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cdao_sdk.local.execution.context import Context
    from cdao_sdk.local.execution.hosts import Host
    from cdao_sdk.local.execution.request import Document
    from cdao_sdk.local.processes import GroupExit


def run_processing(context: Context) -> Outcome:
    """Run a processing job from its start to its end.

    Raises:
        JobFailed: an input is missing, something is not offered here, an output cannot be stored.
        JobStopped: it was stopped before its processes ran.
    """
    request = context.job.request
    context.report("Starting", "Launching requested ML instances")
    application = section(request, "AppSpecification")
    command = [
        *texts(application, "ContainerEntrypoint"),
        *texts(application, "ContainerArguments"),
    ]
    if not texts(application, "ContainerEntrypoint"):
        msg = (
            "ClientError: The embedded SageMaker has no container for the image "
            f"{text(application, 'ImageUri')!r}. Give the job a ContainerEntrypoint"
        )
        raise JobFailed(msg)
    resources = section(section(request, "ProcessingResources"), "ClusterConfig")
    limits = section(request, "StoppingCondition")
    with hosts_of(context, host_names(whole(resources, "InstanceCount", 1))) as hosts:
        context.report("Downloading", "Downloading input data")
        for number in range(len(hosts)):
            _prepare(context, hosts, number)
        context.check_stop()
        context.report("Training", "Processing in progress")
        with ContinuousUpload(context, _continuous_folders(context, hosts)) as continuous:
            ended = run_hosts(
                context,
                hosts,
                command,
                lambda host: _environment(context, host),
                directory="/opt/ml/tmp",
                timeout_seconds=whole(limits, "MaxRuntimeInSeconds", 24 * 3600),
            )
        context.report("Uploading", "Uploading outputs")
        outcome = _outcome(hosts, ended)
        try:
            continuous.finish()
            if outcome.status == "Completed":
                _upload(context, hosts)
        except JobFailed as error:
            if outcome.status == "Completed":
                raise
            hosts[0].console.note(str(error))  # why the job itself failed says more
    return outcome


def _prepare(context: Context, hosts: list[Host], number: int) -> None:
    host = hosts[number]
    host.opt_ml.make("config", "output", "processing")
    request = context.job.request
    job = {"ProcessingJobArn": context.arn} | {
        name: value for name, value in request.items() if name not in {"Tags", "ExperimentConfig"}
    }
    resource = {"current_host": host.name, "hosts": [other.name for other in hosts]}
    for name, document in (("processingjobconfig", job), ("resourceconfig", resource)):
        path = host.opt_ml.root / "config" / f"{name}.json"
        path.write_text(json.dumps(document), encoding="utf-8")
    for item in sections(request, "ProcessingInputs"):
        source = _source(item)
        target = host.opt_ml.real(text(section(item, "S3Input"), "LocalPath"))
        download(context, source, target, host=number, hosts=len(hosts))
    for output in _outputs(request):
        host.opt_ml.real(text(output, "LocalPath")).mkdir(parents=True, exist_ok=True)


def _source(item: Document) -> DataSource:
    given = section(item, "S3Input")
    name = text(item, "InputName")
    if not given or text(given, "S3InputMode", "File") != "File":
        msg = (
            f"ClientError: Input {name!r}: the embedded SageMaker offers S3Input with S3InputMode "
            "File only"
        )
        raise JobFailed(msg)
    return DataSource(
        kind=text(given, "S3DataType", "S3Prefix"),
        uri=text(given, "S3Uri"),
        sharded=text(given, "S3DataDistributionType") == "ShardedByS3Key",
        gunzip=text(given, "S3CompressionType") == "Gzip",
    )


def _outputs(request: Document) -> list[Document]:
    outputs = sections(section(request, "ProcessingOutputConfig"), "Outputs")
    for output in outputs:
        if not section(output, "S3Output"):
            msg = (
                f"ClientError: Output {text(output, 'OutputName')!r}: the embedded SageMaker "
                "stores outputs in S3 only; give it an S3Output"
            )
            raise JobFailed(msg)
    return [section(output, "S3Output") for output in outputs]


def _environment(context: Context, host: Host) -> Mapping[str, str]:
    names = {"PROCESSING_JOB_NAME": context.job.name, "PROCESSING_JOB_ARN": context.arn}
    return names | job_environment(
        context, host.opt_ml, mapping(context.job.request, "Environment")
    )


def _outcome(hosts: list[Host], ended: GroupExit) -> Outcome:
    number = ended.failed or 0
    host, status = hosts[number], ended.statuses[number]
    try:
        message = first_text(host.opt_ml.root / "output" / "message")
    except UnicodeDecodeError:
        return Outcome(
            status="Failed", failure_reason="ClientError: /opt/ml/output/message is not UTF-8 text"
        )
    if ended.cause == "timeout":
        reason = "ClientError: The job ran longer than its MaxRuntimeInSeconds"
        return Outcome(status="Stopped", failure_reason=reason, exit_message=message)
    if ended.cause == "stop":
        return Outcome(status="Stopped", exit_message=message)
    if ended.failed is None:
        return Outcome(status="Completed", exit_message=message)
    reason = reason_of(status) or (
        "AlgorithmError: See job logs for more information, "
        f"exit code: {status.code}" + ("" if message else f", last line: {host.console.last_line}")
    )
    reason = reason[:MESSAGE_CHARACTERS]
    return Outcome(status="Failed", failure_reason=reason, exit_message=message)


def _is_continuous(output: Document) -> bool:
    return text(output, "S3UploadMode") == "Continuous"


def _continuous_folders(context: Context, hosts: list[Host]) -> list[tuple[Host, Path, str]]:
    return [
        (host, host.opt_ml.real(text(output, "LocalPath")), text(output, "S3Uri"))
        for output in _outputs(context.job.request)
        if _is_continuous(output)
        for host in hosts
    ]


def _upload(context: Context, hosts: list[Host]) -> None:
    """The outputs that a completed job leaves at its end."""
    for output in _outputs(context.job.request):
        for host in hosts if not _is_continuous(output) else []:
            folder = host.opt_ml.real(text(output, "LocalPath"))
            files = artifacts.collect(folder, host.opt_ml, host.console.note)
            artifacts.upload_files(context.objects, text(output, "S3Uri"), files)
