"""Run the notebooks on the embedded SageMaker, and store them as they are to be read.

    uv run scripts/run_notebooks.py                      # all, in place
    uv run scripts/run_notebooks.py --to folder 01_quickstart

Each runs in a process, folders and settings of its own. What differs from machine to machine is not
stored: paths, times of execution, versions of the kernel. Exit code 1 says that a cell failed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
_FOREIGN = ("AWS_", "CDAO_", "FLYTE", "FLYTECTL_", "JUPYTER")
_LONG_REPR = re.compile(r"\w+\(.{300}", re.DOTALL)
_WIDGET = "application/vnd.jupyter.widget-view+json"


def run(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook from top to bottom.

    Args:
        path: The notebook.
        folder: An empty folder, for everything that it writes.

    Raises:
        CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    work = folder / "work"
    work.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    environment = {
        **kept,
        "CDAO_STATE_DIR": str(folder / "state"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "PYTHONPATH": str(NOTEBOOKS.parent),
        "PYTHONWARNINGS": "ignore",
    }
    client = NotebookClient(
        notebook,
        timeout=180,
        kernel_name="python3",
        resources={"metadata": {"path": str(work)}},
        store_widget_state=False,  # it would hide the HTML in nbconvert's pages
        record_timing=False,
    )
    client.execute(env=environment)
    return notebook


def cleaned(notebook: nbformat.NotebookNode, folders: Mapping[str, str]) -> nbformat.NotebookNode:
    """Without what differs from machine to machine.

    Args:
        notebook: As it was run; it is changed.
        folders: Path → what is written instead of it.
    """
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for number, cell in enumerate(notebook.cells, 1):
        cell.metadata = nbformat.from_dict({})
        cell.id = f"cell-{number:02}"
        if cell.cell_type == "code":
            cell.outputs = [_output(each, folders) for each in cell.outputs]
    return notebook


def _output(output: Any, folders: Mapping[str, str]) -> Any:
    output.pop("metadata", None)
    if output.output_type != "stream":
        output["metadata"] = {}
    if "text" in output:
        output["text"] = _text(output["text"], folders)
    if "data" in output:
        output.data.pop(_WIDGET, None)
        for kind, value in output.data.items():
            if isinstance(value, str):
                output.data[kind] = _text(value, folders)
        plain = output.data.get("text/plain", "")
        if "text/html" in output.data and _LONG_REPR.match(plain):
            output.data["text/plain"] = plain.partition("(")[0]
    return output


def _text(text: str, folders: Mapping[str, str]) -> str:
    for path in sorted(folders, key=len, reverse=True):
        text = text.replace(path, folders[path])
    text = re.sub(r"(/opt/ml/tmp/)cdao-\d+-\d+/", r"\1", text)  # the process's number
    return re.sub(r"/tmp/[\w./-]*?ipykernel_\d+/\d+\.py", "<cell>", text)  # noqa: S108 # what a kernel calls its cells


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and store; the number of the notebooks that failed is told by the exit code."""
    parser = argparse.ArgumentParser(description="Run the notebooks, and store them.")
    parser.add_argument("names", nargs="*", help="such as 01_quickstart; all if none is named")
    parser.add_argument("--to", type=Path, default=NOTEBOOKS, help="where to store them")
    chosen = parser.parse_args(arguments)
    paths = [
        path
        for path in sorted(NOTEBOOKS.glob("*.ipynb"))
        if not chosen.names or path.stem in chosen.names
    ]
    failed = 0
    for path in paths:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="cdao-notebook-") as folder:
            try:
                notebook = run(path, Path(folder))
            except CellExecutionError as error:
                sys.stderr.write(f"{path.name}: {error.ename}: {error.evalue}\n{error}\n")
                failed += 1
                continue
            folders = {
                str(Path(folder) / "work"): ".",
                str(Path(folder) / "state"): "~/.cdao/local",
                folder: ".",
                str(NOTEBOOKS.parent): ".",
                sys.prefix: "<environment>",
                str(Path.home()): "~",
            }
            nbformat.write(cleaned(notebook, folders), chosen.to / path.name)
        sys.stdout.write(f"{path.name}: {time.monotonic() - began:.1f} s\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
