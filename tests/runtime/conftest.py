"""A job's container, as the script runtime sees it: a tree like /opt/ml, and an interpreter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

RUNNER = Path(__file__).parents[2] / "cdao_sdk" / "runtime" / "runner.py"
VERSIONS = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
# The oldest, this one and the newest; all others where they are asked for, as .ci/run does.
_OURS = "{}.{}".format(*sys.version_info)
CHOSEN = os.environ.get("CDAO_TEST_PYTHONS", f"3.6,{_OURS},3.13").split(",")


def _interpreter(version: str) -> str | None:
    """An installed Python: pyenv's own folder first, its shims exist for absent versions too."""
    if "COVERAGE_PROCESS_CONFIG" in os.environ and sys.version.startswith(f"{version}."):
        return sys.executable  # the one that can measure what it runs
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted((pyenv / "versions").glob(f"{version}.*/bin/python"))
    if found:
        return str(found[-1])
    path = shutil.which(f"python{version}")
    return None if path is None or "shims" in path else path


@dataclass
class Finished:
    """What a job left."""

    code: int
    stdout: str
    stderr: str
    root: Path
    result_dir: Path

    @property
    def document(self) -> dict[str, Any]:
        """`outputs.json`."""
        assert self.code == 0, self.stderr
        return json.loads((self.result_dir / "outputs.json").read_text(encoding="utf-8"))

    @property
    def outputs(self) -> dict[str, Any]:
        """The declared outputs, encoded."""
        return self.document["outputs"]

    @property
    def value(self) -> Any:
        """The plain value of the only output."""
        (encoded,) = self.outputs.values()
        assert list(encoded) == ["value"], encoded
        return encoded["value"]

    @property
    def failure(self) -> str:
        """The failure text; there is no result then."""
        assert not (self.result_dir / "outputs.json").exists()
        texts = {(self.root / "output" / name).read_bytes() for name in ("failure", "message")}
        assert len(texts) == 1
        return texts.pop().decode("utf-8")


@dataclass
class Container:
    """Lays out /opt/ml, and runs the runner in it."""

    root: Path
    python: str
    version: str = f"{sys.version_info[0]}.{sys.version_info[1]}"
    kind: str = "training"
    spec: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)

    @property
    def channels(self) -> Path:
        """Where input channels are."""
        return self.root / ("input/data" if self.kind == "training" else "processing/input")

    @property
    def result_dir(self) -> Path:
        """Where the result goes."""
        inner = "output/data" if self.kind == "training" else "processing/output/cdao"
        return self.root / inner

    @property
    def model_dir(self) -> Path:
        """Where the model goes."""
        return self.root / "model"

    def needs(self, version: str) -> None:
        """Skip the test on a Python that has not yet what it is about."""
        if VERSIONS.index(self.version) < VERSIONS.index(version):
            pytest.skip(f"Python {self.version} has no such thing")

    def write(self, path: str, content: str | bytes) -> Path:
        """A file below the root."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else textwrap.dedent(content).encode()
        target.write_bytes(data)
        return target

    def hosts(self, current: str, *hosts: str, place: str = "input/config") -> None:
        """SageMaker's description of the hosts."""
        content = {"current_host": current, "hosts": hosts, "network_interface_name": "eth0"}
        self.write(f"{place}/resourceconfig.json", json.dumps(content))

    def lay_out(self, files: dict[str, str | bytes], **spec: Any) -> list[str]:
        """Put runner, code and spec in their channels; returns the command."""
        cdao = self.channels / "cdao"
        cdao.mkdir(parents=True, exist_ok=True)
        runner = Path(shutil.copy(RUNNER, cdao / "runner.py"))
        with tarfile.open(cdao / "code.tar.gz", "w:gz") as archive:
            for name, content in files.items():
                archive.add(self.write(f"scratch/{name}", content), name)
        at = "/opt/ml/" + str(self.channels.relative_to(self.root))
        full: dict[str, Any] = {
            "version": 1,
            "kind": self.kind,
            "entry": {"module": "flow", "function": "step"},
            "code": [f"{at}/cdao/code.tar.gz"],
            "inputs": {},
            "outputs": ["o0"],
            "result_dir": "/opt/ml/" + str(self.result_dir.relative_to(self.root)),
            "model_dir": "/opt/ml/model" if self.kind == "training" else None,
            "job": {"name": "job-1", "execution": "exec-1", "node": "n0", "attempt": 0},
            **self.spec,
            **spec,
        }
        (self.root / "model").mkdir(exist_ok=True)
        self.write(
            str(self.channels.relative_to(self.root) / "cdao-job/spec.json"), json.dumps(full)
        )
        return [self.python, str(runner)]

    @property
    def environment(self) -> dict[str, str]:
        """A container's: none of this machine's Python variables."""
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST", "SM_"))
        }
        (self.root / "tmp").mkdir(exist_ok=True)
        places = {"CDAO_OPT_ML": str(self.root), "TMPDIR": str(self.root / "tmp")}
        return {**kept, **places, **self.env}

    def run(self, files: str | dict[str, str | bytes], **spec: Any) -> Finished:
        """Run a job of `flow.py` (or of several files) to its end."""
        command = self.lay_out({"flow.py": files} if isinstance(files, str) else files, **spec)
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.root,
            capture_output=True,
            timeout=60,
            check=False,
        )
        out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
        return Finished(done.returncode, out, err, self.root, self.result_dir)

    def call(self, code: str, **inputs: object) -> Finished:
        """Run a job with plain values as inputs."""
        return self.run(code, inputs={name: {"value": value} for name, value in inputs.items()})


@pytest.fixture(params=[version for version in VERSIONS if version in CHOSEN])
def container(request: pytest.FixtureRequest, tmp_path: Path) -> Container:
    """A container of each Python that SageMaker's images have, where it is installed here."""
    python = _interpreter(request.param)
    if python is None:
        pytest.skip(f"no Python {request.param} on this machine")
    return Container(tmp_path / "opt-ml", python, request.param)


@pytest.fixture
def library_container(tmp_path: Path) -> Container:
    """A container with this environment's packages: numpy, pandas, pydantic, flytekit, ..."""
    return Container(tmp_path / "opt-ml", sys.executable)
