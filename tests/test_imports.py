"""Importing has no effects and stays light."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    *("flytekit", "flyteidl", "boto3", "botocore", "aiobotocore", "moto"),
    *("pydantic", "pydantic_settings", "rich_click"),
    *("pandas", "numpy", "IPython", "ipywidgets", "rich", "sklearn", "xgboost", "werkzeug"),
    *("cheroot", "grpc", "yaml", "asyncio"),
)


# flytekit finds no plugins, so not ours.
WITHOUT_PLUGINS = (
    "import importlib.metadata as metadata\n"
    "found = metadata.entry_points\n"
    "plugins = {'group': 'flytekit.plugins'}\n"
    "metadata.entry_points = lambda **by: () if by == plugins else found(**by)\n"
    "import flytekit"
)


def loaded_by(code: str) -> set[str]:
    program = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize(
    "code",
    [
        "import cdao_sdk",
        "import cdao_sdk; dir(cdao_sdk); cdao_sdk.__all__; cdao_sdk.__version__",
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


def test_plugin_adds_little_to_what_flytekit_loads_itself() -> None:
    # Every process that imports flytekit pays for it, by its entry point.
    alone, with_us = loaded_by(WITHOUT_PLUGINS), loaded_by("import flytekit")
    assert "cdao_sdk" not in alone
    assert "cdao_sdk" in with_us
    ours = with_us - alone
    assert not ours & {
        *("boto3", "botocore", "aiobotocore", "aiohttp", "moto", "werkzeug", "cheroot"),
        *("pydantic_settings", "rich_click", "pandas", "IPython", "ipywidgets"),
    }


def test_import_starts_no_thread_and_writes_nothing(tmp_path: object) -> None:
    code = "import cdao_sdk, threading, os; assert threading.active_count() == 1"
    done = subprocess.run(
        [sys.executable, "-c", code + "; print(os.listdir())"],
        cwd=str(tmp_path), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
