"""The archive, as jobs and as pods import from it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import cdao_sdk
from cdao_sdk.errors import PlanError

if TYPE_CHECKING:
    from pathlib import Path

FLOW = """
from flytekit import task
from cdao_sdk import sagemaker_processing_task, sagemaker_workflow
{imports}

@sagemaker_processing_task(framework="sklearn")
def job(number: int) -> int:
    return number

@task
def pod(number: int) -> int:
    return number

@sagemaker_workflow
def both(number: int) -> int:
    return pod(number=job(number=number))

if __name__ == "__main__":
    import io, tarfile
    from cdao_sdk.flyte.serialization import prepare
    from cdao_sdk.settings import holder
    from flytekit import FlyteContextManager
    prepared = prepare([both], holder.gather({{"image": "a:b"}}).settings)
    with tarfile.open(fileobj=io.BytesIO(prepared.code.content)) as archive:
        print(*archive.getnames())
    for unit in prepared.units(FlyteContextManager.current_context(), "v", "s3://x/code.tar.gz"):
        if unit.kind == "task":
            template = unit.request.spec.template
            print(template.custom["entry"]["module"] if template.custom else
                  template.container.args[-3])
"""


def run_as(tmp_path: Path, imports: str, *command: str) -> list[list[str]]:
    package = tmp_path / "project" / "pack"
    package.mkdir(parents=True)
    for name, text in {
        "__init__.py": "", "flow.py": FLOW.format(imports=imports), "beside.py": "",
    }.items():  # fmt: skip
        (package / name).write_text(text)
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path / "project", capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_file_of_a_package_run_as_a_script_lies_there_under_both_names(tmp_path: Path) -> None:
    files, *modules = run_as(tmp_path, "import beside", "pack/flow.py")
    assert files == ["beside.py", "flow.py", "pack/__init__.py", "pack/flow.py"]
    assert sorted(modules) == [["flow"], ["pack.flow"]]


def test_module_of_a_package_has_one_name(tmp_path: Path) -> None:
    files, *modules = run_as(tmp_path, "from pack import beside", "-m", "pack.flow")
    assert files == ["pack/__init__.py", "pack/beside.py", "pack/flow.py"]
    assert modules == [["pack.flow"], ["pack.flow"]]


# --- notebooks ---

CELLS = (
    "from flytekit import task\nfrom cdao_sdk import sagemaker_processing_task, sagemaker_workflow",
    "FACTOR = 3\ndef times(number): return number * FACTOR",
    "on = {'framework': 'sklearn'}",
    "@sagemaker_processing_task(**on)\ndef job(number: int) -> int:\n    return times(number)",
    "@task\ndef pod(number: int) -> int:\n    return times(number) + 1",
    "@sagemaker_workflow\ndef both(number: int) -> int:\n    return pod(number=job(number=number))",
)


def test_cells_run_on_the_cluster_in_jobs_and_pods(cluster: Any, notebook: Any) -> None:
    cells = notebook(*CELLS)
    execution = cdao_sdk.run(cells["both"], inputs={"number": 2})
    assert execution.wait(timeout=90).outputs == {"o0": 19}


def test_cell_that_changed_is_another_version(cluster: Any, notebook: Any) -> None:
    cells = notebook(*CELLS)
    first: Any = cdao_sdk.run(cells["both"], inputs={"number": 2})
    first.cancel()
    cells = notebook(*CELLS[:1], CELLS[1].replace("3", "4"), *CELLS[2:])
    second: Any = cdao_sdk.run(cells["both"], inputs={"number": 2})
    second.cancel()
    assert first.version != second.version


def test_code_that_has_no_file_is_refused(cluster: Any) -> None:
    values: dict[str, Any] = {"__name__": "no_such_file"}
    exec("def body(number: int) -> int:\n    return number", values)  # noqa: S102
    from cdao_sdk import sagemaker_processing_task

    with pytest.raises((PlanError, cdao_sdk.SpecError, OSError)):
        cdao_sdk.run(
            sagemaker_processing_task(framework="sklearn")(values["body"]), inputs={"number": 1}
        )
