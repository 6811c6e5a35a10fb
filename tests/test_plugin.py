"""flytekit finds our tasks and connectors by itself."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest
from flytekit import task
from flytekit.core.python_function_task import PythonFunctionTask
from flytekit.extend import TaskPlugins
from flytekit.extend.backend.base_connector import ConnectorRegistry, FlyteConnectorNotFound

from cdao_sdk.errors import SpecError
from cdao_sdk.flyte.plugin import load
from cdao_sdk.flyte.task import DictTask, SageMakerTask, SageMakerTaskConfig, register_task_types
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from pathlib import Path

# Task types of flytekitplugins-awssagemaker 1.16.31; registering one twice raises.
TAKEN = {
    *("boto", "sagemaker-endpoint", "sagemaker-training-job", "sagemaker-training-task"),
    *("sagemaker-processing-job", "sagemaker-processing-task", "sagemaker-transform-job"),
    *("sagemaker-hyperparameter-tuning-job", "sagemaker-inference-recommender-job"),
}

# A file of a user who has never heard of us.
PLAIN = """
from flytekit import task

@task(
    task_config={
        "platform": "sagemaker",
        "job_type": "processing",
        "instance_type": "ml.m5.large",
        "framework": "sklearn",
    },
    retries=2,
)
def count(text: str) -> int:
    return len(text.split())

print(count.task_type, count.task_config.spec.instance_type, type(count).__mro__[1].__name__[:9])
print(count.task_function("three little words"))
"""


def test_entry_point_is_declared() -> None:
    (entry,) = (e for e in entry_points(group="flytekit.plugins") if e.name == "cdao_sdk")
    assert entry.value == "cdao_sdk._plugin"


def test_entry_point_loads() -> None:
    (entry,) = (e for e in entry_points(group="flytekit.plugins") if e.name == "cdao_sdk")
    assert entry.load().__name__ == "cdao_sdk._plugin"


def test_connectors_of_our_task_types_are_listed_and_none_of_the_other_plugins_names() -> None:
    ours = {kind.task_type for kind in KINDS.values()}
    assert ours == {"sagemaker_training", "sagemaker_processing", "sagemaker_transform"}
    assert ours & TAKEN == set()
    listed = {
        category.name
        for connector in ConnectorRegistry.list_connectors()
        if connector.name == "CDAO SageMaker Connector"
        for category in connector.supported_task_categories
    }
    assert listed == ours
    for task_type in ours:
        assert ConnectorRegistry.get_connector(task_type).name == "CDAO SageMaker Connector"
    # The other plugin may be installed beside ours: nothing of its name is registered by us.
    for task_type in TAKEN:
        with pytest.raises(FlyteConnectorNotFound):
            ConnectorRegistry.get_connector(task_type)


def test_process_that_imports_flytekit_alone_has_our_tasks(tmp_path: Path) -> None:
    program = tmp_path / "plain.py"
    program.write_text(PLAIN)
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["sagemaker_processing", "ml.m5.large", "SageMaker", "3"]


def test_dict_for_another_platform_says_which_there_is() -> None:
    with pytest.raises(SpecError, match=r"platform='sagemakr'.*Did you mean 'sagemaker'"):

        @task(task_config={"platform": "sagemakr", "job_type": "processing"})
        def count(text: str) -> int:
            return len(text.split())


def test_loading_twice_changes_nothing() -> None:
    load()
    load()
    assert TaskPlugins.find_pythontask_plugin(SageMakerTaskConfig) is SageMakerTask
    assert TaskPlugins.find_pythontask_plugin(dict) is DictTask


def test_another_plugins_dict_configuration_is_left_alone() -> None:
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
