"""Several processes on a host: a launcher starts them, the first file answers for them.

What stands in for PyTorch here speaks the command line of ``torch.distributed.run`` (and of
``torch.distributed.launch``, which older versions have) and starts the processes as it does: the
tests are about our side of it. MPI's are the real thing, where Open MPI is installed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Container

LAUNCHER = """
    import argparse, os, signal, subprocess, sys, time
    parser = argparse.ArgumentParser()
    for name in ("nnodes", "node_rank", "nproc_per_node", "master_port", "max_restarts"):
        parser.add_argument("--" + name, type=int)
    parser.add_argument("--master_addr")
    parser.add_argument("--use_env", action="store_true")
    parser.add_argument("script", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    count = options.nproc_per_node
    workers = []
    for number in range(count):
        own = dict(os.environ, MASTER_ADDR=options.master_addr, LOCAL_RANK=str(number))
        own.update(MASTER_PORT=str(options.master_port), WORLD_SIZE=str(options.nnodes * count))
        own["RANK"] = str(options.node_rank * count + number)
        workers.append(subprocess.Popen([sys.executable] + options.script, env=own))
    code = 0
    while workers and not code:
        time.sleep(0.02)
        codes = [worker.poll() for worker in workers]
        code = 1 if any(codes) else 0
        workers = [worker for worker in workers if worker.poll() is None]
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    until = time.time() + 2
    while any(worker.poll() is None for worker in workers) and time.time() < until:
        time.sleep(0.02)
    for worker in workers:
        worker.kill()
    sys.exit(code)
"""
LOOK = """
    from cdao_sdk import current_job
    def step() -> dict:
        job = current_job()
        print("process", job.global_rank, job.local_rank, job.is_lead, flush=True)
        return {name: getattr(job, name) for name in (
            "global_rank", "local_rank", "world_size", "rank", "master_address")}
"""


@pytest.fixture
def torch(library_container: Container, tmp_path: Path) -> Container:
    """A container whose image has "PyTorch"."""
    return with_launcher(library_container, tmp_path, "run")


def with_launcher(container: Container, folder: Path, name: str) -> Container:
    package = folder / "site" / "torch" / "distributed"
    package.mkdir(parents=True, exist_ok=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / f"{name}.py").write_text(textwrap.dedent(LAUNCHER))
    container.env["PYTHONPATH"] = str(folder / "site")
    container.spec["distribution"] = {"kind": "torchrun", "processes_per_host": 2}
    return container


def test_each_process_knows_its_place_and_the_first_returns(
    container: Container, tmp_path: Path
) -> None:
    done = with_launcher(container, tmp_path, "run").run(LOOK)
    assert done.value == {
        "global_rank": 0,
        "local_rank": 0,
        "world_size": 2,
        "rank": 0,
        "master_address": "algo-1",
    }
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith("process"))
    assert lines == ["process 0 0 True", "process 1 1 False"]


def test_the_second_host_returns_nothing(torch: Container) -> None:
    torch.hosts("algo-2", "algo-1", "algo-2")
    done = torch.run(LOOK)
    assert done.code == 0, done.stderr
    assert "process 3 1 False" in done.stdout
    assert not (done.result_dir / "outputs.json").exists()


def test_older_versions_are_launched_by_their_module(
    library_container: Container, tmp_path: Path
) -> None:
    done = with_launcher(library_container, tmp_path, "launch").run(LOOK)
    assert "-m torch.distributed.launch --use_env" in done.stderr
    assert done.value["world_size"] == 2


def test_without_pytorch_the_mend_is_named(library_container: Container) -> None:
    done = library_container.run(LOOK, distribution={"kind": "torchrun"})
    assert done.code == 1
    assert "distribution='torchrun' needs PyTorch in the image" in done.failure


def test_processes_are_as_many_as_gpus_unless_told(torch: Container) -> None:
    torch.env["SM_NUM_GPUS"] = "3"
    done = torch.run(LOOK, distribution={"kind": "torchrun", "processes_per_host": None})
    assert done.value["world_size"] == 3


def test_the_first_failure_is_the_jobs_with_its_exit_code(torch: Container) -> None:
    done = torch.run("""
        import sys, time
        from cdao_sdk import current_job
        def step() -> int:
            if current_job().global_rank == 1:
                raise ValueError("bad shard")
            time.sleep(30)
    """)
    assert done.code == 1
    assert done.failure.startswith("[cdao:USER] ValueError: bad shard")
    assert "flow.py:6 in step" in done.failure
    code = "import sys\ndef step() -> int: sys.exit(7)"
    assert torch.run(code).code == 7


def test_who_lost_another_process_does_not_take_the_blame(torch: Container) -> None:
    done = torch.run("""
        import time
        from cdao_sdk import current_job
        def step() -> int:
            if current_job().global_rank == 0:
                raise RuntimeError("Connection closed by peer")
            time.sleep(0.5)
            raise ValueError("the cause")
    """)
    assert done.failure.startswith("[cdao:USER] ValueError: the cause")


def test_a_result_does_not_outlive_a_later_failure(torch: Container) -> None:
    done = torch.run("""
        import time
        from cdao_sdk import current_job
        def step() -> int:
            if current_job().global_rank == 1:
                time.sleep(0.5)
                raise ValueError("late")
            return 1
    """)
    assert done.failure.startswith("[cdao:USER] ValueError: late")


def test_a_process_that_is_killed_is_told_of(torch: Container) -> None:
    done = torch.run("""
        import os
        from cdao_sdk import current_job
        def step() -> int:
            if current_job().global_rank == 1:
                os.kill(os.getpid(), 9)
            return 1
    """)
    assert "1 of the processes of distribution='torchrun' on this host ended" in done.failure


def test_each_process_saves_when_the_job_is_stopped(torch: Container) -> None:
    code = textwrap.dedent("""
        import os, time
        from cdao_sdk import current_job
        def step() -> int:
            job = current_job()
            name = os.path.join(job.checkpoint_dir, str(job.global_rank))
            try:
                open(name + ".started", "w").close()
                time.sleep(60)
            finally:
                # Longer for one than what the launcher leaves it after another one's end.
                time.sleep(3 * job.global_rank)
                open(name + ".saved", "w").close()
    """)
    process = subprocess.Popen(
        torch.lay_out({"flow.py": code}),
        env=torch.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    checkpoints = torch.root / "checkpoints"
    deadline = time.monotonic() + 30
    while len(list(checkpoints.glob("*.started"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 143, stderr
    assert sorted(path.name for path in checkpoints.glob("*.saved")) == ["0.saved", "1.saved"]
    assert "[cdao:INTERRUPTED]" in (torch.root / "output" / "failure").read_text()


MPI = pytest.mark.skipif(shutil.which("mpirun") is None, reason="needs Open MPI")


@MPI
def test_mpi_on_one_host(library_container: Container) -> None:
    done = library_container.run(LOOK, distribution={"kind": "mpi", "processes_per_host": 2})
    assert done.value["world_size"] == 2
    assert "process 1 1 False" in done.stdout


def test_without_the_launcher_the_mend_is_named(library_container: Container) -> None:
    library_container.env["PATH"] = str(library_container.root)
    done = library_container.run(LOOK, distribution={"kind": "mpi"})
    assert "distribution='mpi' needs mpirun in the image" in done.failure
    done = library_container.run(LOOK, distribution={"kind": "smddp"})
    assert "distribution='smddp' needs SageMaker's data parallel library" in done.failure


def run_hosts(tmp_path: Path, container: Container, code: str) -> list[tuple[int, str, str]]:
    """Run two hosts of one MPI job; exit code, log and failure of each."""
    processes: list[subprocess.Popen[bytes]] = []
    roots: list[Path] = []
    for number in (1, 2):
        container.root = tmp_path / f"host-{number}"
        container.hosts(f"algo-{number}", "algo-1", "algo-2")
        container.env["CDAO_HOSTS"] = json.dumps({"algo-1": "127.0.9.1", "algo-2": "127.0.9.2"})
        resources = container.root / "input/config/resourceconfig.json"
        resources.write_text(resources.read_text().replace("eth0", "lo"))
        command = container.lay_out(
            {"flow.py": code},
            distribution={"kind": "mpi", "processes_per_host": 2},
            job={"name": f"job-{os.getpid()}", "execution": "e", "node": "n0", "attempt": 0},
        )
        processes.append(
            subprocess.Popen(
                command,
                env=container.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        )
        roots.append(container.root)
    ended: list[tuple[int, str, str]] = []
    for process, root in zip(processes, roots, strict=True):
        output, _ = process.communicate(timeout=60)
        failure = root / "output" / "failure"
        text = failure.read_text() if failure.exists() else ""
        ended.append((process.returncode, output.decode(), text))
    return ended


@MPI
def test_mpi_on_two_hosts(library_container: Container, tmp_path: Path) -> None:
    lead, other = run_hosts(tmp_path, library_container, textwrap.dedent(LOOK))
    assert (lead[0], other[0]) == (0, 0), lead[1] + other[1]
    lines = sorted(line for line in lead[1].splitlines() if line.startswith("process"))
    assert [line.split()[1] for line in lines] == ["0", "1", "2", "3"]
    results = [tmp_path / f"host-{number}/output/data/outputs.json" for number in (1, 2)]
    assert [path.exists() for path in results] == [True, False]
    assert json.loads(results[0].read_text())["outputs"]["o0"]["value"]["world_size"] == 4


@MPI
def test_a_failure_on_another_host_is_told_by_the_lead(
    library_container: Container, tmp_path: Path
) -> None:
    code = """
        import time
        from cdao_sdk import current_job
        def step() -> int:
            if current_job().global_rank == 3:
                raise ValueError("bad shard")
            time.sleep(30)
    """
    lead, other = run_hosts(tmp_path, library_container, textwrap.dedent(code))
    assert (lead[0], other[0]) == (1, 1), lead[1] + other[1]
    assert lead[2].startswith("[cdao:USER] ValueError: bad shard")


@MPI
def test_smddp_goes_through_its_own_program(library_container: Container, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "smddprun"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "smddprun $SMDATAPARALLEL_USE_SINGLENODE"\nexec "$@"\n')
    program.chmod(0o755)
    library_container.env["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = library_container.run(LOOK, distribution={"kind": "smddp", "processes_per_host": 2})
    assert done.value["world_size"] == 2
    assert done.stdout.splitlines().count("smddprun 1") == 2


def test_a_request_that_is_not_signed_is_turned_away(library_container: Container) -> None:
    code = """
        import importlib.util, json, os, socket, sys, time
        path = "/opt/ml/input/data/cdao/runner.py".replace("/opt/ml", os.environ["CDAO_OPT_ML"])
        spec = importlib.util.spec_from_file_location("again", path)
        again = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(again)
        def step() -> list:
            where = os.environ["CDAO_SPEC"]
            job, asked = again.Job(again.read_spec(where)), []
            again.listen(job, where, lambda request: asked.append(request) or "done", None)
            answers = [again.ask(job, where, "algo-1", {"command": "good"})]
            again.signature = lambda *_: "0" * 64
            with socket.create_connection(again.agent_place(job, "algo-1")) as connection:
                with connection.makefile("rw") as stream:
                    stream.readline()
                    stream.write("1234 " + json.dumps({"command": "bad"}) + "\\n")
                    stream.flush()
                    answers.append(stream.readline())
            return [answers, asked]
    """
    library_container.env["CDAO_HOSTS"] = json.dumps({"algo-1": "127.0.0.1"})
    library_container.env["MASTER_PORT"] = str(28000 + os.getpid() % 4000)
    assert library_container.run(code).value == [["done", ""], [{"command": "good"}]]


def test_all_is_over_only_once_the_lead_has_its_answer(library_container: Container) -> None:
    code = """
        import importlib.util, os, threading
        path = "/opt/ml/input/data/cdao/runner.py".replace("/opt/ml", os.environ["CDAO_OPT_ML"])
        spec = importlib.util.spec_from_file_location("again", path)
        again = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(again)
        def step() -> list:
            where, over = os.environ["CDAO_SPEC"], threading.Event()
            job = again.Job(again.read_spec(where))
            again.listen(job, where, lambda request: over.wait(0.2), over)
            return [again.ask(job, where, "algo-1", {"end": 1}), over.wait(5)]
    """
    library_container.env["CDAO_HOSTS"] = json.dumps({"algo-1": "127.0.0.1"})
    library_container.env["MASTER_PORT"] = str(28000 + os.getpid() % 4000)
    assert library_container.run(code).value == [False, True]


def test_noise_on_the_agent_s_port_does_not_keep_it_from_its_work(
    library_container: Container,
) -> None:
    code = """
        import importlib.util, json, os, socket, time
        path = "/opt/ml/input/data/cdao/runner.py".replace("/opt/ml", os.environ["CDAO_OPT_ML"])
        spec = importlib.util.spec_from_file_location("again", path)
        again = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(again)
        again.REQUEST_SECONDS, again.REQUEST_CHARACTERS = 0.2, 1000
        def step() -> list:
            where = os.environ["CDAO_SPEC"]
            job = again.Job(again.read_spec(where))
            again.listen(job, where, lambda request: request["command"], None)
            place = again.agent_place(job, "algo-1")
            closed = []
            for noise in (b"\\xff\\xfe\\n", b"x" * 100_000, b""):
                with socket.create_connection(place, timeout=5) as connection:
                    connection.recv(100)
                    connection.sendall(noise)
                    try:
                        closed.append(connection.recv(100) == b"")
                    except ConnectionResetError:
                        closed.append(True)
            return [closed, again.ask(job, where, "algo-1", {"command": "good"})]
    """
    library_container.env["CDAO_HOSTS"] = json.dumps({"algo-1": "127.0.0.1"})
    library_container.env["MASTER_PORT"] = str(28000 + os.getpid() % 4000)
    done = library_container.run(code)
    assert done.value == [[True, True, True], "good"]
    assert "Traceback" not in done.stderr
