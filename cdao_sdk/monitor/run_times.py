"""How long jobs took that went well: what the next run of the same step may be expected to take."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdao_sdk.kinds.job import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cdao_sdk.aws.watch import Job
    from cdao_sdk.monitor.labels import JobLabel

__all__ = ["RunTimes"]

_MOST_RUNS = 20  # of a step
_MOST_STEPS = 500
_ELEMENT = re.compile(r"-d?n\d+$")


class RunTimes:
    """Seconds that the runs of each step took, kept on disk from one execution to the next.

    Args:
        path: Their file; it need not be there.
        workflow: The workflow's name; empty if it is unknown: nothing is kept then.
    """

    def __init__(self, path: Path, workflow: str = "") -> None:
        self._path = path
        self._workflow = workflow
        self._before = _read(path)
        self._now: dict[str, dict[str, float]] = {}

    def note(self, jobs: Iterable[Job], labels: dict[str, JobLabel]) -> None:
        """Take note of jobs that succeeded."""
        for job in jobs:
            ended = job.seen.ended
            if job.seen.phase is Phase.SUCCEEDED and ended is not None:
                runs = self._now.setdefault(self._step(job, labels), {})
                runs[job.name] = (ended - job.created).total_seconds()

    def of(self, job: Job, labels: dict[str, JobLabel]) -> Sequence[float]:
        """How long the same step took: in this execution, else in earlier ones."""
        step = self._step(job, labels)
        runs = self._now.get(step)
        if not runs and job.is_described:
            runs = self._before.get(self._kept_step(step, job))
        return list(runs.values()) if runs else ()

    def keep(self, jobs: Iterable[Job], labels: dict[str, JobLabel]) -> None:
        """Write down the runs of this execution, for later ones; best effort."""
        if not self._workflow or not self._now:
            return
        kept = _read(self._path)
        for job in jobs:
            step = self._step(job, labels)
            seconds = self._now.get(step, {}).get(job.name)
            if seconds is not None and job.is_described:
                runs = kept.setdefault(self._kept_step(step, job), {})
                runs[job.name] = seconds
        newest = {
            step: dict(list(runs.items())[-_MOST_RUNS:])
            for step, runs in list(kept.items())[-_MOST_STEPS:]
        }
        if newest != self._before:
            _write(self._path, newest)

    def _step(self, job: Job, labels: dict[str, JobLabel]) -> str:
        label = labels.get(job.name)
        node = _ELEMENT.sub("", label.node) if label else ""
        return f"{job.kind} {node or job.name} {label.task if label else ''}"

    def _kept_step(self, step: str, job: Job) -> str:
        seen = job.seen
        return f"{self._workflow} {step} {seen.instance_type} x{seen.instance_count}"


def _read(path: Path) -> dict[str, dict[str, float]]:
    try:
        read: Any = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(step): {str(name): float(seconds) for name, seconds in runs.items()}
            for step, runs in read.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _write(path: Path, runs: dict[str, dict[str, float]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(runs, file)
        Path(name).replace(path)
    except OSError:  # a view does without
        return
