"""flytekit finds our tasks and connectors by itself."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

from flytekit.core.python_function_task import PythonFunctionTask
from flytekit.extend import TaskPlugins

from cdao_sdk.flyte.plugin import load
from cdao_sdk.flyte.task import DictTask, SageMakerTask, SageMakerTaskConfig, register_task_types


def test_entry_point_is_declared() -> None:
    (entry,) = (e for e in entry_points(group="flytekit.plugins") if e.name == "cdao_sdk")
    assert entry.value == "cdao_sdk._plugin"


def test_plain_flytekit_knows_our_configurations_and_connectors() -> None:
    code = (
        "import flytekit\n"
        "from flytekit.configuration.plugin import get_plugin\n"
        "from flytekit.extend import TaskPlugins\n"
        "from flytekit.extend.backend.base_connector import ConnectorRegistry\n"
        "print(TaskPlugins.find_pythontask_plugin(dict).__name__)\n"
        "print(ConnectorRegistry.get_connector('sagemaker_training').name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["DictTask", "CDAO SageMaker Connector"]


def test_loading_twice_changes_nothing() -> None:
    load()
    load()
    assert TaskPlugins.find_pythontask_plugin(SageMakerTaskConfig) is SageMakerTask
    assert TaskPlugins.find_pythontask_plugin(dict) is DictTask


def test_another_plugins_dict_configuration_is_left_alone(monkeypatch: object) -> None:
    class Theirs(PythonFunctionTask):  # type: ignore[type-arg]
        pass

    registry = TaskPlugins._PYTHONFUNCTION_TASK_PLUGINS
    ours = registry[dict]
    registry[dict] = Theirs
    try:
        register_task_types()
        assert TaskPlugins.find_pythontask_plugin(dict) is Theirs
    finally:
        registry[dict] = ours
