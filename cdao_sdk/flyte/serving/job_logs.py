"""A job's log in pages, the newest page first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cdao_sdk.aws import logs
from cdao_sdk.flyte.serving.statuses import BadRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdao_sdk.aws.logs import LogLine
    from cdao_sdk.aws.session import AwsClients

__all__ = ["log_page"]

_DEFAULT_LINES = 100
_MOST_LINES = 1_000
# CloudWatch gives 10,000 lines of a stream at a time; who wants more reads them there.
_FURTHEST_LINES = 10_000
_TOKEN = re.compile(r"(\d{1,13})-(\d{1,5})")


async def log_page(
    clients: AwsClients, log_group: str, job_name: str, *, lines: int, token: str
) -> tuple[Sequence[LogLine], str]:
    """One page of a job's log, oldest line first.

    Args:
        clients: Where to read.
        log_group: The kind's log group.
        job_name: The job.
        lines: Lines of a page; 0: 100; 1,000 at most.
        token: What the page before returned; empty: the last lines.

    Returns:
        The lines, and the token of the page before them in time; empty if there is none.

    Raises:
        BadRequest: The token is not one of ours.
    """
    newest, given = _position(token)
    size = min(lines or _DEFAULT_LINES, _MOST_LINES)
    wanted = min(given + size + 1, _FURTHEST_LINES)
    found = await logs.tail(clients, log_group, job_name, wanted if not token else _FURTHEST_LINES)
    if newest is None:
        newest = _milliseconds(found[-1]) if found else 0
    # What has come since the first page would shift all later ones.
    found = [line for line in found if _milliseconds(line) <= newest]
    end = max(0, len(found) - given)
    start = max(0, end - size)
    return found[start:end], f"{newest}-{given + size}" if start > 0 else ""


def _position(token: str) -> tuple[int | None, int]:
    if not token:
        return None, 0
    match = _TOKEN.fullmatch(token)
    if match is None:
        msg = f"The token {token!r:.60} is not one that GetTaskLogs gave."
        raise BadRequest(msg)
    return int(match[1]), min(int(match[2]), _FURTHEST_LINES)


def _milliseconds(line: LogLine) -> int:
    return int(line.time.timestamp() * 1000)
