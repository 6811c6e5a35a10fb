"""A table in a notebook, painted from a thread: the cell returns at once."""

from __future__ import annotations

import html
import sys
import uuid
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from cdao_sdk.monitor import wording
from cdao_sdk.monitor.plain import summary_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.monitor.snapshot import JobRow, Snapshot

__all__ = ["NotebookView", "has_kernel", "snapshot_html"]

# Signs instead of CSS: they survive in a saved notebook, wherever it is shown.
_SIGNS = {"waiting": "⏳", "running": "🔵", "succeeded": "✅", "failed": "❌", "stopped": "⏹️"}
_HEAD = ("Job", "Kind", "Status", "Time", "Instance", "Metrics", "Artifact")


class _Display(Protocol):
    def __call__(
        self, bundle: Mapping[str, str], *, raw: bool, display_id: str, update: bool
    ) -> object: ...


def has_kernel() -> bool:
    """Whether this process is a notebook's kernel; never imports IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def snapshot_html(snapshot: Snapshot) -> str:
    """A snapshot as static HTML."""
    head = "".join(f"<th>{title}</th>" for title in _HEAD)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in snapshot.jobs)
    title = f"<b>{html.escape(snapshot.title)}</b> {html.escape(snapshot.status)}"
    failures = [row for row in snapshot.jobs if row.error and not snapshot.tells_of(row)]
    texts = [f"{row.name}: {row.error}" for row in failures] + [snapshot.error, snapshot.note]
    notes = "".join(f"<pre>{html.escape(text)}</pre>" for text in texts if text)
    return f"<div>{title}<table><tr>{head}</tr>{body}</table>{notes}</div>"


def _cells(row: JobRow) -> str:
    cells = (
        row.label,
        row.kind_title,
        f"{_SIGNS[row.state]} {row.status_words}",
        wording.duration(row.elapsed_seconds),
        wording.instances(row.instance_type, row.instance_count),
        wording.metric_list(row.metrics),
        row.artifact,
    )
    return "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)


class NotebookView:
    """One output of a cell, replaced at each change; made in the cell's own thread."""

    shows_logs = False

    def __init__(self) -> None:
        self._display = cast("_Display", import_module("IPython.display").display)
        self._id = f"cdao-{uuid.uuid4().hex}"
        self._is_shown = False

    def paint(self, snapshot: Snapshot) -> None:
        """Replace what is shown."""
        bundle = {
            "text/html": snapshot_html(snapshot),
            "text/plain": "\n".join([snapshot.title, *summary_lines(snapshot)]),
        }
        self._display(bundle, raw=True, display_id=self._id, update=self._is_shown)
        self._is_shown = True

    def finish(self, snapshot: Snapshot) -> None:
        """Nothing comes after the last state."""

    def close(self) -> None:
        """Nothing is held open."""
