"""Our connector's service beside Flyte's SageMaker plugin: calls a second of one process each.

Both are served by gRPC, each in a process and an environment of its own, and are asked by the same
client with 32 calls in flight, in turns. The AWS behind them is the embedded one, a server of its
own with its state in memory, where there is room for it: no disk is measured. Our CreateTask
keeps the request, and the first GetTask makes the job; so the two together are what stands beside
the plugin's CreateTask.
"""

from __future__ import annotations

import base64
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.connector_calls import Plan, Report, renamed
from benchmarks.connector_servers import (
    BUCKET,
    ROLE,
    client,
    embedded_aws,
    our_connector,
    plugin_connector,
    plugin_says,
)
from benchmarks.measure import PYTHON, Row, in_memory

if TYPE_CHECKING:
    from benchmarks.connector_servers import Server

ROUNDS = 3
KEPT = 400  # so few are kept before the first one is sent by itself, after 2 s
MADE = 600
GETS = 8_000
RUNNING = 64
PLUGIN_CALLS = 64
_IN_FLIGHT = 32


@dataclass
class _Figures:
    """One entry a round: calls a second, and milliseconds of CPU that the servers spent on each.

    On a machine that has others to serve the first ones sink, and the second ones hardly change.
    """

    rates: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    cpu: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    aws_cpu: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def note(self, what: str, report: Report, seconds: float, aws_seconds: float) -> None:
        self.rates.setdefault(what, []).append(report.per_second)
        self.cpu.setdefault(what, []).append(seconds / report.calls * 1000)
        self.aws_cpu.setdefault(what, []).append(aws_seconds / report.calls * 1000)
        print(
            f"{what}: {report.per_second:.1f} a second, median {report.median_ms:.0f} ms;"
            f" CPU a call: connector {self.cpu[what][-1]:.2f} ms, embedded AWS"
            f" {self.aws_cpu[what][-1]:.2f} ms; {report.phases}",
            file=sys.stderr,
        )

    def median(self, what: str) -> float:
        return statistics.median(self.rates[what])

    def milliseconds(self, what: str) -> str:
        return f"{statistics.median(self.cpu[what]):.3g} ms"

    def row(self, what: str, named: str, theirs: str, reach: str = "") -> Row:
        return Row(
            named,
            f"{self.median(what):.0f} a second; CPU {self.milliseconds(what)}",
            f"Flyte's plugin: {self.median(theirs):.1f} a second; CPU {self.milliseconds(theirs)}",
            f"{self.median(what) / self.median(theirs):.0f} times",
            reach,
        )


def rows() -> list[Row]:
    """Creations and looks, ours and the plugin's in turns."""
    figures = _Figures()
    first = plugin_says("requests", str(PLUGIN_CALLS * ROUNDS), "plugin", BUCKET, ROLE)
    for number in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
            share = first[number * PLUGIN_CALLS : (number + 1) * PLUGIN_CALLS]
            _creations(Path(folder), figures, number, share)
        with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
            _looks(Path(folder), figures, number)
    return [
        figures.row(
            "create",
            f"connector: CreateTask, {_IN_FLIGHT} in flight; the request is kept",
            "plugin create",
        ),
        figures.row(
            "made",
            "connector: jobs made, CreateTask and the first GetTask",
            "plugin create",
            "≥ 30 times",
        ),
        figures.row(
            "get", f"connector: GetTask of {RUNNING} running jobs", "plugin get", "≥ 100 times"
        ),
    ]


def _creations(folder: Path, figures: _Figures, number: int, theirs: list[str]) -> None:
    with embedded_aws(folder, concurrency=1) as aws, our_connector(folder, aws.address) as ours:
        _occupy(aws)
        request = create_request(aws.address)
        _call(ours, "make", [renamed(request, 0, f"warm{number}")])
        kept = [renamed(request, index, f"keep{number}") for index in range(KEPT)]
        made = [renamed(request, index, f"make{number}") for index in range(MADE)]
        _measured(figures, "create", (ours, aws), kept)
        _wait_for_jobs(aws, KEPT + 2)  # kept requests are sent by and by: not beside what follows
        report = _measured(figures, "made", (ours, aws), made)
        _check_jobs(report, "QUEUED", "INITIALIZING", "RUNNING")
        _wait_for_jobs(aws, KEPT + MADE + 2)
    other = folder / "plugin"
    other.mkdir()
    with embedded_aws(other, concurrency=1) as aws, plugin_connector(other, aws.address) as plugin:
        _occupy(aws)
        _measured(figures, "plugin create", (plugin, aws), theirs)
        _wait_for_jobs(aws, PLUGIN_CALLS + 1)


def _looks(folder: Path, figures: _Figures, number: int) -> None:
    with (
        embedded_aws(folder, concurrency=RUNNING) as aws,
        our_connector(folder, aws.address) as ours,
        plugin_connector(folder, aws.address) as plugin,
    ):
        request = create_request(aws.address)
        wanted = [renamed(request, index, f"look{number}") for index in range(RUNNING)]
        metas = _call(ours, "create", wanted).metas
        names = [json.loads(base64.b64decode(meta))["job_names"][0] for meta in metas]
        _wait_until_all_run(ours, metas)
        report = _measured(figures, "get", (ours, aws), metas, calls=GETS)
        _check_jobs(report, "RUNNING")
        plugin_metas = plugin_says("metas", BUCKET, ROLE, *names)
        report = _measured(figures, "plugin get", (plugin, aws), plugin_metas, calls=PLUGIN_CALLS)
        _check_jobs(report, "RUNNING")


def create_request(aws_url: str) -> bytes:
    """A CreateTask request for a job that sleeps, as Propeller would send it."""
    from flyteidl.admin.agent_pb2 import CreateTaskRequest
    from flytekit import FlyteContextManager
    from flytekit.core.type_engine import TypeEngine
    from flytekit.models.task import TaskTemplate

    from benchmarks.training import sleep
    from cdao_sdk.aws.bridge import bridge
    from cdao_sdk.aws.session import AwsClients, embedded_target
    from cdao_sdk.flyte.create_request import execution_metadata, task_template
    from cdao_sdk.flyte.local_run import LocalRun
    from cdao_sdk.flyte.services import Services

    task: Any = sleep
    services = Services(AwsClients(embedded_target(aws_url)), role_arn=ROLE, bucket=BUCKET)
    run = LocalRun("bench", services, "bench", "development")
    template: Any = task_template(task, run.code_uri(task))
    bridge.run(services.clients.close())
    context = FlyteContextManager.current_context()
    types = task.python_interface.inputs
    literals = TypeEngine.dict_to_literal_map(context, {"seconds": 3600.0}, types)
    return CreateTaskRequest(
        template=TaskTemplate.from_flyte_idl(template.to_flyte_idl()).to_flyte_idl(),
        inputs=literals.to_flyte_idl(),
        task_execution_metadata=execution_metadata(run, task.name, node="n0").to_flyte_idl(),
    ).SerializeToString()


def _occupy(aws: Server) -> None:
    """One job runs, and all others wait behind it: their processes would take the cores."""
    client(aws.address, "sagemaker").create_training_job(
        TrainingJobName="occupies",
        RoleArn=ROLE,
        AlgorithmSpecification={
            "TrainingImage": "python",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "-c", "import time; time.sleep(3600)"],
        },
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 86400},
    )


def _measured(
    figures: _Figures,
    what: str,
    servers: tuple[Server, Server],
    requests: list[str],
    calls: int = 0,
) -> Report:
    server, aws = servers
    mode = {"made": "make"}.get(what, what.removeprefix("plugin "))
    before = server.cpu_seconds, aws.cpu_seconds
    report = _call(server, mode, requests, calls)
    figures.note(what, report, server.cpu_seconds - before[0], aws.cpu_seconds - before[1])
    return report


def _call(server: Server, mode: str, requests: list[str], calls: int = 0) -> Report:
    is_plugin = "plugin" in server.log.name
    task_type = "sagemaker-training-job" if is_plugin else "sagemaker_training"
    plan = Plan(server.address, mode, requests, task_type, in_flight=_IN_FLIGHT, calls=calls)
    return ask(plan)


def ask(plan: Plan) -> Report:
    """Run the client in a process of its own."""
    done = subprocess.run(
        [PYTHON, "-m", "benchmarks.connector_calls"],
        input=json.dumps(asdict(plan)).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return Report(**json.loads(done.stdout))


def _check_jobs(report: Report, *phases: str) -> None:
    if wrong := set(report.phases) - set(phases):
        msg = f"jobs are {wrong}, and not {phases}: {report.phases}"
        raise RuntimeError(msg)


def _wait_until_all_run(server: Server, metas: list[str]) -> None:
    deadline = time.monotonic() + 120
    while set(_call(server, "get", metas).phases) != {"RUNNING"}:
        if time.monotonic() > deadline:
            msg = "the jobs do not run"
            raise RuntimeError(msg)
        time.sleep(1)
    time.sleep(2)  # until their processes have begun to sleep


def _wait_for_jobs(aws: Server, number: int) -> None:
    sagemaker = client(aws.address, "sagemaker")
    deadline = time.monotonic() + 120
    while True:
        pages = sagemaker.get_paginator("list_training_jobs").paginate(
            PaginationConfig={"PageSize": 100}
        )
        found = sum(len(page["TrainingJobSummaries"]) for page in pages)
        if found == number:
            return
        if time.monotonic() > deadline or found > number:
            msg = f"there are {found} jobs, not {number}"
            raise RuntimeError(msg)
        time.sleep(0.5)
