"""SIGTERM: SageMaker stops the job, or takes the spot instance back."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Container


def start(container: Container, code: str, *launcher: str) -> subprocess.Popen[bytes]:
    """Start a job and wait until its body runs."""
    lines = code.strip("\n").split("\n")
    indent = len(lines[0]) - len(lines[0].lstrip())
    command = container.lay_out({"flow.py": "\n".join(line[indent:] for line in lines)})
    process = subprocess.Popen(
        [*launcher, *command],
        env=container.environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    wait_for(container.root / "checkpoints" / "started")
    return process


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Stop the job as SageMaker does."""
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    return process.returncode, stderr.decode()


PRELUDE = """
        import os, time
        from cdao_sdk import current_job
        def started():
            open(os.path.join(current_job().checkpoint_dir, "started"), "w").close()
"""


def test_finally_runs_and_there_is_no_result(container: Container) -> None:
    process = start(
        container,
        PRELUDE
        + """
        def step() -> int:
            try:
                started()
                time.sleep(60)
            except Exception:
                return 2
            finally:
                time.sleep(0.2)
                with open(os.path.join(current_job().checkpoint_dir, "saved"), "w") as file:
                    file.write("epoch 3")
            return 1
    """,
    )
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    code, stderr = finish(process)  # a second one does not disturb the saving
    assert code == 143
    assert (container.root / "checkpoints" / "saved").read_text() == "epoch 3"
    assert not (container.result_dir / "outputs.json").exists()
    text = "[cdao:INTERRUPTED] StopRequest: SIGTERM: the job was asked to stop"
    assert (container.root / "output" / "failure").read_text() == text
    assert "Traceback" not in stderr


def test_a_body_that_catches_everything_is_interrupted_all_the_same(container: Container) -> None:
    process = start(
        container,
        PRELUDE
        + """
        def step() -> int:
            try:
                started()
                time.sleep(60)
            except BaseException:
                pass
            return 1
    """,
    )
    assert finish(process)[0] == 143
    assert not (container.result_dir / "outputs.json").exists()


def test_an_earlier_failure_text_is_kept(library_container: Container) -> None:
    process = start(
        library_container,
        PRELUDE
        + """
        def step() -> int:
            started()
            time.sleep(60)
    """,
    )
    failure = library_container.write("output/failure", "[cdao:USER] ValueError: of another rank")
    assert finish(process)[0] == 143
    assert failure.read_text() == "[cdao:USER] ValueError: of another rank"


def test_forked_workers_end_quietly(container: Container) -> None:
    process = start(
        container,
        PRELUDE
        + """
        def work(x):
            time.sleep(0 if x else 60)
            return x

        def step() -> int:
            import multiprocessing
            with multiprocessing.get_context("fork").Pool(2) as pool:
                assert pool.map(work, [1, 2]) == [1, 2]
                pool.apply_async(work, [0])
                started()
            time.sleep(60)
    """,
    )
    code, stderr = finish(process)
    assert code == 143
    assert "Traceback" not in stderr


def test_as_process_1(container: Container) -> None:
    """The kernel gives process 1 no default action: only a handler ends it."""
    own_namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    try:
        subprocess.run([*own_namespace, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no process namespaces here")
    code = (
        PRELUDE
        + """
        def step() -> int:
            assert os.getpid() == 1
            started()
            time.sleep(60)
    """
    )
    process = start(container, code, *own_namespace)
    task = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for child in task.read_text().split():
        os.kill(int(child), signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert "[cdao:INTERRUPTED]" in (container.root / "output" / "failure").read_text()


def test_a_body_that_asks_is_left_to_end_by_itself(container: Container) -> None:
    process = start(
        container,
        PRELUDE
        + """
        def step() -> int:
            job = current_job()
            assert not job.should_stop
            started()
            while not job.should_stop:
                time.sleep(0.01)
            with open(os.path.join(job.checkpoint_dir, "saved"), "w") as file:
                file.write("epoch 3")
            return 1
    """,
    )
    code, stderr = finish(process)
    assert code == 143
    assert (container.root / "checkpoints" / "saved").read_text() == "epoch 3"
    assert not (container.result_dir / "outputs.json").exists()
    assert "[cdao:INTERRUPTED]" in stderr


def test_the_bodys_own_handler_is_called(library_container: Container) -> None:
    process = start(
        library_container,
        PRELUDE
        + """
        import signal
        def step() -> int:
            asked = []
            signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
            started()
            while not asked:
                time.sleep(0.01)
            return 1
    """,
    )
    assert finish(process)[0] == 0
    assert (library_container.result_dir / "outputs.json").exists()


def test_a_forked_worker_has_the_signals_default(container: Container) -> None:
    done = container.run("""
        import multiprocessing, signal

        def look(handlers):
            handlers.put(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)

        def step() -> list:
            context = multiprocessing.get_context("fork")
            handlers = context.SimpleQueue()
            worker = context.Process(target=look, args=(handlers,))
            worker.start()
            worker.join()
            return [handlers.get(), callable(signal.getsignal(signal.SIGTERM))]
    """)
    assert done.value == [True, True]
