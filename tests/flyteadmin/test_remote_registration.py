"""What is registered, and when nothing is."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import cluster_flows as flows
import pytest

import cdao_sdk
from cdao_sdk import SubmissionError
from cdao_sdk.flyte.registered import RegisteredMemory
from cdao_sdk.flyte.serialization import prepare
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from pathlib import Path

    from flyte_double import FlyteDouble


def start() -> Any:
    execution: Any = cdao_sdk.run(flows.numbers)
    execution.cancel()
    return execution


def test_unchanged_code_is_neither_registered_nor_uploaded_again(
    cluster: FlyteDouble, calls_of: Any
) -> None:
    first = calls_of(start)
    assert (first["CreateUploadLocation"], first["CreateTask"]) == (1, 1)
    assert (first["CreateWorkflow"], first["CreateLaunchPlan"]) == (1, 1)
    again = calls_of(start)
    assert again.pop("TerminateExecution") == 1
    assert again == {"CreateExecution": 1}


def test_next_process_remembers_and_another_machine_asks_once(
    cluster: FlyteDouble, calls_of: Any
) -> None:
    version = start().version
    RegisteredMemory._known.clear()  # as in a new process
    assert "GetLaunchPlan" not in calls_of(start)
    RegisteredMemory._known.clear()
    shutil.rmtree(holder.gather().settings.state_path / "registered")
    there = calls_of(start)
    assert there["GetLaunchPlan"] == 1
    assert not {"CreateTask", "CreateUploadLocation", "CreateLaunchPlan"} & set(there)
    assert start().version == version


def test_cluster_that_was_set_up_anew_gets_it_again(cluster: FlyteDouble, calls_of: Any) -> None:
    start()
    database = cluster.database
    for table in (database.tasks, database.workflows, database.launch_plans):
        table.clear()
    assert calls_of(start)["CreateExecution"] == 2
    assert "CreateTask" not in calls_of(start)


def test_version_follows_settings_that_go_into_templates() -> None:
    def version(**settings: object) -> str:
        return prepare([flows.numbers], holder.gather(settings).settings).version

    role = "arn:aws:iam::123456789012:role/Other"
    found = [
        version(),
        version(sagemaker_role=role),
        version(tags={"team": "a"}),
        version(image="a:b"),
    ]
    assert len(set(found)) == 4
    assert version() == found[0]
    assert version(project="other", domain="staging", region="eu-west-1") == found[0]


def test_version_is_the_same_in_another_process(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import cluster_flows as flows\n"
        "from cdao_sdk.flyte.serialization import prepare\n"
        "from cdao_sdk.settings import holder\n"
        "print(prepare([flows.mixed], holder.gather({'image': 'a:b'}).settings).version)"
    )
    folder = str(next(iter(flows.__path__)) if hasattr(flows, "__path__") else flows.__file__)
    done = subprocess.run(
        [sys.executable, "-c", code, folder.rpartition("/")[0]],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    here = prepare([flows.mixed], holder.gather({"image": "a:b"}).settings).version
    assert done.stdout.strip() == here


def test_role_and_tags_of_the_settings_go_into_the_templates(cluster: FlyteDouble) -> None:
    role = "arn:aws:iam::123456789012:role/Mine"
    cdao_sdk.run(flows.numbers, sagemaker_role=role, tags={"team": "risk"}).cancel()
    [task] = cluster.database.tasks.values()
    spec = task.closure.compiled_task.template.custom["spec"]
    assert spec["sagemaker_role"] == role
    assert dict(spec["tags"]) == {"team": "risk"}


def test_version_of_ones_own_holds_one_content(cluster: FlyteDouble) -> None:
    cdao_sdk.run(flows.numbers, version="v1").cancel()
    cdao_sdk.run(flows.numbers, version="v1").cancel()
    with pytest.raises(SubmissionError, match=r"'v1' of task .* other content"):
        cdao_sdk.run(flows.numbers, version="v1", tags={"team": "a"})


def test_archive_holds_modules_and_what_they_import() -> None:
    prepared = prepare([flows.mixed], holder.gather({"image": "a:b"}).settings)
    assert prepared.code is not None
    with tarfile.open(fileobj=io.BytesIO(prepared.code.content)) as archive:
        assert archive.getnames() == ["cluster_flows.py", "cluster_helper.py"]


def test_whole_project_goes_along_when_asked_but_for_what_is_ignored(tmp_path: Path) -> None:
    project = tmp_path / "project"
    files = {
        "whole_flow.py": "from flytekit import task\n@task\ndef one() -> int: return 1\n",
        "data/rates.csv": "1",
        "data/big.bin": "2",
        ".venv/pyvenv.cfg": "",
        ".venv/lib.py": "",
        "env2/pyvenv.cfg": "",
        "env2/lib.py": "",
        ".git/config": "",
        "__pycache__/x.pyc": "",
        ".dockerignore": "data/*.bin\n",
        ".flyteignore": "secret.txt\n",
        "secret.txt": "x",
    }
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    sys.path.insert(0, str(project))
    try:
        import whole_flow  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.remove(str(project))
    settings = holder.gather({"image": "a:b", "copy_style": "all"}).settings
    code = prepare([whole_flow.one], settings).code
    assert code is not None
    with tarfile.open(fileobj=io.BytesIO(code.content)) as archive:
        assert archive.getnames() == [
            ".dockerignore", ".flyteignore", "data/rates.csv", "whole_flow.py",
        ]  # fmt: skip
