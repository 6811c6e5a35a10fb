"""Literal /opt/ml paths without a container, as root and as anybody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.local import sandbox

if TYPE_CHECKING:
    from .conftest import Laboratory

SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin")
NOBODY = 65534

# Enters a namespace, shows argv[3] at argv[2], and prints what can be seen there.
CODE = textwrap.dedent(
    """
    import importlib.util, os, sys
    from pathlib import Path
    spec = importlib.util.spec_from_file_location("sandbox", sys.argv[1])
    sandbox = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sandbox)
    point = Path(sys.argv[2])
    refusal = sandbox.enter(point)
    if refusal is None:
        before = set(os.listdir("/usr"))
        sandbox.bind(Path(sys.argv[3]), point)
        (point / "made").write_text("by the job")
        print(sorted(os.listdir(point)), before == set(os.listdir("/usr")), os.getuid())
    else:
        print("refused:", refusal)
    """
)


def enter(directory: Path, point: str, *, as_nobody: bool) -> str:
    """What a process sees at `point` once it is mounted; skips where the kernel refuses."""
    assert SYSTEM_PYTHON is not None
    script = directory / "sandbox.py"
    shutil.copy(sandbox.__file__, script)
    command = [SYSTEM_PYTHON, "-I", "-S", "-c", CODE, str(script), point, str(directory / "job")]
    if as_nobody:
        if os.geteuid() != 0 or shutil.which("setpriv") is None:
            pytest.skip("only root can become somebody else")
        identity = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        command = ["setpriv", *identity, *command]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    if ended.stdout.startswith("refused:"):
        pytest.skip(ended.stdout)
    return ended.stdout.strip()


@pytest.fixture
def open_directory() -> object:
    """A folder that any user can reach: pytest's own are for its user only."""
    directory = Path(f"/tmp/cdao-sandbox-{os.getpid()}")
    (directory / "job").mkdir(parents=True)
    directory.chmod(0o755)
    (directory / "job").chmod(0o777)
    (directory / "job" / "there").write_text("x")
    yield directory
    shutil.rmtree(directory)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mount namespaces")
@pytest.mark.skipif(SYSTEM_PYTHON is None, reason="needs a Python that every user can run")
@pytest.mark.parametrize("as_nobody", [False, True], ids=["self", "nobody"])
@pytest.mark.parametrize(
    "point",
    ["/opt/ml", "/no-such-folder/of/mine", "/usr/share/no-such-folder", "/usr"],
    ids=["opt", "in-root", "beside-others", "existing"],
)
def test_a_folder_is_shown_and_the_real_file_system_stays(
    open_directory: Path, point: str, as_nobody: bool
) -> None:
    was_there = Path(point).exists()
    if point == "/usr":
        pytest.skip("hides the interpreter itself") if as_nobody else None
        point, was_there = str(open_directory), True
    seen = enter(open_directory, point, as_nobody=as_nobody)
    user = NOBODY if as_nobody else os.getuid()
    assert seen == f"['made', 'there'] True {user}"
    assert (open_directory / "job" / "made").read_text() == "by the job"
    assert Path(point).exists() == was_there


def test_jobs_at_the_same_time_have_their_own(lab: Laboratory) -> None:
    hosts = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}
    lab.train(
        "import os, time; open('/opt/ml/mine','w').write(os.environ['SM_CURRENT_HOST']);"
        "time.sleep(0.3); print(open('/opt/ml/mine').read())",
        ResourceConfig=hosts,
    )
    assert lab.log.text("algo-1") == "algo-1\n"
    assert lab.log.text("algo-2") == "algo-2\n"


def test_where_mounting_is_refused_variables_tell_the_place(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.processes, "sandbox_refusal", lambda: "no namespaces here")
    lab.put("in/run.py", "import os; print(os.environ['SM_MODEL_DIR'], os.environ['CDAO_OPT_ML']);"
            "open(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('x')")  # fmt: skip
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in/"}}
    outcome = lab.train(
        ["python3", "/opt/ml/input/data/code/run.py"],
        InputDataConfig=[{"ChannelName": "code", "DataSource": source}],
    )
    assert outcome.status == "Completed"
    assert lab.archive("out/job/output/model.tar.gz") == {"m": b"x"}
    root = lab.directory / "training" / "job" / "work" / "algo-1"
    note, line = lab.log.text().splitlines()
    assert "/opt/ml cannot be mounted here (no namespaces here)" in note
    assert line == f"{root}/model {root}"
