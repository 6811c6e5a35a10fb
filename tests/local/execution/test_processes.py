"""Processes and their supervisor: many at once, stopped, killed, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cdao_sdk.local.processes import Command, GroupExit, Processes, SupervisorError

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
LINUX = sys.platform.startswith("linux")

pytestmark = pytest.mark.skipif(not LINUX, reason="looks into /proc")


def run(
    processes: Processes,
    command: list[str],
    directory: Path,
    *,
    stop: threading.Event | None = None,
    timeout_seconds: float | None = None,
) -> tuple[GroupExit, bytes]:
    output: list[bytes] = []
    ended = processes.run(
        [Command(command, {"PATH": PATH}, directory, opt_ml=directory)],
        [output.append],
        stop=stop or threading.Event(),
        timeout_seconds=timeout_seconds,
    )
    return ended, b"".join(output)


def with_marker(marker: str) -> list[int]:
    """Processes whose command line holds `marker`, zombies left out."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if marker.encode() in line and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


def wait_for(condition: object, seconds: float) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def family(marker: str) -> list[str]:
    """A job with a child, and a grandchild in a session of its own that ignores SIGTERM."""
    sleeper = f"import time; time.sleep(100) # {marker}"
    code = f"""
        import subprocess, sys, time, signal
        subprocess.Popen([sys.executable, "-c", {sleeper!r}])
        subprocess.Popen([sys.executable, "-c", {sleeper!r}], start_new_session=True)
        double = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', " + repr(
            {("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + sleeper)!r}
        ) + "], start_new_session=True)"
        subprocess.run([sys.executable, "-c", double])
        print("ready", flush=True)
        time.sleep(100) # {marker}
    """
    return ["python3", "-c", textwrap.dedent(code)]


def test_output_and_exit_code_come_back(processes: Processes, tmp_path: Path) -> None:
    ended, output = run(processes, ["sh", "-c", "echo out; echo err >&2; exit 3"], tmp_path)
    assert output == b"out\nerr\n"
    assert (ended.statuses[0].code, ended.cause, ended.failed) == (3, "exit", 0)


def test_usage_is_measured(processes: Processes, tmp_path: Path) -> None:
    ended, _ = run(
        processes, ["python3", "-c", "x = bytearray(80 << 20); sum(range(10**6))"], tmp_path
    )
    assert ended.statuses[0].max_rss_bytes > 80 << 20
    assert ended.statuses[0].cpu_seconds > 0


def test_a_job_has_standard_descriptors_only(processes: Processes, tmp_path: Path) -> None:
    code = "import os; print(sorted(os.listdir('/proc/self/fd')), os.read(0, 1))"
    _, output = run(processes, ["python3", "-c", code], tmp_path)
    assert output == b"['0', '1', '2', '3'] b''\n"  # 3 is the listing itself


def test_a_program_that_is_missing_is_named(processes: Processes, tmp_path: Path) -> None:
    ended, _ = run(processes, ["no-such-program"], tmp_path)
    assert ended.statuses[0].code == 127
    assert "no-such-program" in str(ended.statuses[0].error)


def test_large_requests_and_outputs(processes: Processes, tmp_path: Path) -> None:
    code = "import sys; print(len(sys.argv[1])); sys.stdout.write('x' * 5_000_000)"
    _, output = run(processes, ["python3", "-c", code, "y" * 100_000], tmp_path)
    assert output == b"100000\n" + b"x" * 5_000_000


def test_many_jobs_at_once(processes: Processes, tmp_path: Path) -> None:
    def one(number: int) -> bytes:
        return run(processes, ["sh", "-c", f"sleep 0.2; echo {number}"], tmp_path)[1]

    started = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        outputs = list(pool.map(one, range(16)))
    assert outputs == [f"{number}\n".encode() for number in range(16)]
    assert time.monotonic() - started < 2


def test_what_a_job_leaves_running_is_killed_with_it(processes: Processes, tmp_path: Path) -> None:
    marker = f"leftover-{tmp_path}"
    code = family(marker)[-1].replace("time.sleep(100) # ", "sys.exit(0) # ")
    started = time.monotonic()
    ended, _ = run(processes, ["python3", "-c", code], tmp_path)
    assert ended.statuses[0].code == 0
    assert time.monotonic() - started < 5
    assert with_marker(marker) == []


def test_stop_is_sigterm_first(processes: Processes, tmp_path: Path) -> None:
    stop = threading.Event()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    command = ["sh", "-c", "trap 'echo bye; exit 7' TERM; sleep 60 & wait"]
    ended, output = run(processes, command, tmp_path, stop=stop)
    timer.join()
    assert (ended.cause, ended.statuses[0].code, output) == ("stop", 7, b"bye\n")


def test_stop_is_sigkill_after_the_grace(processes: Processes, tmp_path: Path) -> None:
    command = ["sh", "-c", "trap '' TERM; sleep 60"]
    started = time.monotonic()
    ended, _ = run(processes, command, tmp_path, timeout_seconds=1.0)  # the trap is set by then
    assert (ended.cause, ended.statuses[0].signal) == ("timeout", signal.SIGKILL)
    assert 1.4 < time.monotonic() - started < 6


def test_close_kills_everything(tmp_path: Path) -> None:
    marker = f"closing-{tmp_path}"
    processes = Processes(grace_seconds=60)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, processes, family(marker), tmp_path)
        assert wait_for(lambda: len(with_marker(marker)) >= 4, 10)
        processes.close()
        assert running.result()[0].statuses[0].code == 137
    assert with_marker(marker) == []
    with pytest.raises(SupervisorError):
        run(processes, ["true"], tmp_path)


def test_jobs_die_with_a_killed_supervisor_and_the_next_one_runs(
    processes: Processes, tmp_path: Path
) -> None:
    marker = f"orphaned-{tmp_path}"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, processes, family(marker), tmp_path)
        assert wait_for(lambda: len(with_marker(marker)) >= 4, 10)
        supervisor = processes._supervisor
        assert supervisor is not None
        supervisor._process.kill()
        assert running.result(10)[0].statuses[0].code == 137
    assert wait_for(lambda: not with_marker(marker), 1)
    assert run(processes, ["echo", "again"], tmp_path)[1] == b"again\n"


def test_jobs_die_with_a_killed_keeper_and_others_live_on(
    processes: Processes, tmp_path: Path
) -> None:
    marker = f"keeper-{tmp_path}"
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(run, processes, ["sh", "-c", "sleep 3; echo fine"], tmp_path)
        running = pool.submit(run, processes, family(marker), tmp_path)
        assert wait_for(lambda: len(with_marker(marker)) >= 4, 10)
        os.kill(parent_of(min(with_marker(marker))), signal.SIGKILL)
        assert running.result(10)[0].statuses[0].error is not None
        assert wait_for(lambda: not with_marker(marker), 1)
        assert other.result(10)[1] == b"fine\n"


def test_nothing_outlives_a_server_that_was_killed(tmp_path: Path) -> None:
    marker = f"server-{tmp_path}"
    code = f"""
        import threading
        from pathlib import Path
        from cdao_sdk.local.processes import Command, Processes
        command = Command({family(marker)!r}, {{"PATH": {PATH!r}}}, Path("/tmp"))
        # A forked child holds copies of all the server's sockets, as a notebook's may.
        import os, time
        processes = Processes()
        def run():
            processes.run([command], [lambda data: print(data, flush=True)], stop=threading.Event())
        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.5)
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        thread.join()
    """
    script = tmp_path / "a_server.py"
    script.write_text(textwrap.dedent(code))
    server = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE)
    assert server.stdout is not None
    with server.stdout:
        assert b"ready" in server.stdout.readline()
        assert len(with_marker(marker)) >= 4
        supervisors = [pid for pid in with_marker("supervisor.py") if parent_of(pid) == server.pid]
        assert len(supervisors) == 1
        server.kill()
        server.wait()
        assert wait_for(lambda: not with_marker(marker), 1)
        assert wait_for(lambda: not alive(supervisors[0]), 1)


def parent_of(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return int(stat.rpartition(")")[2].split()[1])


def alive(pid: int) -> bool:
    """Whether it runs; a zombie that nobody has collected does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
