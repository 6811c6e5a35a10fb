from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Cdao = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def state(tmp_path: Path, cdao: Cdao) -> Iterator[str]:
    """A state directory whose server is stopped after the test."""
    folder = str(tmp_path / "it's state")
    yield folder
    cdao("local", "stop", "--state-dir", folder)


def running(cdao: Cdao, state: str) -> dict[str, object]:
    return json.loads(cdao("local", "status", "--json", "--state-dir", state).stdout)


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_the_printed_environment_is_ready_for_eval(cdao: Cdao, state: str) -> None:
    started = cdao("local", "start", "--state-dir", state)
    assert started.returncode == 0, started.stderr
    shell = f'{started.stdout}\nprintf \'%s\\n\' "$AWS_ENDPOINT_URL" "$CDAO_STATE_DIR"'
    url, folder = subprocess.run(
        ["/bin/sh", "-c", shell], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert folder == state
    assert urlopen(url, timeout=5).status == 200  # noqa: S310 # our own http URL
    assert cdao("jobs", CDAO_ENDPOINT_URL=url).returncode == 0


def test_a_second_start_prints_the_same(cdao: Cdao, state: str) -> None:
    first, second = (cdao("local", "start", "--state-dir", state) for _ in range(2))
    assert first.stdout == second.stdout
    assert "is running already" in second.stderr


def test_faults_are_put_in_force_at_the_start_and_later(
    cdao: Cdao, state: str, tmp_path: Path
) -> None:
    def rules() -> object:
        with urlopen(f"{running(cdao, state)['url']}/_cdao/faults", timeout=5) as answer:  # noqa: S310 # our own http URL
            return json.loads(answer.read())["plan"]["rules"]

    first, later = '{"rules": [{"fault": "throttling"}]}', tmp_path / "faults.json"
    later.write_text('{"rules": [{"fault": "quota", "limit": 1}]}')
    assert cdao("local", "start", "--state-dir", state, CDAO_LOCAL_FAULTS=first).returncode == 0
    assert rules() == [{"fault": "throttling"}]
    assert cdao("local", "start", "--state-dir", state, "--faults", str(later)).returncode == 0
    assert rules() == [{"fault": "quota", "limit": 1}]


def test_faults_that_are_not_valid_start_no_server(cdao: Cdao, state: str) -> None:
    refused = cdao("local", "start", "--state-dir", state, "--faults", '{"rules": [{}, 1]}')
    assert refused.returncode == 2
    assert "rules[0]: fault must be one of" in refused.stderr
    assert "rules[1]: a rule must be an object" in refused.stderr
    assert running(cdao, state)["running"] is False


def test_a_state_directory_that_cannot_be_made_is_named(cdao: Cdao, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = cdao("local", "start", "--state-dir", str(tmp_path / "file" / "state"))
    assert refused.returncode != 0
    assert "file/state cannot be made" in refused.stderr
    assert "should not happen" not in refused.stderr


def test_an_empty_variable_of_faults_is_none(cdao: Cdao, state: str) -> None:
    started = cdao("local", "start", "--state-dir", state, CDAO_LOCAL_FAULTS="")
    assert started.returncode == 0, started.stderr


def test_stop_ends_the_server_and_status_tells(cdao: Cdao, state: str) -> None:
    assert cdao("local", "status", "--state-dir", state).returncode == 3
    cdao("local", "start", "--state-dir", state)
    pid = int(str(running(cdao, state)["pid"]))
    assert cdao("local", "stop", "--state-dir", state).stdout.startswith("stopped http://")
    assert is_gone(pid)
    assert running(cdao, state)["running"] is False
    assert cdao("local", "stop", "--state-dir", state).stdout == "not running\n"


def test_a_server_that_was_killed_is_noticed_and_replaced(cdao: Cdao, state: str) -> None:
    cdao("local", "start", "--state-dir", state)
    pid = int(str(running(cdao, state)["pid"]))
    os.kill(pid, signal.SIGKILL)
    assert is_gone(pid)
    assert running(cdao, state) == {
        "running": False,
        "url": None,
        "pid": None,
        "state_dir": state,
    }
    assert cdao("local", "start", "--state-dir", state).returncode == 0
    assert running(cdao, state)["pid"] != pid


def test_a_port_that_is_taken_is_told_from_the_log(cdao: Cdao, state: str, tmp_path: Path) -> None:
    cdao("local", "start", "--state-dir", state)
    port = str(running(cdao, state)["url"]).rpartition(":")[2]
    refused = cdao("local", "start", "--port", port, "--state-dir", str(tmp_path / "other"))
    assert refused.returncode == 1
    assert "did not start" in refused.stderr
    assert "in use" in refused.stderr
