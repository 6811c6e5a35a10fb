from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Cdao = Callable[..., subprocess.CompletedProcess[str]]


def wait_for_line(cdao: Cdao, name: str, line: str, environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 30
    while line not in cdao("logs", name, **environment).stdout.splitlines():
        assert time.monotonic() < deadline, f"{line!r} was not logged"


def test_without_jobs_there_is_a_word_of_help(cdao: Cdao) -> None:
    done = cdao("jobs")
    assert (done.returncode, done.stdout) == (0, "")
    assert "cdao demo" in done.stderr
    assert cdao("jobs", "--json").stdout.strip() == "[]"


def test_a_job_is_listed_followed_and_read(
    cdao: Cdao, start_job: Callable[..., str], endpoint: dict[str, str]
) -> None:
    name = start_job("print('one'); print('two')")
    execution = name.partition("-")[0]
    watched = cdao("monitor", name, **endpoint)
    assert watched.returncode == 0
    assert "Completed" in watched.stdout
    assert name in cdao("jobs", "--limit", "500", **endpoint).stdout
    (listed,) = json.loads(cdao("jobs", execution, "--json", **endpoint).stdout)
    assert (listed["name"], listed["status"]) == (name, "Completed")
    assert listed["node"] == "n0"
    assert cdao("logs", execution, "--lines", "1", **endpoint).stdout == "two\n"
    lines = cdao("logs", name, "--json", **endpoint).stdout.splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["one", "two"]


def test_the_exit_code_of_monitor_tells_of_failure(
    cdao: Cdao, start_job: Callable[..., str], endpoint: dict[str, str]
) -> None:
    assert cdao("monitor", start_job("raise SystemExit(3)"), **endpoint).returncode == 1


def test_logs_are_followed_to_the_end(
    cdao: Cdao, start_job: Callable[..., str], endpoint: dict[str, str]
) -> None:
    name = start_job("import time; [(print(i), time.sleep(1)) for i in range(3)]")
    assert cdao("logs", name, "--follow", **endpoint).stdout.split() == ["0", "1", "2"]


def test_stop_ends_what_runs_and_leaves_what_is_done(
    cdao: Cdao, start_job: Callable[..., str], endpoint: dict[str, str], boto: Any
) -> None:
    name = start_job("import time; print('begun'); time.sleep(300)")
    wait_for_line(cdao, name, "begun", endpoint)
    stopped = cdao("stop", name, **endpoint)
    assert stopped.stdout == f"stopping {name} (it was InProgress)\n"
    assert cdao("monitor", name, **endpoint).returncode == 3
    again = cdao("stop", name, **endpoint)
    assert again.stdout == f"nothing to stop: {name} is Stopped\n"


def test_a_terminated_watching_leaves_the_jobs_alone(
    start_cdao: Callable[..., subprocess.Popen[str]],
    start_job: Callable[[str], str],
    endpoint: dict[str, str],
    boto: Any,
) -> None:
    name = start_job("import time; time.sleep(100)")
    watching = start_cdao("monitor", name, **endpoint)
    assert watching.stdout is not None
    assert watching.stdout.readline() == f"job {name}\n"
    watching.terminate()
    out, errors = watching.communicate(timeout=30)
    assert (watching.returncode, errors) == (130, "")
    assert f"The jobs go on. To stop them: cdao stop {name}" in out
    described = boto("sagemaker").describe_processing_job(ProcessingJobName=name)
    assert described["ProcessingJobStatus"] == "InProgress"


def test_an_unknown_name_is_exit_code_2(cdao: Cdao, endpoint: dict[str, str]) -> None:
    for command in ("jobs", "logs", "stop", "monitor"):
        done = cdao(command, "no-such-job", **endpoint)
        assert done.returncode == 2
        assert done.stderr.startswith("Error: 'no-such-job' is neither an execution nor")


def test_an_endpoint_that_does_not_answer_is_exit_code_4(cdao: Cdao) -> None:
    done = cdao("jobs", CDAO_ENDPOINT_URL="http://127.0.0.1:9")
    assert done.returncode == 4
    assert "did not answer" in done.stderr
