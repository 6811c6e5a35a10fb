"""Importing has no effects and stays light."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    *("flytekit", "flyteidl", "boto3", "botocore", "aiobotocore", "pydantic", "pydantic_settings"),
    *("pandas", "numpy", "IPython", "ipywidgets", "rich", "sklearn", "xgboost", "moto", "werkzeug"),
    *("cheroot", "grpc", "yaml", "asyncio"),
)


def loaded_by(code: str) -> set[str]:
    program = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    "code",
    [
        "import cdao_sdk",
        "import cdao_sdk; dir(cdao_sdk); cdao_sdk.__version__",
        "import cdao_sdk.errors",
        "import cdao_sdk.decorators",
        "from cdao_sdk import Channel, JobFailed, current_job, sagemaker_training_task",
    ],
)
def test_import_loads_nothing_heavy(code: str) -> None:
    assert loaded_by(code) & set(HEAVY) == set()


def test_settings_need_no_aws_and_no_flyte() -> None:
    found = loaded_by("import cdao_sdk; cdao_sdk.configure(project='x')")
    assert not found & {"flytekit", "boto3", "botocore", "aiobotocore", "pandas", "rich"}


def test_plugin_loads_no_aws_library_and_no_settings() -> None:
    # Every process that imports flytekit pays for it.
    alone = loaded_by("import flytekit.core.python_function_task, flytekit.extend.backend.base_connector")
    found = loaded_by("import cdao_sdk._plugin") - alone
    assert not found & {"boto3", "aiobotocore", "aiohttp", "pydantic_settings", "werkzeug"}
    assert "cdao_sdk" in found


def test_import_starts_no_thread_and_writes_nothing(tmp_path: object) -> None:
    code = "import cdao_sdk, threading, os; assert threading.active_count() == 1"
    done = subprocess.run(
        [sys.executable, "-c", code + "; print(os.listdir())"],
        cwd=str(tmp_path), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
