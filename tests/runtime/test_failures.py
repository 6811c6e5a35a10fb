"""Failures: what the log, SageMaker and the connector are told, and the exit code."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Container


def test_an_exception_is_the_users_with_their_frames_only(container: Container) -> None:
    done = container.run(
        {
            "flow.py": """
            from lib.deep import divide

            def step() -> float:
                try:
                    return divide(1)
                except ZeroDivisionError as error:
                    raise ValueError("bad data: é") from error
        """,
            "lib/__init__.py": "",
            "lib/deep.py": "def divide(x):\n    return x / 0\n",
        }
    )
    assert done.code == 1
    assert done.failure == (
        "[cdao:USER] ValueError: bad data: é\n"
        '  flow.py:8 in step: raise ValueError("bad data: é") from error'
    )
    assert "runner.py" not in done.stderr
    assert "importlib" not in done.stderr
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert "The above exception was the direct cause" in done.stderr
    assert done.stderr.endswith("\n[cdao:USER] ValueError: bad data: é\n")
    assert done.stderr.count("flow.py") == 2  # a traceback each for cause and effect, once


@pytest.mark.parametrize(
    ("code", "text", "exit_code"),
    [
        ("import sys; sys.exit(0)", "[cdao:USER] SystemExit: ended by sys.exit before ret", 1),
        ("import sys; sys.exit()", "[cdao:USER] SystemExit: ended by sys.exit before ret", 1),
        ("import sys; sys.exit(3)", "its result (exit code 3)", 3),
        ("import sys; sys.exit(256)", "(exit code 256)", 1),
        ("import sys; sys.exit('no data')", "its result: no data", 1),
        ("import os; os._exit(0)", "[cdao:USER] OutputError: the function ended by os._exit", 1),
        ("raise KeyboardInterrupt", "[cdao:INTERRUPTED] KeyboardInterrupt: SIGINT", 130),
        ("raise MemoryError", "[cdao:USER] MemoryError: the job ran out of memory: choose", 1),
        ("raise OSError(28, 'full')", "[cdao:USER] OSError: the job's disk is full: raise vol", 1),
        ("step()", "[cdao:USER] RecursionError: maximum recursion depth", 1),
        (
            "raise type('E', (Exception,), {'__str__': lambda s: 1 / 0})",
            "<its message failed: Z",
            1,
        ),
        (
            "from flytekit.exceptions.user import FlyteRecoverableException as E; raise E('later')",
            "[cdao:RECOVERABLE] FlyteRecoverableException: later",
            1,
        ),
        (
            "import flytekit\n class E(flytekit.FlyteRecoverableException): pass\n raise E('x')",
            "[cdao:RECOVERABLE] E: x",
            1,
        ),
        (
            "from cdao_sdk.errors import JobFailed; raise JobFailed('x', job_name='j')",
            "Failed: x",
            1,
        ),
    ],
)
def test_ends_of_the_body(
    library_container: Container, code: str, text: str, exit_code: int
) -> None:
    done = library_container.run("def step():\n " + code)
    assert text in done.failure
    assert done.code == exit_code


def test_ends_of_the_body_on_every_python(container: Container) -> None:
    for code, text in [
        ("import sys; sys.exit(0)", "SystemExit: ended by sys.exit before"),
        ("import os; os._exit(0)", "OutputError: the function ended by os._exit"),
        ("step()", "[cdao:USER] RecursionError: "),
    ]:
        assert text in container.run("def step():\n " + code).failure


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "import lightgbm_absent",
            "ModuleNotFoundError: No module named 'lightgbm_absent' (while im",
        ),
        ("x = = 1", "SyntaxError: invalid syntax"),
        ("1 / 0", "ZeroDivisionError: division by zero (while importing 'flow' under Python "),
        ("import sys; sys.exit(0)", "SystemExit: ended by sys.exit before"),
    ],
)
def test_modules_that_cannot_be_imported(container: Container, code: str, text: str) -> None:
    done = container.run(code)
    assert done.code == 1
    assert done.failure.startswith("[cdao:USER] " + text.partition(":")[0])
    assert text in done.failure
    assert "runner.py" not in done.stderr


@pytest.mark.parametrize(
    ("module", "function", "text"),
    [
        ("flow", "steps", "module 'flow' has no function 'steps'; it has: other, step"),
        ("floww", "step", "the module 'floww' is not in the job's code, which holds: flow.py"),
        ("flow.inner", "step", "the module 'flow.inner' is not in the job's code"),
        ("flow", "VALUE", "flow.VALUE is 3, not a function"),
        ("flow", "Resources", "flow.Resources is "),
    ],
)
def test_functions_that_are_not_there(
    library_container: Container, module: str, function: str, text: str
) -> None:
    code = """
        from flytekit import Resources
        Resources = Resources()
        VALUE = 3
        def step(): pass
        def other(): pass
    """
    done = library_container.run(code, entry={"module": module, "function": function})
    assert done.failure.startswith("[cdao:USER] EntryError: ")
    assert text in done.failure
    assert len(done.stderr.splitlines()) == 1


def test_the_text_is_cut_at_a_whole_character(container: Container) -> None:
    done = container.run("def step():\n raise ValueError('é' * 5000)")
    data = done.failure.encode()
    assert len(data) <= 1000
    assert "flow.py:2 in step" in done.failure
    done = container.run("def step():\n raise ValueError(chr(0xd800) + 'x' * 5000)")
    assert len(done.failure.encode()) <= 1000


def test_specs_that_cannot_be_read_are_the_platforms_fault(library_container: Container) -> None:
    assert "[cdao:SYSTEM] PlatformError: the job's spec is of version 2" in (
        library_container.run("", version=2).failure
    )
    command = library_container.lay_out({"flow.py": ""})
    for text, message in [
        ("{", "the job's spec cannot be read"),
        ("[]", "the job's spec cannot be read"),
        ('{"version": 1}', "the job's spec lacks code, entry, inputs, outputs, result_dir"),
        (None, "the job's spec cannot be read"),
    ]:
        spec = library_container.channels / "cdao-job" / "spec.json"
        spec.unlink()
        if text is not None:
            spec.write_text(text)
        done = subprocess.run(
            command, env=library_container.environment, capture_output=True, check=False
        )
        assert done.returncode == 1
        failure = (library_container.root / "output" / "failure").read_text()
        assert failure.startswith("[cdao:SYSTEM] PlatformError: " + message)
        spec.touch()


def test_a_failure_place_that_cannot_be_written_keeps_the_exit_code(
    library_container: Container,
) -> None:
    library_container.write("output", "a file where the folder should be")
    done = library_container.run(
        "import sys\ndef step(): sys.exit(7)", result_dir="/opt/ml/elsewhere"
    )
    assert done.code == 7
    assert "could not be written" in done.stderr


def test_a_closed_stdout_changes_no_exit_code(container: Container) -> None:
    code = """
        import cdao_sdk, os, sys
        def step(quiet: bool) -> int:
            if not quiet:
                print("x" * 100000)
                cdao_sdk.current_job().log_metric("auc", 1)
            if sys.stdout:
                sys.stdout.write("left in the buffer")
            return 1
    """
    for quiet, expected in [(True, 0), (False, 1)]:
        command = container.lay_out(
            {"flow.py": code.replace("\n        ", "\n")}, inputs={"quiet": {"value": quiet}}
        )
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            command, env=container.environment, stdout=write, stderr=subprocess.PIPE, check=False
        )
        os.close(write)
        assert done.returncode == expected, done.stderr
        assert b"Exception ignored" not in done.stderr
        assert (container.result_dir / "outputs.json").exists() is quiet
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command],
        env=container.environment,
        check=False,
    )
    assert done.returncode == 0
    assert (container.result_dir / "outputs.json").exists()


def test_a_thread_that_goes_on_does_not_keep_a_failed_job(library_container: Container) -> None:
    done = library_container.run("""
        import threading, time
        def step():
            threading.Thread(target=time.sleep, args=(600,)).start()
            raise ValueError("no")
    """)
    assert done.code == 1
    assert "ValueError: no" in done.failure


def test_a_result_that_cannot_be_written_is_no_half_result(library_container: Container) -> None:
    done = library_container.run("""
        def step() -> dict:
            return {"ok": 1, "then": Lazy()}

        class Lazy(dict):
            def items(self):
                raise OSError(28, "No space left on device")
    """)
    assert "[cdao:USER] OSError: the job's disk is full: raise volume_size_gb" in done.failure
    assert list(done.result_dir.iterdir()) == []
