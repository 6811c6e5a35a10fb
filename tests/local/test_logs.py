"""Logs of jobs, read over HTTP as from CloudWatch."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from cdao_sdk.local.log_streams import LogStream
from cdao_sdk.local.logs import MAX_EVENT_BYTES, LogFile, LogFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., dict[str, Any]]
    Ended = Callable[..., dict[str, Any]]

GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture
def stream(server: Any, logs: Any, state_dir: Path) -> str:
    """A log of 25 lines, `line 0` to `line 24`."""
    job = state_dir / "sagemaker" / "training" / "job"
    job.mkdir(parents=True)
    log = LogFolder(job / "logs").open("algo-1")
    for number in range(25):
        log.write(f"line {number}\n".encode())
    log.close()
    found = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="job/")["logStreams"]
    return str(found[0]["logStreamName"])


def _messages(answer: Any) -> list[str]:
    return [event["message"] for event in answer["events"]]


def test_a_job_s_output_is_a_stream(
    sagemaker: Any, logs: Any, training: Make, ended: Ended
) -> None:
    code = "import sys; print('out'); print('ärger', file=sys.stderr); print('no end', end='')"
    sagemaker.create_training_job(**training("job", code))
    ended(sagemaker, "job")

    assert GROUP in [one["logGroupName"] for one in logs.describe_log_groups()["logGroups"]]
    streams = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="job/")
    name = streams["logStreams"][0]["logStreamName"]
    assert re.fullmatch(r"job/algo-1-\d{10}", name)
    events = logs.get_log_events(logGroupName=GROUP, logStreamName=name, startFromHead=True)
    assert {"out", "ärger", "no end"} <= set(_messages(events))


def test_a_stream_comes_with_its_first_line_and_keeps_its_name(
    server: Any, logs: Any, state_dir: Path
) -> None:
    job = state_dir / "sagemaker" / "training" / "late"
    job.mkdir(parents=True)
    log = LogFolder(job / "logs").open("algo-1")
    where = {"logGroupName": GROUP, "logStreamNamePrefix": "late/"}
    log.write(b"half")
    os.utime(job / "logs" / "algo-1.log", (0, 0))  # opened long before
    assert logs.describe_log_streams(**where)["logStreams"] == []
    log.write(b" and half\n")
    (first,) = logs.describe_log_streams(**where)["logStreams"]
    log.write(b"more\n")
    log.close()
    (then,) = logs.describe_log_streams(**where)["logStreams"]
    assert first["logStreamName"] == then["logStreamName"]
    assert then["firstEventTimestamp"] == first["firstEventTimestamp"]


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_reading_forward_gives_every_line_once(logs: Any, stream: str, limit: int) -> None:
    where = {"logGroupName": GROUP, "logStreamName": stream, "limit": limit}
    answer = logs.get_log_events(**where, startFromHead=True)
    found = _messages(answer)
    while True:
        token = answer["nextForwardToken"]
        answer = logs.get_log_events(**where, nextToken=token)
        found += _messages(answer)
        if answer["nextForwardToken"] == token:
            break
    assert found == [f"line {number}" for number in range(25)]


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_reading_backward_gives_every_line_once(logs: Any, stream: str, limit: int) -> None:
    where = {"logGroupName": GROUP, "logStreamName": stream, "limit": limit}
    answer = logs.get_log_events(**where)
    found = _messages(answer)
    while True:
        token = answer["nextBackwardToken"]
        answer = logs.get_log_events(**where, nextToken=token)
        found = _messages(answer) + found
        if answer["nextBackwardToken"] == token:
            break
    assert found == [f"line {number}" for number in range(25)]


def test_a_forward_token_goes_on_with_what_is_printed_later(
    logs: Any, stream: str, state_dir: Path
) -> None:
    where = {"logGroupName": GROUP, "logStreamName": stream}
    token = logs.get_log_events(**where, startFromHead=True)["nextForwardToken"]
    log = LogFolder(state_dir / "sagemaker/training/job/logs").open("algo-1")
    log.write(b"half")
    assert _messages(logs.get_log_events(**where, nextToken=token)) == []
    log.write(b" and half\n")
    assert _messages(logs.get_log_events(**where, nextToken=token)) == ["half and half"]
    log.close()


def test_a_progress_bar_is_one_line_whichever_way_it_is_read(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "host.log")
    log.write(b"first\n0%\r50%\r100%\r\n\x0b\x0c\x1c\n\nlast\n")
    log.close()
    stream = LogStream("job", tmp_path / "host.log", 0)
    forward = [*stream.forward(0)]
    assert [event.message for event in forward][1] == "0%\r50%\r100%"
    assert [*stream.backward(stream.size)] == forward[::-1]


def test_filtering_matches_terms(logs: Any, stream: str) -> None:
    def found(pattern: str, **request: Any) -> list[str]:
        return _messages(
            logs.filter_log_events(logGroupName=GROUP, filterPattern=pattern, **request)
        )

    assert found('"line 24"') == ["line 24"]
    assert len(found("line -2")) == 18
    assert found("?23 ?24") == ["line 23", "line 24"]
    assert found("line", limit=2, logStreamNames=[stream]) == ["line 0", "line 1"]
    assert found("line", startTime=0, endTime=1) == []
    with pytest.raises(ClientError, match="InvalidParameterException"):
        found("{ $.a = 1 }")
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=GROUP, PaginationConfig={"PageSize": 10}
    )
    assert sum(len(page["events"]) for page in pages) == 25


@pytest.mark.usefixtures("server")
def test_what_is_missing_is_not_found(logs: Any, stream: str) -> None:
    for group, name in (("/aws/other", "x"), ("/aws/sagemaker/TransformJobs", "x"), (GROUP, "x/y")):
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            logs.get_log_events(logGroupName=group, logStreamName=name)


def test_very_long_lines_are_split(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "host.log")
    log.write(b"x" * (2 * MAX_EVENT_BYTES + 5))
    log.close()
    log.close()
    events = [*LogStream("job", tmp_path / "host.log", 0).forward(0)]
    assert [len(event.message) for event in events] == [MAX_EVENT_BYTES, MAX_EVENT_BYTES, 5]


def test_backward_reading_crosses_blocks(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "host.log")
    for number in range(3000):
        log.write(f"{number} {'x' * 1000}\n".encode())
    log.close()
    stream = LogStream("job", tmp_path / "host.log", 0)
    forward = [*stream.forward(0)]
    assert [*stream.backward(stream.size)] == forward[::-1]
    assert len(forward) == 3000
