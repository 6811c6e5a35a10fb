"""runtime="flytekit": what is refused, how flytekit is called, and how its end is read."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Dict  # noqa: UP035 # as users write it

import flytekit_jobs
import pytest
from flyteidl.core.errors_pb2 import ContainerError, ErrorDocument
from flyteidl.core.execution_pb2 import ExecutionError

from cdao_sdk import Channel, SpecError, sagemaker_processing_task, sagemaker_training_task
from cdao_sdk.aws.bridge import bridge
from cdao_sdk.errors import JobFailed, PlanError
from cdao_sdk.flyte.flytekit_runtime import flytekit_call, judge, read_outputs, staged
from cdao_sdk.kinds.job import Observation, Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.flyte.services import Services

RUNNER = Path(__file__).parents[2] / "cdao_sdk" / "runtime" / "runner.py"
TRACE = """Trace:

    Traceback (most recent call last):
      File "/venv/lib/python3.11/site-packages/flytekit/core/base_task.py", line 7, in execute
        return self.function()
               ^^^^^^^^^^^^^^^
      File "/opt/ml/code/flow.py", line 12, in train
        return inner(key)
      File "/opt/ml/code/flow.py", line 8, in inner
        return {}[key]
               ~~^^^^^
    KeyError: 'k'

Message:

    KeyError: 'k'"""


def error_document(message: str = TRACE, *, recoverable: bool = False, system: bool = False) -> Any:
    return ErrorDocument(
        error=ContainerError(
            code="USER:RuntimeError",
            message=message,
            kind=ContainerError.RECOVERABLE if recoverable else ContainerError.NON_RECOVERABLE,
            origin=ExecutionError.SYSTEM if system else ExecutionError.USER,
        )
    )


# --- decoration -----------------------------------------------------------------------------


def test_handlers_and_channels_are_refused_at_once() -> None:
    def train(data: Annotated[str, Channel("train")]) -> str:
        return data

    decorate = sagemaker_training_task(
        runtime="flytekit",
        container_image=flytekit_jobs.IMAGE,
        predict_fn=lambda data, _model: data,
    )
    with pytest.raises(SpecError, match="train cannot have runtime='flytekit'") as raised:
        decorate(train)
    assert "predict_fn: only runtime='script'" in str(raised.value)
    assert "data: flytekit hands" in str(raised.value)


def test_image_without_flytekit_is_refused() -> None:
    def train(number: int) -> int:
        return number

    with pytest.raises(SpecError, match="needs container_image"):
        sagemaker_training_task(framework="pytorch", runtime="flytekit")(train)


def test_pickled_results_need_it() -> None:
    def load(values: Dict[str, Any]) -> flytekit_jobs.Weights:  # noqa: UP006
        return flytekit_jobs.Weights(values["factor"])

    with pytest.raises(SpecError, match="only pickle"):
        sagemaker_processing_task(framework="sklearn")(load)
    image = flytekit_jobs.IMAGE
    task = sagemaker_processing_task(runtime="flytekit", container_image=image)(load)
    assert task.container_image == image


# --- creation -------------------------------------------------------------------------------


def test_request_holds_neither_inputs_nor_arguments(driven: Any) -> None:
    job = driven(flytekit_jobs.failing)
    template, prefix = render(job, {"key": "k"}, "x" * 300)
    meta = bridge.run(
        job.connector.create(
            task_template=template,
            output_prefix=prefix,
            inputs=job.literals({"key": "k"}),
            task_execution_metadata=job.metadata(),
        )
    )
    bridge.run(job.connector.submit(meta))
    job.delete(meta)
    described = job.described(meta)
    assert [item["InputName"] for item in described["ProcessingInputs"]] == ["cdao", "cdao-job"]
    assert prefix not in json.dumps(described, default=str)
    assert meta.flytekit_prefix == prefix


def render(job: Any, inputs: Mapping[str, object], folder: str) -> tuple[Any, str]:
    """A template with its arguments filled in, as Propeller does it."""
    template = job.template
    base = f"s3://cdao-tests/{folder}/{secrets.token_hex(4)}"
    values = {
        "{{.input}}": f"{base}/inputs.pb",
        "{{.outputPrefix}}": f"{base}/0",
        "{{.rawOutputDataPrefix}}": f"{base}/raw",
        "{{.checkpointOutputPrefix}}": f"{base}/checkpoints",
        "{{.prevCheckpointPrefix}}": '""',
    }
    template.container._args = [values.get(arg, arg) for arg in template.container.args]
    return template, values["{{.outputPrefix}}"]


def test_variables_are_those_of_flytes_own_containers(driven: Any) -> None:
    job = driven(flytekit_jobs.failing, attempt=2)
    metadata = job.metadata()
    metadata._environment_variables = {"MINE": "1"}
    call = flytekit_call(render(job, {}, "a")[0], metadata, "s3://b/out")
    expected = {
        "MINE": "1",
        "FLYTE_INTERNAL_EXECUTION_ID": job.execution,
        "FLYTE_INTERNAL_EXECUTION_PROJECT": "project",
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": "development",
        "FLYTE_INTERNAL_TASK_NAME": "flytekit_jobs.failing",
        "FLYTE_ATTEMPT_NUMBER": "2",
    }
    assert expected.items() <= call.environment.items()
    assert call.args[0] == "pyflyte-fast-execute"
    assert call.args[call.args.index("--dest-dir") + 1] == "."


def test_request_that_is_not_rendered_is_refused(driven: Any) -> None:
    job = driven(flytekit_jobs.failing)
    with pytest.raises(PlanError, match="leaves input, outputPrefix open"):
        job.create(key="k")
    rendered, _ = render(job, {}, "a")
    with pytest.raises(PlanError, match="leaves an output prefix open"):
        flytekit_call(rendered, None, "")
    rendered._container = None
    with pytest.raises(PlanError, match="pod_template"):
        flytekit_call(rendered, None, "s3://b/out")


def test_second_attempt_knows_the_checkpoints_of_the_first(driven: Any, services: Services) -> None:
    job = driven(flytekit_jobs.failing, attempt=1)
    template, inputs = job.template, job.literals({"key": "k"})
    own, prefix = bridge.run(staged(services, template, inputs, job.metadata()))
    args = own.container.args
    base = prefix.removesuffix("/1")
    assert args[args.index("--prev-checkpoint") + 1] == f"{base}/0/checkpoints"
    assert args[args.index("--checkpoint-path") + 1] == f"{base}/1/checkpoints"
    assert "{{.input}}" in template.container.args  # the task's own stays as it was


# --- the end --------------------------------------------------------------------------------


@pytest.fixture
def left(services: Services, boto: Any) -> Any:
    """What the verdict on a job is that has left these files."""

    def judged(phase: Phase, reason: str = "", **files: bytes) -> Any:
        folder = f"verdicts/{secrets.token_hex(4)}"
        for name, content in files.items():
            key = f"{folder}/{name.replace('_', '.')}"
            boto("s3").put_object(Bucket="cdao-tests", Key=key, Body=content)
        observation = Observation(phase=phase, status="", failure_reason=reason)
        prefix = f"s3://cdao-tests/{folder}"
        return bridge.run(judge(services.clients, prefix, observation, has_outputs=True))

    return judged


@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.FAILED])
def test_error_file_decides_whatever_the_exit_code(left: Any, phase: Phase) -> None:
    verdict = left(phase, error_pb=error_document().SerializeToString(), deck_html=b"<p>")
    assert verdict.phase is Phase.FAILED
    first, *frames = verdict.reason.splitlines()
    assert first == "KeyError: 'k'"
    assert '    File "/opt/ml/code/flow.py", line 8, in inner' in frames
    assert "base_task" not in verdict.reason
    assert verdict.deck_uri.endswith("/deck.html")


def test_recoverable_error_may_be_tried_again(left: Any) -> None:
    document = error_document("IOError: busy", recoverable=True, system=True)
    verdict = left(Phase.FAILED, error_pb=document.SerializeToString())
    assert verdict.phase is Phase.RETRYABLE
    assert verdict.reason.startswith("IOError: busy (outside of the function")


def test_error_file_of_another_make_is_a_failure(left: Any) -> None:
    verdict = left(Phase.SUCCEEDED, error_pb=b"\xff\xff")
    assert verdict.phase is Phase.FAILED
    assert "cannot be read" in verdict.reason


def test_good_end_without_outputs_is_a_failure(left: Any) -> None:
    verdict = left(Phase.SUCCEEDED)
    assert verdict.phase is Phase.FAILED
    assert "wrote no outputs.pb" in verdict.reason
    assert left(Phase.SUCCEEDED, outputs_pb=b"").phase is Phase.SUCCEEDED


def test_stopped_job_stays_stopped(left: Any) -> None:
    assert left(Phase.STOPPED, error_pb=b"").phase is Phase.STOPPED
    assert left(Phase.RUNNING, error_pb=b"").phase is Phase.RUNNING


def test_outputs_that_cannot_be_read_are_named(services: Services, boto: Any) -> None:
    boto("s3").put_object(Bucket="cdao-tests", Key="torn/outputs.pb", Body=b"\xff\xff")
    with pytest.raises(JobFailed, match=r"torn/outputs\.pb cannot be read"):
        bridge.run(read_outputs(services.clients, "s3://cdao-tests/torn"))
    with pytest.raises(JobFailed, match=r"left no s3://cdao-tests/none/outputs\.pb"):
        bridge.run(read_outputs(services.clients, "s3://cdao-tests/none"))


# --- in the container -----------------------------------------------------------------------


def started(
    root: Path,
    command: list[str],
    path: str = os.environ["PATH"],
    host: str = "algo-1",
    **more: str,
) -> subprocess.Popen[str]:
    """The runner of a job that is to call `command` in flytekit's place."""
    spec = {
        "version": 1,
        "kind": "processing",
        "inputs": {},
        "outputs": [],
        "code": [],
        "entry": {"module": "m", "function": "f"},
        "result_dir": "/opt/ml/processing/output",
        "flytekit": {"args": command, "environment": {"FROM_FLYTE": "yes"}},
    }
    (root / "config").mkdir(parents=True)
    resources = {"current_host": host, "hosts": ["algo-1", "algo-2"]}
    (root / "config" / "resourceconfig.json").write_text(json.dumps(resources))
    (root / "spec.json").write_text(json.dumps(spec))
    environment = {"PATH": path, "CDAO_OPT_ML": str(root), "TMPDIR": str(root), **more}
    arguments = [sys.executable, str(RUNNER), "--spec", str(root / "spec.json")]
    return subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def failure(root: Path) -> str:
    return (root / "output" / "message").read_text()


def test_hosts_but_the_first_write_their_outputs_elsewhere(tmp_path: Path) -> None:
    command = ["sh", "-c", 'echo "$@" $FROM_FLYTE', "sh", "--output-prefix", "s3://b/0/"]
    for host, place in (("algo-1", "s3://b/0/"), ("algo-2", "s3://b/0/hosts/algo-2")):
        stdout, stderr = started(tmp_path / host, command, host=host).communicate(timeout=30)
        assert stdout.split() == ["--output-prefix", place, "yes"], stderr


def test_image_without_flytekit_is_told_so(tmp_path: Path) -> None:
    job = started(tmp_path, ["pyflyte-execute"], path="/nowhere")
    assert job.wait(30) == 1
    job.communicate()
    assert failure(tmp_path).startswith("[cdao:USER] UserError: runtime='flytekit' needs flytekit")


@pytest.mark.parametrize(
    ("recoverable", "system", "tag"),
    [(False, False, "USER"), (True, False, "RECOVERABLE"), (True, True, "SYSTEM")],
)
def test_sagemaker_hears_of_the_error_that_flytekit_wrote(
    tmp_path: Path, recoverable: bool, system: bool, tag: str
) -> None:
    document = error_document(recoverable=recoverable, system=system)
    (tmp_path / "saved.pb").write_bytes(document.SerializeToString())
    script = (
        f"mkdir -p $TMPDIR/w/engine_dir && cp {tmp_path}/saved.pb $TMPDIR/w/engine_dir/error.pb"
    )
    job = started(tmp_path / "opt", ["sh", "-c", script])
    job.communicate(timeout=30)
    assert job.returncode == 1
    assert failure(tmp_path / "opt").splitlines() == [
        f"[cdao:{tag}] KeyError: 'k'",
        "  flow.py:8 in inner: return {}[key]",
        "  flow.py:12 in train: return inner(key)",
    ]


def test_end_without_an_error_file_may_be_tried_again(tmp_path: Path) -> None:
    job = started(tmp_path, ["sh", "-c", "exit 7"])
    job.communicate(timeout=30)
    assert job.returncode == 7
    assert failure(tmp_path).startswith("[cdao:RECOVERABLE] pyflyte-execute: it ended with exit co")


def test_stop_reaches_flytekit(tmp_path: Path) -> None:
    script = "trap 'echo stopped; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    job = started(tmp_path, ["sh", "-c", script])
    assert job.stdout is not None
    assert job.stdout.readline() == "up\n"
    job.send_signal(signal.SIGTERM)
    stdout, _ = job.communicate(timeout=30)
    assert stdout == "stopped\n"
    assert job.returncode == 143
    assert failure(tmp_path).startswith("[cdao:INTERRUPTED]")


def test_stop_while_flytekit_is_being_started_reaches_it(tmp_path: Path) -> None:
    """The process is there, and the runner has not been told of it yet."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, subprocess\n"
        "class Popen(subprocess.Popen):\n"
        "    def __init__(self, *arguments, **options):\n"
        "        super().__init__(*arguments, **options)\n"
        f"        with open({str(tmp_path / 'up')!r}) as up:\n"
        "            up.read()\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "subprocess.Popen = Popen\n"
    )
    os.mkfifo(tmp_path / "up")
    script = f"trap 'echo stopped; exit 0' TERM; echo > {tmp_path}/up; while :; do sleep 0.05; done"
    job = started(tmp_path, ["sh", "-c", script], PYTHONPATH=str(tmp_path))
    stdout, _ = job.communicate(timeout=30)
    assert (stdout, job.returncode) == ("stopped\n", 143)


def test_scratch_of_a_job_is_removed(tmp_path: Path) -> None:
    job = started(tmp_path, ["sh", "-c", "echo $TMPDIR; touch $TMPDIR/x"])
    stdout, _ = job.communicate(timeout=30)
    deadline = time.monotonic() + 5
    while Path(stdout.strip()).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(stdout.strip()).exists()
