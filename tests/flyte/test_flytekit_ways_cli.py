"""`pyflyte` on a user's file: it runs here, and what it would register is complete."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path
from typing import Any

import pytest
from flyteidl.admin.launch_plan_pb2 import LaunchPlan
from flyteidl.admin.task_pb2 import TaskSpec
from google.protobuf.json_format import MessageToDict

FLOW = """
from flytekit import CronSchedule, LaunchPlan, Resources, Secret, map_task, task, workflow

@task(
    task_config={
        "platform": "sagemaker", "job_type": "processing", "instance_type": "ml.m5.2xlarge",
        "instance_count": 1, "framework": "scikit-learn", "framework_version": "1.9-0",
    },
    requests=Resources(cpu="2", mem="8Gi"), retries=1, timeout=600,
    secret_requests=[Secret(group="db", key="password")],
)
def double(number: int) -> int:
    return 2 * number

@task(
    task_config={
        "platform": "sagemaker", "job_type": "training", "instance_type": "ml.m5.xlarge",
        "instance_count": 1, "algorithm": "xgboost", "framework_version": "1.7-1",
        "use_spot_instances": True, "max_runtime_seconds": 3600,
    },
    requests=Resources(cpu="4", mem="16Gi"),
)
def train(processed_data_path: str, model_config: dict) -> str:
    ...

@task(
    task_config={
        "platform": "sagemaker", "job_type": "batch_transform", "instance_type": "ml.m5.large",
        "instance_count": 1, "max_payload_mb": 6, "max_concurrent_transforms": 1,
        "strategy": "SingleRecord",
    },
)
def predict(model_path: str, input_data_path: str) -> str:
    ...

@workflow
def flow(numbers: list[int] = [1, 2]) -> list[int]:
    return map_task(double, concurrency=2)(number=numbers)

nightly = LaunchPlan.get_or_create(flow, "nightly", schedule=CronSchedule(schedule="0 3 * * *"))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "cli_flow.py").write_text(textwrap.dedent(FLOW))
    return tmp_path


def pyflyte(project: Path, *arguments: str, **environment: str) -> str:
    command = [str(Path(sys.executable).parent / "pyflyte"), *arguments]
    done = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pyflyte_run_gives_the_result_of_the_jobs(project: Path, embedded: Any) -> None:
    place = {"CDAO_ENDPOINT_URL": embedded.url, "CDAO_DEFAULT_BUCKET": "cdao-tests"}
    said = pyflyte(project, "run", "cli_flow.py", "flow", "--numbers", "[3, 4]", **place)
    assert "[6, 8]" in said.replace("\n", "")


def test_pyflyte_package_holds_complete_templates(project: Path) -> None:
    pyflyte(
        project, "--pkgs", "cli_flow", "package", "--source", ".", "--output", "flow.tgz",
        "--image", "example.com/image:1",
    )  # fmt: skip
    with tarfile.open(project / "flow.tgz") as archive:
        content = {
            member.name: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
            if member.isfile()
        }
    tasks = [TaskSpec.FromString(text) for name, text in content.items() if name.endswith("_1.pb")]
    templates = {spec.template.id.name.rpartition(".")[2]: spec.template for spec in tasks}
    types = {name: template.type for name, template in templates.items()}
    assert (
        types.items()
        >= {
            "double": "sagemaker_processing",
            "train": "sagemaker_training",
            "predict": "sagemaker_transform",
        }.items()
    )
    double = templates["double"]
    custom = MessageToDict(double.custom)
    assert (custom["kind"], custom["spec"]["instance_type"]) == ("processing", "ml.m5.2xlarge")
    assert (double.metadata.retries.retries, double.metadata.timeout.seconds) == (1, 600)
    assert [item.group for item in double.security_context.secrets] == ["db"]
    plans = [
        LaunchPlan.FromString(text) for name, text in content.items() if name.endswith("_3.pb")
    ]
    schedules = {plan.spec.entity_metadata.schedule.cron_schedule.schedule for plan in plans}
    assert "0 3 * * *" in schedules


def test_pyflyte_register_takes_the_file(project: Path) -> None:
    said = pyflyte(
        project, "register", "--dry-run", "--copy", "none", "--version", "v1", "--image",
        "example.com/image:1", "cli_flow.py",
        FLYTE_PLATFORM_URL="localhost:1", FLYTE_PLATFORM_INSECURE="true",
    )  # fmt: skip
    assert "cli_flow.double" in said
    assert "nightly" in said
