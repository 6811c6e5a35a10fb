"""The notebooks run from top to bottom, and are stored as they are to be read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MACHINE = re.compile(r"(?<!/opt/ml)/(?:tmp|home|root|work|Users)/|ipykernel|0x[0-9a-f]{8,}")

pytestmark = [pytest.mark.xdist_group("jupyter"), pytest.mark.timeout(180)]


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def html(notebook: Any) -> str:
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "".join(output.get("data", {}).get("text/html", "") for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_ends_as_it_is_stored(path: Path, tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "run_notebooks.py")]
    done = subprocess.run(
        [*script, path.stem, "--to", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    stored, run = read(path), read(tmp_path / path.name)
    assert [cell.source for cell in run.cells] == [cell.source for cell in stored.cells]
    kinds = [[output.output_type for output in cell.outputs] for cell in code_cells(run)]
    assert kinds == [[o.output_type for o in cell.outputs] for cell in code_cells(stored)]
    ends = re.compile(r"SUCCEEDED|FAILED|ABORTED")
    assert ends.findall(html(run)) == ends.findall(html(stored)) != []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_with_outputs_for_any_reader(path: Path) -> None:
    notebook = read(path)
    text = path.read_text()
    assert not MACHINE.search(text), MACHINE.search(text)
    assert "widget-view" not in text  # it would hide the HTML
    assert "widgets" not in notebook.metadata
    assert not {"<style", "<svg", "<script"} & {part.lower() for part in re.findall(r"<\w+", text)}
    assert any(cell.outputs for cell in code_cells(notebook))
    assert all(cell.execution_count for cell in code_cells(notebook))
    assert all(cell.metadata == {} for cell in notebook.cells)


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS][:1] == ["01_quickstart"]
