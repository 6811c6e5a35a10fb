from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Cdao = Callable[..., subprocess.CompletedProcess[str]]


def done_job(start_job: Callable[..., str], boto: Any) -> str:
    name, deadline = start_job("print('one')"), time.monotonic() + 30
    client = boto("sagemaker")
    while client.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] != (
        "Completed"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return name


def test_a_report_is_written_beside_and_told_in_a_few_lines(
    cdao: Cdao,
    start_job: Callable[..., str],
    boto: Any,
    endpoint: dict[str, str],
    tmp_path: Path,
) -> None:
    name = done_job(start_job, boto)
    execution = name.partition("-")[0]
    done = cdao("report", execution, "-o", f"{tmp_path}/", **endpoint)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{execution}: succeeded, 1 job, ")
    file = tmp_path / f"{execution}.html"
    assert done.stdout.splitlines()[-1] == str(file)
    assert name in file.read_text()


def test_json_and_html_come_on_standard_output(
    cdao: Cdao, start_job: Callable[..., str], boto: Any, endpoint: dict[str, str]
) -> None:
    name = done_job(start_job, boto)
    facts = json.loads(cdao("report", name, "--json", **endpoint).stdout)
    assert (facts["outcome"], facts["jobs"][0]["name"]) == ("succeeded", name)
    assert cdao("report", name, "-o", "-", **endpoint).stdout.startswith("<!DOCTYPE html>")


def test_what_does_not_go_together_or_is_not_there_is_exit_code_2(
    cdao: Cdao, endpoint: dict[str, str]
) -> None:
    done = cdao("report", "x", "-o", "-", "--json", **endpoint)
    assert done.returncode == 2
    assert "standard output" in done.stderr
    assert cdao("report", "no-such-job", **endpoint).returncode == 2
