"""``cdao logs`` over jobs of the embedded SageMaker."""

from __future__ import annotations

import json
import re
import secrets
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.log_query import LogQuery, moment_of, pattern_of, read_logs
from cdao_sdk.aws.watch import find_job
from cdao_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from cdao_sdk.flyte.services import Services

    Cdao = Callable[..., subprocess.CompletedProcess[str]]

NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)


@pytest.fixture
def two_steps(
    start_processing: Callable[..., str], cdao: Cdao, endpoint: dict[str, str]
) -> tuple[str, list[str]]:
    """An execution with two finished jobs that print in turns; its id and the jobs' names."""
    execution = f"c{secrets.token_hex(9)}"
    code = "import time; [(print('{0}', i), time.sleep(0.4)) for i in range(3)]"
    names = [
        start_processing(f"{execution}-n{number}-{word}-dtyxehan-0", code.format(word))
        for number, word in enumerate(("prepare", "fit"))
    ]
    assert cdao("monitor", execution, **endpoint).returncode == 0
    return execution, names


def test_jobs_stand_in_the_order_of_time_behind_their_steps(
    two_steps: tuple[str, list[str]], cdao: Cdao, endpoint: dict[str, str]
) -> None:
    execution, names = two_steps
    lines = cdao("logs", execution, **endpoint).stdout.splitlines()
    printed = [f"{word} | {word} {n}" for word in ("fit", "prepare") for n in range(3)]
    assert sorted(lines) == printed
    as_json = cdao("logs", execution, "--json", **endpoint).stdout.splitlines()
    documents = [json.loads(line) for line in as_json]
    times = [document["time"] for document in documents]
    assert times == sorted(times)
    assert {document["job"] for document in documents} == set(names)
    assert documents[0].keys() == {"time", "job", "step", "host", "text"}


def test_lines_are_chosen_by_pattern_number_time_and_host(
    two_steps: tuple[str, list[str]], cdao: Cdao, endpoint: dict[str, str], services: Services
) -> None:
    name = two_steps[1][1]
    job = bridge.run(find_job(services.clients, name))
    now = datetime.now(timezone.utc)

    def texts(query: LogQuery) -> list[str]:
        return [line.text for line in bridge.run(read_logs(services.clients, [job], query))[name]]

    assert texts(LogQuery(grep=pattern_of("[02]$"))) == ["fit 0", "fit 2"]
    assert texts(LogQuery(lines=1, grep=pattern_of("fit"))) == ["fit 2"]
    assert texts(LogQuery(since=now - timedelta(hours=1))) == ["fit 0", "fit 1", "fit 2"]
    assert texts(LogQuery(since=now + timedelta(hours=1))) == []
    assert texts(LogQuery(host="algo-1", lines=2)) == ["fit 1", "fit 2"]
    nothing = cdao("logs", name, "--host", "algo-9", **endpoint)
    assert (nothing.returncode, nothing.stderr) == (0, "no line fits --host 'algo-9'\n")
    followed = cdao("logs", name, "--follow", "--grep", "fit", "--lines", "2", **endpoint)
    assert followed.stdout.splitlines() == ["fit 1", "fit 2"]


def test_what_jobs_print_is_shown_as_words_and_told_as_it_is(
    start_processing: Callable[..., str], cdao: Cdao, endpoint: dict[str, str]
) -> None:
    name = start_processing(
        f"c{secrets.token_hex(9)}-n0-fit-dtyxehan-0",
        r"print('\x1b]0;evil\x07\x1b[31mred\x1b[0m \x9b1m'); print('0%\r50%\r100% \u65e5')",
    )
    followed = cdao("logs", name.partition("-")[0], "--follow", **endpoint)
    # Others may join: the lines of an execution's only job bear its step all the same.
    assert followed.stdout.splitlines() == ["fit | red 1m", "fit | 100% \u65e5"]
    raw = cdao("logs", name, "--json", PYTHONIOENCODING="ascii", **endpoint).stdout.splitlines()
    assert raw[0].isascii()
    assert "\\u009b" in raw[0]
    assert json.loads(raw[1])["text"] == "0%\r50%\r100% \u65e5"


def test_all_logs_of_an_execution_are_written_into_files(
    two_steps: tuple[str, list[str]], cdao: Cdao, endpoint: dict[str, str], tmp_path: Path
) -> None:
    execution, names = two_steps
    done = cdao("logs", execution, "--download", str(tmp_path / "logs"), **endpoint)
    assert done.returncode == 0
    assert "6 lines in 2 files" in done.stderr
    written = sorted((tmp_path / "logs").rglob("*"))
    files = [path for path in written if path.is_file()]
    assert [path.parent.name for path in files] == sorted(names)
    assert [str(path) for path in files] == sorted(done.stdout.splitlines())
    text = next(path for path in files if path.parent.name == names[1]).read_text()
    elsewhere = files[0] / "logs"
    refused = cdao("logs", execution, "--download", str(elsewhere), **endpoint)
    assert refused.returncode == 1
    assert "cannot be used: Not a directory. Choose another place." in refused.stderr
    assert re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z fit \d\n){3}", text)


def test_following_ends_with_the_jobs_and_tells_how_they_ended(
    start_processing: Callable[..., str], cdao: Cdao, endpoint: dict[str, str]
) -> None:
    name = start_processing(
        f"c{secrets.token_hex(9)}-n0-fit-dtyxehan-0",
        "import time; [(print(i), time.sleep(0.5)) for i in range(3)]; raise SystemExit(1)",
    )
    done = cdao("logs", name, "--follow", "--grep", r"^\d", **endpoint)
    assert done.stdout.split() == ["0", "1", "2"]
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (lambda: moment_of("yesterday", NOW), "since='yesterday' is no time"),
        (lambda: moment_of("99999999999d", NOW), "since='99999999999d' is no time"),
        (lambda: pattern_of("("), r"To find these very characters write '\('."),
    ],
)
def test_what_cannot_be_read_is_said(read: Callable[[], object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        read()


def test_what_cannot_be_asked_is_exit_code_2(cdao: Cdao, endpoint: dict[str, str]) -> None:
    for options in (("--since", "yesterday"), ("--download", "x", "--follow")):
        assert cdao("logs", "any", *options, **endpoint).returncode == 2


def test_following_survives_throttling(
    start_processing: Callable[..., str],
    start_cdao: Callable[..., subprocess.Popen[str]],
    proxy: Any,
) -> None:
    name = start_processing(
        f"c{secrets.token_hex(9)}-n0-fit-dtyxehan-0",
        "import time; [(print(i), time.sleep(0.5)) for i in range(8)]",
    )
    running = start_cdao("logs", name, "--follow", CDAO_ENDPOINT_URL=proxy.url)
    assert running.stdout is not None
    assert running.stderr is not None
    first = running.stdout.readline()
    code = "ThrottlingException"
    proxy.refusals.update(GetLogEvents=code, DescribeProcessingJob=code)
    time.sleep(2.0)
    proxy.refusals.clear()
    out = running.stdout.read()  # communicate() would leave out what came with the first line
    assert running.wait(60) == 0, running.stderr.read()
    assert (first + out).split() == [str(number) for number in range(8)]
