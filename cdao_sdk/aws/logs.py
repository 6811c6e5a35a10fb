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


@dataclass(frozen=True)
class LogLine:
    """One line that a job has printed.

    Attributes:
        time: When, in UTC.
        host: The host that printed it, such as ``"algo-1"``.
        text: The line, without its end.
    """

    time: datetime
    host: str
    text: str


async def streams(clients: AwsClients, log_group: str, job_name: str) -> list[str]:
    """Names of a job's log streams, sorted; empty while it has not printed yet."""
    parameters: dict[str, object] = {
        "logGroupName": log_group,
        "logStreamNamePrefix": f"{job_name}/",
    }
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
        page, _ = await _page(clients, log_group, stream, None, lines, from_head=False)
        found += page
    found.sort(key=lambda line: line.time)
    return found[-lines:]


async def read_on(
    clients: AwsClients, log_group: str, job_name: str, tokens: Mapping[str, str]
) -> tuple[list[LogLine], dict[str, str]]:
    """What has come since the last call.

    Args:
        clients: Where to read.
        log_group: The kind's group.
        job_name: The job.
        tokens: What the last call returned; empty at the first.

    Returns:
        The new lines by time, and the tokens to go on with.
    """
    found: list[LogLine] = []
    new_tokens = dict(tokens)
    for stream in await streams(clients, log_group, job_name):
        token = new_tokens.get(stream)
        while True:
            page, following = await _page(clients, log_group, stream, token, 10_000, from_head=True)
            found += page
            if not following or following == token:
                break
            token = following
        if token:
            new_tokens[stream] = token
    found.sort(key=lambda line: line.time)
    return found, new_tokens


async def _page(
    clients: AwsClients, group: str, stream: str, token: str | None, limit: int, *, from_head: bool
) -> tuple[list[LogLine], str | None]:
    parameters: dict[str, object] = {
        "logGroupName": group,
        "logStreamName": stream,
        "startFromHead": from_head,
        "limit": min(limit, 10_000),
    }
    if token:
        parameters["nextToken"] = token
    try:
        answer = await call(clients, "logs", "GetLogEvents", parameters)
    except NotFound:
        return [], None
    # <job>/<host>-<epoch>; Batch Transform has <job>/<host>-<epoch>/data-log besides.
    host = stream.split("/")[1].rsplit("-", 1)[0]
    events = cast("Sequence[Mapping[str, object]]", answer.get("events", []))
    lines = [
        LogLine(
            datetime.fromtimestamp(float(cast("int", event["timestamp"])) / 1000, timezone.utc),
            host,
            str(event["message"]),
        )
        for event in events
    ]
    following = answer.get("nextForwardToken")
    return lines, str(following) if following else None
