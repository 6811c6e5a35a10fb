"""A job's log lines, from CloudWatch Logs or the embedded one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, cast

from cdao_sdk.aws.calls import call
from cdao_sdk.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk.aws.session import AwsClients

_MOST_LINES = 10_000  # of a page, by CloudWatch


@dataclass(frozen=True)
class LogLine:
    """One line that a job has printed.

    Attributes:
        time: When, in UTC.
        host: The host that printed it, such as ``"algo-1"``.
        text: The line, without its end.
        stream: The log stream that it is from.
    """

    time: datetime
    host: str
    text: str
    stream: str = ""


def host_of(stream: str) -> str:
    """The host that writes a log stream.

    Example:
        >>> host_of("my-job/algo-1-1732566000"), host_of("my-job/i-0c1e2-1732566000/data-log")
        ('algo-1', 'i-0c1e2')
    """
    # <job>/<host>-<epoch>; Batch Transform has <job>/<host>-<epoch>/data-log besides.
    return stream.split("/")[1].rsplit("-", 1)[0]


async def streams(clients: AwsClients, log_group: str, job_name: str) -> list[str]:
    """Names of a job's log streams, sorted; empty while it has not printed yet."""
    return await streams_named(clients, log_group, f"{job_name}/")


async def streams_named(clients: AwsClients, log_group: str, prefix: str) -> list[str]:
    """Names of the log streams that begin so, sorted; fifty a call."""
    parameters: dict[str, object] = {"logGroupName": log_group, "logStreamNamePrefix": prefix}
    found: list[str] = []
    while True:
        try:
            answer = await call(clients, "logs", "DescribeLogStreams", parameters)
        except NotFound:
            return []
        page = cast("Sequence[Mapping[str, object]]", answer.get("logStreams", []))
        found += (str(stream["logStreamName"]) for stream in page)
        if not answer.get("nextToken"):
            return sorted(found)
        parameters["nextToken"] = answer["nextToken"]


async def tail(
    clients: AwsClients, log_group: str, job_name: str, lines: int = 100
) -> list[LogLine]:
    """The last lines of a job, oldest first, over all its hosts.

    Args:
        clients: Where to read.
        log_group: The kind's group, such as ``"/aws/sagemaker/TrainingJobs"``.
        job_name: The job.
        lines: How many at the most.
    """
    found: list[LogLine] = []
    for stream in await streams(clients, log_group, job_name):
        page, _ = await read_page(clients, log_group, stream, last=lines)
        found += page
    found.sort(key=lambda line: line.time)
    return found[-lines:]


async def read_page(
    clients: AwsClients,
    log_group: str,
    stream: str,
    token: str | None = None,
    *,
    last: int | None = None,
    since: datetime | None = None,
    patience_seconds: float = 60.0,
) -> tuple[list[LogLine], str | None]:
    """One page of a stream: what follows a token, else its beginning or its end.

    Args:
        clients: Where to read.
        log_group: The kind's group.
        stream: The stream.
        token: What the page before returned.
        last: Without a token: so many of the last lines; None: the first page.
        since: Only lines from this time on.
        patience_seconds: How long the call may wait for its turn.

    Returns:
        The lines, at most 10,000 or 1 MB, and the token of what follows: the same one at the end of
        what there is. A stream that is gone is empty, and its token None.
    """
    parameters: dict[str, object] = {
        "logGroupName": log_group,
        "logStreamName": stream,
        # With a token CloudWatch wants True.
        "startFromHead": bool(token) or last is None,
    }
    if last is not None and not token:
        parameters["limit"] = min(last, _MOST_LINES)
    if token:
        parameters["nextToken"] = token
    if since is not None:
        parameters["startTime"] = int(since.timestamp() * 1000)
    try:
        answer = await call(
            clients, "logs", "GetLogEvents", parameters, at_most_seconds=patience_seconds
        )
    except NotFound:
        return [], None
    host = host_of(stream)
    events = cast("Sequence[Mapping[str, object]]", answer.get("events", []))
    lines = [
        LogLine(
            datetime.fromtimestamp(float(cast("int", event["timestamp"])) / 1000, timezone.utc),
            host,
            str(event["message"]),
            stream,
        )
        for event in events
    ]
    following = answer.get("nextForwardToken")
    return lines, str(following) if following else None
