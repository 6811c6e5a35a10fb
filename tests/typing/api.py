"""What a type checker knows of the public names; pyright reads this file, nothing runs it."""

# pyright: reportUnusedFunction=false
# A mistake that a checker no longer finds is an error here:
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from typing_extensions import assert_type

import cdao_sdk
from cdao_sdk import (
    Channel,
    Execution,
    Report,
    configure,
    configure_sagemaker,
    current_job,
    get_execution,
    monitor_sagemaker_jobs,
    report_sagemaker_jobs,
    run,
    sagemaker_batch_transform_task,
    sagemaker_processing,
    sagemaker_processing_task,
    sagemaker_task,
    sagemaker_training_task,
    sagemaker_workflow,
)
from cdao_sdk.aws.logs import LogLine
from cdao_sdk.aws.watch import Job
from cdao_sdk.execution_record import ExecutionRecord, ExecutionStatus
from cdao_sdk.flyte.node_tree import NodeExecution
from cdao_sdk.settings import Settings

# Tasks: both forms keep parameters and return type.


@sagemaker_processing_task
def bare(text: str, times: int = 1) -> list[str]:
    return [text] * times


@sagemaker_processing_task(
    instance_type="ml.m5.large", framework="sklearn", retries=2, tags={"team": "risk"}
)
def with_options(text: str, *, times: int = 1) -> list[str]:
    return [text] * times


@sagemaker_processing
def short_name(number: int) -> float:
    return number / 2


@sagemaker_training_task(
    framework="pytorch",
    use_spot_instances=True,
    hyperparameters={"depth": 6},
    metric_definitions={"auc": "auc=(.*)"},
    input_mode="FastFile",
)
def train(data: str, depth: int = 6) -> tuple[str, float]:
    return data, depth / 2


@sagemaker_batch_transform_task(strategy="SingleRecord", split_type="Line")
def transform(model_path: str, input_data_path: str) -> str: ...


@sagemaker_task(job_type="processing", framework="sklearn")
def by_name(number: int) -> int:
    return number


def tasks_keep_their_types() -> None:
    assert_type(bare("a", times=2), list[str])
    assert_type(with_options("a", times=2), list[str])
    assert_type(short_name(1), float)
    assert_type(train(data="s3://b/k"), tuple[str, float])
    assert_type(transform("s3://b/m", "s3://b/i"), str)
    assert_type(by_name(number=3), int)
    assert_type(bare.name, str)
    assert_type(bare.task_function("a", 2), list[str])
    assert_type(train.task_function(data="x", depth=3), tuple[str, float])
    bare(1)  # pyright: ignore[reportArgumentType]
    bare("a", time=2)  # pyright: ignore[reportCallIssue]
    with_options("a", 2)  # pyright: ignore[reportCallIssue]
    train.task_function()  # pyright: ignore[reportCallIssue]
    sagemaker_processing_task(instance_typ="x")  # pyright: ignore[reportCallIssue]
    sagemaker_training_task(input_mode="Fifo")  # pyright: ignore[reportArgumentType]
    sagemaker_training_task(instance_groups=[{"name": "a", "instance_type": "ml.m5.large"}])
    sagemaker_training_task(distribution="horovod")  # pyright: ignore[reportArgumentType]
    sagemaker_training_task(experiment={"name": "x"})  # pyright: ignore[reportArgumentType]


# Workflows.


@sagemaker_workflow
def pipeline(text: str, times: int = 1) -> list[str]:
    return bare(text, times)


@sagemaker_workflow(interruptible=True)
def outer(text: str) -> list[str]:
    return pipeline(text=text)


def workflows_keep_their_types() -> None:
    assert_type(pipeline("a", times=2), list[str])
    assert_type(outer("a"), list[str])
    assert_type(pipeline.name, str)
    pipeline(1)  # pyright: ignore[reportArgumentType]


# run() and what it gives.


def run_takes_workflows_and_tasks() -> None:
    execution = run(pipeline, inputs={"text": "a"})
    assert_type(execution, Execution)
    assert_type(run(bare, inputs={"text": "a"}), Execution)
    assert_type(run(train), Execution)
    run(outer, {"text": "a"}, project="ml")
    run("pipeline")  # pyright: ignore[reportArgumentType]


def execution_has_its_members(execution: Execution) -> None:
    assert_type(execution.id, str)
    assert_type(execution.status, ExecutionStatus)
    assert_type(execution.status.is_over, bool)
    assert_type(execution.error, Exception | None)
    assert_type(execution.outputs, dict[str, object])
    assert_type(execution.wait(timeout=60.0), Execution)
    assert_type(execution.jobs(), list[Job])
    assert_type(execution.logs("job", lines=10), list[LogLine])
    execution.cancel()
    execution.monitor()
    assert_type(execution.url, str)
    assert_type(execution.nodes, tuple[NodeExecution, ...])
    assert_type(execution.nodes[0].attempts[0].logs[0].uri, str)
    assert_type(execution.recover(), Execution)
    assert_type(execution.relaunch(overwrite_cache=True), Execution)
    assert_type(get_execution(execution.id), ExecutionRecord | Execution)
    monitor_sagemaker_jobs(execution.id)
    assert_type(execution.report("report.html"), Report)
    assert_type(report_sagemaker_jobs(execution.id), Report)
    assert_type(execution.report().save("folder/"), Path)
    assert_type(execution.report().html, str)


# Inside a job.


def current_job_has_its_members() -> None:
    job = current_job()
    assert_type(job.name, str)
    assert_type(job.kind, str)
    assert_type(job.execution, str)
    assert_type(job.node, str)
    assert_type(job.attempt, int)
    assert_type(job.hosts, Sequence[str])
    assert_type(job.current_host, str)
    assert_type(job.rank, int)
    assert_type(job.is_lead, bool)
    assert_type(job.instance_type, str)
    assert_type(job.inputs, Mapping[str, str])
    assert_type(job.input_dir("train"), str)
    assert_type(job.model_dir, str)
    assert_type(job.output_dir, str)
    assert_type(job.checkpoint_dir, str)
    assert_type(job.hyperparameters, Mapping[str, str])
    assert_type(job.num_cpus, int)
    assert_type(job.num_gpus, int)
    job.log_metric("auc", 0.78, step=3)
    job.name = "other"  # pyright: ignore[reportAttributeAccessIssue]


# Settings.


def configure_takes_every_setting_by_its_name() -> None:
    settings = configure(
        admin_endpoint=None,
        insecure=False,
        project="ml",
        domain="development",
        sagemaker_role=None,
        default_bucket="bucket",
        region="eu-west-1",
        sagemaker_backend="embedded",
        endpoint_url=None,
        state_dir="~/.cdao/local",
        local_concurrency=2,
        poll_interval_seconds=1.5,
        ui="plain",
        tags={"team": "risk"},
        assume_role="arn:aws:iam::123456789012:role/cdao",
        external_id="cdao-1",
        accounts={"ml-prod/production": {"role_arn": "arn:aws:iam::210987654321:role/cdao"}},
        status_interval_seconds=None,
        status_longest_interval_seconds=30,
        status_sweep_seconds=300,
        events_queue_url=None,
        api_rates={"CreateTrainingJob": 2.5, "GetLogEvents": None},
    )
    assert_type(settings, Settings)
    assert_type(settings.project, str)
    assert_type(settings.sagemaker_role, str | None)
    assert_type(settings.sagemaker_backend, Literal["embedded", "aws"])
    assert_type(settings.jobs_at_once, int)
    assert_type(configure_sagemaker("arn", "bucket", region="eu-west-1"), Settings)
    configure(ui="curses")  # pyright: ignore[reportArgumentType]
    configure(regoin="eu-west-1")  # pyright: ignore[reportCallIssue]
    configure_sagemaker()  # pyright: ignore[reportCallIssue]


# Names and errors.


def other_names() -> None:
    assert_type(cdao_sdk.__version__, str)
    assert_type(Channel("train"), Channel)
    try:
        run(pipeline)
    except cdao_sdk.JobFailed as error:
        assert_type(error.job_name, str)
        assert_type(error.log_tail, tuple[str, ...])
    except cdao_sdk.SubmissionError as error:
        assert_type(error.code, str)
    except cdao_sdk.CdaoError as error:
        assert_type(error.problems, tuple[str, ...])
