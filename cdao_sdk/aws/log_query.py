"""Which log lines of which jobs: read, filtered, and kept in files."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cdao_sdk.aws import logs
from cdao_sdk.aws.calls import UNREACHABLE
from cdao_sdk.aws.log_reader import LogReader
from cdao_sdk.errors import ConfigurationError, ResourcesUnavailable
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from cdao_sdk.aws.logs import LogLine
    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.aws.watch import Job

__all__ = ["LogQuery", "moment_of", "pattern_of", "read_logs", "save_logs"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # CloudWatch has nothing before
_STREAMS_AT_ONCE = 8
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds, between tries that are throttled

T = TypeVar("T")


@dataclass(frozen=True)
class LogQuery:
    """Which lines are wanted.

    Attributes:
        lines: The last so many of each job, of those that fit; None: all.
        since: From this time on; None: from the beginning.
        grep: What a line has to have in it; None: anything.
        host: The host that printed it, such as ``"algo-1"``; None: any.
    """

    lines: int | None = 100
    since: datetime | None = None
    grep: re.Pattern[str] | None = None
    host: str | None = None

    @property
    def last(self) -> int | None:
        """How many of the last lines of a stream are enough; None: all have to be looked at."""
        return None if self.grep or self.since else self.lines

    def wants(self, line: LogLine) -> bool:
        """Whether a line fits."""
        if self.host is not None and line.host != self.host:
            return False
        return self.grep is None or self.grep.search(line.text) is not None


def moment_of(text: str, now: datetime) -> datetime:
    """A time from ``10m`` (ago), ``2h``, ``1d`` or ISO 8601; without a zone it is local.

    Args:
        text: What the user wrote.
        now: The time.

    Raises:
        ConfigurationError: It is neither.

    Example:
        >>> moment_of("1.5h", datetime(2026, 11, 23, 12, tzinfo=timezone.utc)).isoformat()
        '2026-11-23T10:30:00+00:00'
        >>> moment_of("2026-11-23T10:30:00Z", datetime.now(timezone.utc)).isoformat()
        '2026-11-23T10:30:00+00:00'
    """
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago is not None:
            return max(now - timedelta(**{_UNITS[ago[2]]: float(ago[1])}), _EPOCH)
        # Python 3.10 knows no Z.
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
        return max(moment.astimezone(timezone.utc), _EPOCH)
    except (ValueError, OverflowError) as error:
        msg = (
            f"since={text!r} is no time: write how long ago (30s, 10m, 2h, 1d) or ISO 8601, such as"
            " 2026-11-23T10:30:00Z."
        )
        raise ConfigurationError(msg) from error


def pattern_of(text: str) -> re.Pattern[str]:
    """A regular expression that the user wrote.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        return re.compile(text)
    except re.error as error:
        msg = (
            f"grep={text!r} is no regular expression: {error}. To find these very characters write"
            f" '{re.escape(text)}'."
        )
        raise ConfigurationError(msg) from error


async def read_logs(
    clients: AwsClients, jobs: Sequence[Job], query: LogQuery
) -> dict[str, list[LogLine]]:
    """What the jobs have printed so far, by the job's name, each by time.

    Args:
        clients: Where to read.
        jobs: The jobs.
        query: Which lines are wanted.

    Raises:
        SubmissionError: A call was refused.
    """
    reader = LogReader(clients, last=query.last, since=query.since, together=True)
    found: dict[str, list[LogLine]] = {job.name: [] for job in jobs}
    began = datetime.now(timezone.utc)
    is_behind = True
    while is_behind:
        new = await _patiently(lambda: reader.read(jobs))
        for name, lines in new.items():
            found[name] += filter(query.wants, lines)
            if query.lines is not None:
                del found[name][: -query.lines]
        # What a running job prints meanwhile is not waited for.
        oldest = min((lines[0].time for lines in new.values()), default=began)
        is_behind = reader.is_behind and oldest <= began
    return found


async def _patiently(read: Callable[[], Awaitable[T]]) -> T:
    """Read, and again after a while where that was throttled."""
    for pause in _PAUSES:
        try:
            return await read()
        except ResourcesUnavailable as error:
            if error.code == UNREACHABLE:
                raise
            await asyncio.sleep(pause)
    return await read()


async def save_logs(
    clients: AwsClients, jobs: Sequence[Job], folder: Path, query: LogQuery
) -> list[tuple[Path, int]]:
    """Write each log stream into a file of its own, whole or not at all.

    Args:
        clients: Where to read.
        jobs: The jobs.
        folder: ``<folder>/<job>/<host>-<epoch>.log`` are made in it.
        query: Which lines are wanted; how many last ones does not count.

    Returns:
        Each file and its number of lines.

    Raises:
        SubmissionError: A call was refused.
    """
    places = asyncio.Semaphore(_STREAMS_AT_ONCE)

    async def save(job: Job) -> list[tuple[Path, int]]:
        group = KINDS[job.kind].api.log_group
        async with places:
            names = await logs.streams(clients, group, job.name)
            return [await _save(clients, group, name, folder, query) for name in names]

    saved = await asyncio.gather(*map(save, jobs))
    return [file for files in saved for file in files]


async def _save(
    clients: AwsClients, group: str, stream: str, folder: Path, query: LogQuery
) -> tuple[Path, int]:
    job, _, rest = stream.partition("/")
    with _WholeFile(folder / job / f"{rest.replace('/', '-')}.log") as file:
        async for line in _lines(clients, group, stream, query):
            file.write(line)
    return file.path, file.count


class _WholeFile:
    """A file that is there only once all has been written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0

    def __enter__(self) -> _WholeFile:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, self._name = tempfile.mkstemp(dir=self.path.parent, prefix=".", suffix=".tmp")
        self._file = os.fdopen(handle, "w", encoding="utf-8", errors="replace")
        return self

    def write(self, line: LogLine) -> None:
        stamp = line.time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        self._file.write(f"{stamp}Z {line.text}\n")
        self.count += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is not None:
            Path(self._name).unlink()
            return
        Path(self._name).chmod(0o644)
        Path(self._name).replace(self.path)


async def _lines(
    clients: AwsClients, group: str, stream: str, query: LogQuery
) -> AsyncIterator[LogLine]:
    token: str | None = None
    while True:
        read = functools.partial(logs.read_page, clients, group, stream, token, since=query.since)
        page, following = await _patiently(read)
        for line in filter(query.wants, page):
            yield line
        if following is None or following == token:
            return
        token = following
