"""CloudWatch Logs' API, for reading what jobs print."""

from __future__ import annotations

import json
import re
import time
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.job_kinds import ACCOUNT, JOB_KINDS, kind_of_log_group
from cdao_sdk.local.log_streams import LogStream, streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cdao_sdk.local.faults import Rule
    from cdao_sdk.local.log_streams import Event

    Request = Mapping[str, Any]
    Answer = Mapping[str, Any]

_MOST_EVENTS = 10_000
# A page also ends at 1 MB of messages, each counted with 26 bytes more.
_MOST_BYTES = 1 << 20
_EVENT_OVERHEAD = 26
_MOST_STREAMS = 50
_TOKEN = re.compile(r"([fb])/(\d{20})")
_TERM = re.compile(r'([?-]?)(?:"((?:[^"\\]|\\.)*)"|(\S+))')


class CloudWatchLogs:
    """Answers the calls that read logs, from the folders of jobs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._calls: dict[str, Callable[[Request, str], Answer]] = {
            "DescribeLogGroups": self._describe_log_groups,
            "DescribeLogStreams": self._describe_log_streams,
            "GetLogEvents": self._get_log_events,
            "FilterLogEvents": self._filter_log_events,
        }

    def answer(self, operation: str, body: bytes, region: str, _own: Rule | None = None) -> Answer:
        """Answer one call.

        Raises:
            AwsError: what the call is refused for.
        """
        call = self._calls.get(operation)
        if call is None:
            msg = f"The embedded CloudWatch Logs does not offer {operation}."
            raise AwsError(code="UnsupportedOperation", message=msg)
        return call(cast("Request", json.loads(body or b"{}")), region)

    def _describe_log_groups(self, request: Request, region: str) -> Answer:
        prefix = request.get("logGroupNamePrefix", "")
        pattern = request.get("logGroupNamePattern", "").lower()
        groups = [
            {
                "logGroupName": kind.log_group,
                "creationTime": int((self._root / kind.kind).stat().st_mtime * 1000),
                "arn": f"{_group_arn(kind.log_group, region)}:*",
                "logGroupArn": _group_arn(kind.log_group, region),
                "storedBytes": 0,
                "metricFilterCount": 0,
            }
            for kind in JOB_KINDS
            if kind.log_group.startswith(prefix)
            and pattern in kind.log_group.lower()
            and (self._root / kind.kind).is_dir()
        ]
        groups.sort(key=lambda group: str(group["logGroupName"]))
        return {"logGroups": groups}

    def _describe_log_streams(self, request: Request, region: str) -> Answer:
        group, folder = self._group(request)
        described = [
            _described(stream, group, region)
            for stream in streams(folder, request.get("logStreamNamePrefix", ""))
        ]
        by_time = request.get("orderBy") == "LastEventTime"
        described.sort(
            key=lambda one: (one["lastEventTimestamp"] if by_time else 0, one["arn"]),
            reverse=request.get("descending", False),
        )
        start = int(request.get("nextToken") or 0)
        end = start + request.get("limit", _MOST_STREAMS)
        more = {"nextToken": str(end)} if end < len(described) else {}
        return {"logStreams": described[start:end], **more}

    def _get_log_events(self, request: Request, _region: str) -> Answer:
        _, folder = self._group(request)
        stream = _stream(folder, request.get("logStreamName", ""))
        limit = request.get("limit", _MOST_EVENTS)
        token = request.get("nextToken")
        is_forward, position = _position(token) if token else (request.get("startFromHead"), None)
        if is_forward:
            start = position or 0
            found = [*_page(_between(stream.forward(start), request), limit)]
            end = found[-1].end if found else start
        else:
            end = stream.size if position is None else position
            found = [*_page(_between(stream.backward(end), request), limit)][::-1]
            start = found[0].start if found else end
            end = found[-1].end if found else end
        begin = found[0].start if found else start
        return {
            "events": [_told(event) for event in found],
            "nextForwardToken": f"f/{end:020}",
            "nextBackwardToken": f"b/{begin:020}",
        }

    def _filter_log_events(self, request: Request, _region: str) -> Answer:
        _, folder = self._group(request)
        names = request.get("logStreamNames")
        if names:
            chosen = [_stream(folder, name) for name in names]
        else:
            chosen = streams(folder, request.get("logStreamNamePrefix", ""))
        is_wanted = _matcher(request.get("filterPattern", ""))
        found = [
            (event.milliseconds, stream.name, event.start, event)
            for stream in chosen
            for event in _between(stream.forward(0), request)
            if is_wanted(event.message)
        ]
        found.sort(key=lambda one: one[:3])
        start = int(request.get("nextToken") or 0)
        end = start + request.get("limit", _MOST_EVENTS)
        events = [
            {**_told(event), "logStreamName": name, "eventId": f"{name}/{begin}"}
            for _, name, begin, event in found[start:end]
        ]
        more = {"nextToken": str(end)} if end < len(found) else {}
        return {"events": events, "searchedLogStreams": [], **more}

    def _group(self, request: Request) -> tuple[str, Path]:
        """Name and folder of the log group that a request names."""
        name = str(request.get("logGroupName") or request.get("logGroupIdentifier") or "")
        group = name.rpartition(":log-group:")[2]
        kind = kind_of_log_group(group)
        if kind is None or not (self._root / kind.kind).is_dir():
            raise _missing(what="group")
        return group, self._root / kind.kind


def _stream(folder: Path, name: str) -> LogStream:
    found = next((stream for stream in streams(folder, name) if stream.name == name), None)
    if found is None:
        raise _missing(what="stream")
    return found


def _described(stream: LogStream, group: str, region: str) -> dict[str, Any]:
    first, last = stream.first_milliseconds, stream.last_milliseconds()
    return {
        "logStreamName": stream.name,
        "arn": f"{_group_arn(group, region)}:log-stream:{stream.name}",
        "creationTime": first // 1000 * 1000,
        "firstEventTimestamp": first,
        "lastEventTimestamp": last,
        "lastIngestionTime": last,
        "storedBytes": 0,
    }


def _between(events: Iterator[Event], request: Request) -> Iterator[Event]:
    """Events from startTime on (milliseconds), before endTime."""
    start, end = request.get("startTime", 0), request.get("endTime", float("inf"))
    return (event for event in events if start <= event.milliseconds < end)


def _page(events: Iterator[Event], limit: int) -> Iterator[Event]:
    size = 0
    for event in islice(events, limit):
        size += len(event.message.encode()) + _EVENT_OVERHEAD
        if size > _MOST_BYTES:
            return
        yield event


def _told(event: Event) -> dict[str, object]:
    return {
        "timestamp": event.milliseconds,
        "message": event.message,
        "ingestionTime": min(event.milliseconds + 1, int(time.time() * 1000)),
    }


def _position(token: str) -> tuple[bool, int]:
    match = _TOKEN.fullmatch(token)
    if match is None:
        msg = "The specified nextToken is invalid."
        raise AwsError(code="InvalidParameterException", message=msg)
    return match[1] == "f", int(match[2])


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a message matches CloudWatch's plain terms: all, any of `?term`, none of `-term`."""
    if pattern.lstrip()[:1] in {"{", "[", "%"}:
        msg = f"The embedded CloudWatch Logs matches terms only, not {pattern!r}."
        raise AwsError(code="InvalidParameterException", message=msg)
    terms: dict[str, list[str]] = {"": [], "?": [], "-": []}
    for sign, quoted, plain in _TERM.findall(pattern):
        terms[sign].append(quoted.replace('\\"', '"') or plain)
    return lambda message: (
        all(term in message for term in terms[""])
        and not any(term in message for term in terms["-"])
        and (not terms["?"] or any(term in message for term in terms["?"]))
    )


def _group_arn(group: str, region: str) -> str:
    return f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}"


def _missing(*, what: str) -> AwsError:
    msg = f"The specified log {what} does not exist."
    return AwsError(code="ResourceNotFoundException", message=msg)
