"""``cdao logs``: what jobs print, now and as it comes, on the screen or in files."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import zlib
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click
import rich_click

from cdao_sdk.cli.exit_codes import OUTCOME_CODES, ExitCode
from cdao_sdk.cli.services import connected, on_cluster

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import TextIO

    from cdao_sdk.aws.log_query import LogQuery
    from cdao_sdk.aws.log_reader import LogReader
    from cdao_sdk.aws.logs import LogLine
    from cdao_sdk.aws.watch import Job

__all__ = ["logs"]

_PATIENCE_SECONDS = 30.0  # how long nobody may answer at all
_LONGEST_PAUSE = 30.0
_COLOURS = ("cyan", "yellow", "green", "magenta", "blue")  # not red: that is for what failed


@rich_click.command()
@click.argument("identifier", metavar="JOB_OR_EXECUTION")
@click.option(
    "--lines",
    type=click.IntRange(1, 1_000_000),
    help="How many of the last lines, for each job.  [default: 100; with --since all]",
)
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines until the jobs are over.")
@click.option("--grep", metavar="REGEX", help="Only lines that have this in them.")
@click.option(
    "--since", metavar="TIME", help="Only lines from then on: 30s, 10m, 2h, 1d, ISO 8601."
)
@click.option("--host", metavar="HOST", help="Only lines of this host, such as algo-1.")
@click.option(
    "--download",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write all lines into files instead: FOLDER/JOB/HOST-….log.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def logs(
    identifier: str,
    *,
    lines: int | None,
    follow: bool,
    grep: str | None,
    since: str | None,
    host: str | None,
    download: Path | None,
    as_json: bool,
) -> ExitCode:
    """Show what a job, or each job of an execution, has printed.

    \b
    Lines of several jobs and hosts stand in the order of their times, each
    behind its job's step and its host. Names and ids are those of `cdao jobs`;
    project:domain:id and the URL in Flyte's console will do, too.
    With --follow the exit code tells how the jobs ended, as that of `cdao
    monitor` does.
    \b
    Examples:
      cdao logs a0f3a9d1c0b7e5f60718 --lines 20
      cdao logs a0f3a9d1c0b7e5f60718-n1-fit-dtyxehan-0 --follow
      cdao logs a0f3a9d1c0b7e5f60718 --since 10m --grep 'loss|error'
      cdao logs a0f3a9d1c0b7e5f60718 --download logs/
    """
    from cdao_sdk.aws.bridge import bridge
    from cdao_sdk.aws.log_query import LogQuery, moment_of, pattern_of, read_logs, save_logs
    from cdao_sdk.monitor.interrupts import keyboard_interrupts
    from cdao_sdk.monitor.labels import label_words
    from cdao_sdk.monitor.lookup import job_labels, jobs_named

    if download is not None and (follow or lines is not None):
        msg = "--download writes all lines that there are: leave out --follow and --lines."
        raise click.UsageError(msg)
    start = moment_of(since, datetime.now(timezone.utc)) if since else None
    query = LogQuery(
        lines=lines or (None if start else 100),
        since=start,
        grep=pattern_of(grep) if grep else None,
        host=host,
    )
    if follow:
        with keyboard_interrupts(signal.SIGTERM):
            return _follow(identifier, query, as_json=as_json)
    clients, _ = connected()
    found = bridge.run(jobs_named(clients, identifier))
    if download is not None:
        saved = bridge.run(save_logs(clients, found, download, query))
        return _say_saved(saved, as_json=as_json)
    steps = bridge.run(job_labels(clients, found, identifier))
    printer = _Printer(label_words(steps), as_json=as_json)
    lines_by_job = bridge.run(read_logs(clients, found, query))
    printer.show(found, lines_by_job)
    if not any(lines_by_job.values()):
        click.echo(_why_nothing(query), err=True)
    return ExitCode.SUCCESS


def _why_nothing(query: LogQuery) -> str:
    asked = [
        f"--grep {query.grep.pattern!r}" if query.grep else "",
        f"--since {query.since:%Y-%m-%dT%H:%M:%SZ}" if query.since else "",
        f"--host {query.host!r}" if query.host else "",
    ]
    given = " ".join(filter(None, asked))
    return f"no line fits {given}" if given else "nothing has been printed so far"


def _say_saved(saved: Sequence[tuple[Path, int]], *, as_json: bool) -> ExitCode:
    for path, count in saved:
        click.echo(json.dumps({"file": str(path), "lines": count}) if as_json else str(path))
    if not as_json:
        count = sum(lines for _, lines in saved)
        click.echo(f"{count:,} lines in {len(saved)} files", err=True)
    return ExitCode.SUCCESS


def _follow(identifier: str, query: LogQuery, *, as_json: bool) -> ExitCode:
    """Print what comes, until the execution and its jobs are over."""
    from cdao_sdk.aws.log_reader import LogReader
    from cdao_sdk.monitor.feed import JobFeed

    clients, settings = connected()
    # Between two steps of a workflow no job runs: only Flyte knows whether more will come.
    feed = JobFeed(identifier, clients, settings, remote=on_cluster(identifier))
    reader = LogReader(clients, last=query.last, since=query.since, together=True)
    patience = _Patience(0.3 if clients.target.is_embedded else 2.0)
    first = None if query.last else _LastLines(query)
    snapshot = feed.open()
    while True:
        over = feed.is_over  # asked before the jobs are: whatever it knew of is among them then
        snapshot = feed.snapshot()
        patience.say(snapshot.note)
        jobs = feed.jobs
        words = {row.name: row.label for row in snapshot.jobs}
        # Of an execution more jobs may come: its lines bear their step from the first on.
        is_alone = [job.name for job in jobs] == [identifier]
        printer = _Printer(words, as_json=as_json, is_alone=is_alone)
        new: Mapping[str, Sequence[LogLine]] = patience.read(reader, jobs)
        new = {name: list(filter(query.wants, new[name])) for name in new}
        if first is not None:
            first.add(new)
            if reader.is_behind and first.may_wait:
                continue
            new, first = first.kept, None
        printer.show(jobs, new)
        if over and snapshot.jobs_are_over and all(map(reader.is_done, jobs)):
            return OUTCOME_CODES[snapshot.outcome]
        time.sleep(patience.pause)


class _LastLines:
    """What was printed before the following began: of what fits, so many of the last lines."""

    def __init__(self, query: LogQuery) -> None:
        self._most = query.lines
        self._began = datetime.now(timezone.utc)
        self.kept: dict[str, list[LogLine]] = {}
        self.may_wait = True

    def add(self, new: Mapping[str, Sequence[LogLine]]) -> None:
        # What a running job prints meanwhile is not waited for.
        self.may_wait = (
            min((lines[0].time for lines in new.values() if lines), default=self._began)
            <= self._began
        )
        for name, lines in new.items():
            kept = [*self.kept.get(name, ()), *lines]
            self.kept[name] = kept if self._most is None else kept[-self._most :]


class _Patience:
    """Reads, and waits longer while that is throttled; says so once."""

    def __init__(self, shortest: float) -> None:
        self._shortest = shortest
        self.pause = shortest
        self._said = ""
        self._silent_since: float | None = None

    def say(self, note: str) -> None:
        if note and note != self._said:
            click.echo(note, err=True)
        self._said = note

    def read(self, reader: LogReader, jobs: Sequence[Job]) -> Mapping[str, Sequence[LogLine]]:
        from cdao_sdk.aws.bridge import bridge
        from cdao_sdk.aws.calls import UNREACHABLE
        from cdao_sdk.errors import ResourcesUnavailable

        try:
            new = bridge.run(reader.read(jobs))
        except ResourcesUnavailable as error:
            now = time.monotonic()
            self._silent_since = self._silent_since or now
            if error.code == UNREACHABLE and now - self._silent_since > _PATIENCE_SECONDS:
                raise
            self.pause = min(self.pause * 2, _LONGEST_PAUSE)
            self.say(f"asked to wait: {error}")
            return {}
        self.pause, self._silent_since = self._shortest, None
        return new


class _Printer:
    """Writes log lines; several jobs or hosts are told apart.

    Args:
        words: A short name of each job by its name.
        as_json: Whether to write JSON.
        is_alone: Whether no other job can come; None: there is none beside these.
    """

    def __init__(
        self, words: Mapping[str, str], *, as_json: bool, is_alone: bool | None = None
    ) -> None:
        from cdao_sdk.monitor.json_lines import json_text
        from cdao_sdk.monitor.wording import printable

        self._json_text, self._printable = json_text, printable
        self._words = words
        self._as_json = as_json
        self._is_alone = len(words) == 1 if is_alone is None else is_alone
        self._colours = _colours(words) if _has_colours(sys.stdout) else {}

    def show(self, jobs: Sequence[Job], lines: Mapping[str, Sequence[LogLine]]) -> None:
        """Write lines of these jobs, in the order of their times."""
        hosts = {job.name for job in jobs if job.seen.instance_count > 1}
        in_order = sorted(
            ((line, name) for name, found in lines.items() for line in found),
            key=lambda each: each[0].time,
        )
        for line, name in in_order:
            click.echo(self._json(line, name) if self._as_json else self._text(line, name, hosts))
        sys.stdout.flush()

    def _text(self, line: LogLine, name: str, hosts: Collection[str]) -> str:
        parts = [] if self._is_alone else [self._words.get(name, name)]
        if name in hosts or "/data-log" in line.stream:
            parts.append(line.host)
        text = self._printable(line.text)
        if not parts:
            return text
        label = f"{' '.join(parts)} |"
        colour = self._colours.get(name)
        return f"{click.style(label, fg=colour) if colour else label} {text}"

    def _json(self, line: LogLine, name: str) -> str:
        document = {
            "time": line.time.isoformat(),
            "job": name,
            "step": self._words.get(name, name),
            "host": line.host,
            "text": line.text,
        }
        return self._json_text(document, sys.stdout.encoding)


def _has_colours(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _colours(words: Mapping[str, str]) -> dict[str, str]:
    """A colour for each job: that of its step, which stays as other jobs come."""
    return {
        name: _COLOURS[zlib.crc32(word.encode()) % len(_COLOURS)] for name, word in words.items()
    }
