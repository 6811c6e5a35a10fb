"""What one host prints: passed on to its log up to a limit, and searched for metrics."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.local.execution.context import JobFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cdao_sdk.local.jobs import LogWriter

LOG_LIMIT_BYTES = 64 << 20  # a host; the beginning is kept
_LONGEST_LINE_BYTES = 1 << 16  # longer ones are searched and quoted in pieces


@dataclass(frozen=True)
class MetricDefinition:
    """A metric's name, and the regular expression whose first group is its value."""

    name: str
    regex: re.Pattern[str]


class Console:
    """Takes a host's output as it comes.

    Args:
        writer: the host's log.
        definitions: metrics to look for in each line.
        limit_bytes: how much of the output is logged; the job goes on without a log after that.
    """

    def __init__(
        self,
        writer: LogWriter,
        definitions: Iterable[MetricDefinition] = (),
        *,
        limit_bytes: int = LOG_LIMIT_BYTES,
    ) -> None:
        self.metrics: dict[str, float] = {}
        self._writer = writer
        self._definitions = list(definitions)
        self._limit = limit_bytes
        self._room = limit_bytes
        self._rest = b""
        self._last_line = b""
        self._midline = False

    @property
    def last_line(self) -> str:
        """The last line with anything in it."""
        return (self._rest.strip() or self._last_line).decode(errors="replace")

    def write(self, data: bytes) -> None:
        """Take a piece of output."""
        if self._room > 0:
            logged = data[: self._room]
            self._writer.write(logged)
            self._midline = not logged.endswith(b"\n")
            self._room -= len(logged)
            if self._room <= 0:
                mebibytes = self._limit / (1 << 20)
                self.note(f"more than {mebibytes:g} MiB of output: the rest of it is not logged")
        block, newline, rest = data.rpartition(b"\n")
        if newline:
            self._search(self._rest + block)
            self._rest = b""
        self._rest += rest
        if len(self._rest) > _LONGEST_LINE_BYTES:
            self._search(self._rest)
            self._rest = b""

    def note(self, line: str) -> None:
        """Add a line of the embedded SageMaker's own."""
        start = "\n" if self._midline else ""
        self._writer.write(f"{start}[embedded SageMaker] {line}\n".encode())
        self._midline = False

    def close(self) -> None:
        """Search what had no end of line; close the log."""
        self._search(self._rest)
        self._writer.close()

    def _search(self, block: bytes) -> None:
        stripped = block.rstrip()
        if stripped:
            self._last_line = stripped[stripped.rfind(b"\n") + 1 :]
        if not self._definitions:
            return
        text = block.decode(errors="replace")
        # Most blocks hold no metric at all: one search of the whole is far faster than by line.
        wanted = [metric for metric in self._definitions if metric.regex.search(text)]
        if not wanted:
            return
        lines = text.splitlines()
        for metric in wanted:
            matches = (metric.regex.search(line) for line in reversed(lines))
            values = (_number(match) for match in matches if match)
            last = next((value for value in values if value is not None), None)
            if last is not None:
                self.metrics[metric.name] = last


def metric_definitions(names_and_regexes: Iterable[tuple[str, str]]) -> list[MetricDefinition]:
    """Compile metric definitions.

    Raises:
        JobFailed: one is not a regular expression, or has no group for the value.
    """
    compiled: list[MetricDefinition] = []
    for name, regex in names_and_regexes:
        try:
            pattern = re.compile(regex, re.MULTILINE)
        except re.error as error:
            msg = f"ClientError: Regex of metric {name!r}: {regex!r}: {error}"
            raise JobFailed(msg) from error
        if not pattern.groups:
            msg = f"ClientError: Regex of metric {name!r} has no group: {regex!r}"
            raise JobFailed(msg)
        compiled.append(MetricDefinition(name, pattern))
    return compiled


def _number(match: re.Match[str]) -> float | None:
    try:
        return float(match[1])
    except (TypeError, ValueError):  # the group took no part, or it is not a number
        return None
