"""The metrics that a job prints, as series: by ``log_metric``, or found by metric definitions."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from cdao_sdk.kinds.observation import entries, section, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from cdao_sdk.aws.logs import LogLine

__all__ = ["MetricLines", "is_logged"]

# As runtime/runner.py prints it.
_LOGGED = re.compile(
    r"\[cdao:metric\] (?P<name>.+?)=(?P<value>[-+.\de]+|nan|-?inf)(?: step=-?\d+)?\s*$"
)
_MOST_POINTS = 2_000  # of a series; then every second one goes


def is_logged(line: str) -> bool:
    """Whether a line is one of ``log_metric``.

    Example:
        >>> is_logged("[cdao:metric] loss=0.5 step=1"), is_logged("loss=0.5")
        (True, False)
    """
    return "[cdao:metric]" in line


class MetricLines:
    """Collects one job's metrics from its log.

    Args:
        description: The job's description, which has its metric definitions.
    """

    def __init__(self, description: Mapping[str, object]) -> None:
        self._definitions = list(_definitions(description))
        self.series: dict[str, list[tuple[datetime, float]]] = {}

    def add(self, lines: Iterable[LogLine]) -> None:
        """Take note of new lines."""
        for line in lines:
            logged = _LOGGED.search(line.text) if is_logged(line.text) else None
            if logged is not None:
                self._point(logged["name"], line.time, logged["value"])
                continue
            for name, regex in self._definitions:
                match = regex.search(line.text)
                if match is not None and match.lastindex:
                    self._point(name, line.time, match[1])

    @property
    def last(self) -> dict[str, float]:
        """The last value of each."""
        return {name: points[-1][1] for name, points in self.series.items()}

    def _point(self, name: str, time: datetime, value: str) -> None:
        try:
            number = float(value)
        except ValueError:
            return
        if not math.isfinite(number):
            return
        points = self.series.setdefault(name, [])
        points.append((time, number))
        if len(points) > _MOST_POINTS:
            del points[1:-1:2]


def _definitions(description: Mapping[str, object]) -> Iterable[tuple[str, re.Pattern[str]]]:
    for given in entries(section(description, "AlgorithmSpecification"), "MetricDefinitions"):
        try:
            yield text(given, "Name"), re.compile(text(given, "Regex"))
        except re.error:  # SageMaker's engine knows more than ours
            continue
