"""Flyte and CDAO SDK in the job: absent or installed, their stand-ins are what is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Container

SCRIPT = """
import enum, functools
import cdao_sdk
import flytekit
import flytekit.extras.accelerators
from cdao_sdk import Channel, configure, run, sagemaker_training_task, sagemaker_workflow
from cdao_sdk.decorators import sagemaker_processing_task
from cdao_sdk.errors import CdaoError, JobFailed, SpecError
from flytekit import LaunchPlan, Resources, dynamic, map_task, task, workflow
from flytekit.core.artifact import Artifact
from flytekit.extend import TypeTransformer
from flytekit.exceptions.user import FlyteRecoverableException
from flytekit.types.file import PNGImageFile
from flyteidl.core.literals_pb2 import Literal as IdlLiteral
from flytekitplugins.awssagemaker_inference import BotoConfig

configure(admin_endpoint="https://flyte.example.com", project="p", domain="d")
cdao_sdk.configure_sagemaker(sagemaker_role="arn:aws:iam::123456789012:role/R")
small = functools.partial(sagemaker_training_task, instance_type="ml.m5.large")
cached = task(cache=True, cache_version="1")


class Money:
    pass


class MoneyTransformer(TypeTransformer[Money]):
    def __init__(self):
        super().__init__("money", Money)


flytekit.extend.TypeEngine.register(MoneyTransformer())
PLAIN = []


def plain(function):
    PLAIN.append(type(function).__name__)
    return function


@plain
@task
def bare():
    return 1


@plain
@task(requests=Resources(cpu="1"), task_config={"platform": "sagemaker"})
def with_arguments():
    return 2


@plain
@small(instance_count=2)
def by_partial():
    return 3


@plain
@small
def by_bare_partial():
    return 4


@plain
@cached
def by_kept_decorator():
    return 5


by_call = plain(task(lambda: 6, cache=True))


@plain
@dynamic
def later():
    return 7


@plain
@cdao_sdk.sagemaker_training
def by_short_name():
    return 8


@plain
@sagemaker_processing_task(instance_type="ml.m5.large", framework="sklearn")
def step() -> dict:
    return {
        "called": [bare(), with_arguments(), by_partial(), by_bare_partial(), by_kept_decorator(),
                   by_call(), later(), by_short_name()],
        "plain": sorted(set(PLAIN)),
        "cpu": Resources_of_module.cpu,
        "errors": [issubclass(e, Exception) for e in (CdaoError, JobFailed, SpecError)],
        "family": issubclass(SpecError, CdaoError) and cdao_sdk.SpecError is SpecError,
        "file": PNGImageFile is flytekit.types.file.FlyteFile,
        "module": flytekit.__name__,
        "recoverable": FlyteRecoverableException is flytekit.FlyteRecoverableException,
    }


Resources_of_module = Resources(cpu="2", mem="1Gi")


@sagemaker_workflow
def pipeline(path: str) -> dict:
    return step()


@workflow
def wf():
    pipeline(path="s3://b/x") >> step()


execution = run(workflow=pipeline, inputs={"path": "s3://b/x"})
cdao_sdk.monitor_sagemaker_jobs(execution.id)
plan = LaunchPlan.get_or_create(wf, "nightly", default_inputs={}, schedule=flytekit.CronSchedule())
mapped = map_task(bare, concurrency=2)
if __name__ == "__main__":
    raise SystemExit("the script's own part must not run")
"""
EXPECTED = {
    "called": [1, 2, 3, 4, 5, 6, 7, 8],
    "plain": ["function"],
    "cpu": "2",
    "errors": [True, True, True],
    "family": True,
    "file": True,
    "module": "flytekit",
    "recoverable": True,
}


def test_a_whole_script_is_imported_and_its_decorators_return_plain_functions(
    container: Container,
) -> None:
    assert container.run(SCRIPT).value == EXPECTED


def test_installed_flytekit_and_cdao_sdk_give_the_same(library_container: Container) -> None:
    assert library_container.run(SCRIPT).value == EXPECTED


def test_installed_flytekit_is_not_loaded(library_container: Container) -> None:
    code = """
        import sys
        from flytekit import task
        from flytekit.types.structured import StructuredDataset

        @task
        def step() -> list:
            return sorted(n for n in ("grpc", "boto3", "pydantic", "rich") if n in sys.modules)
    """
    assert library_container.run(code).value == []


def test_what_is_not_there_says_so_once_the_body_runs(container: Container) -> None:
    done = container.run("""
        import flytekit
        from flytekit import task, map_task
        from flytekit.remote import FlyteRemote
        import cdao_sdk

        USES = [
            lambda: FlyteRemote(config=None),
            lambda: FlyteRemote.auto(),
            lambda: map_task(step)(x=[1]),
            lambda: cdao_sdk.run(workflow=step),
            lambda: flytekit.Deck("title"),
            lambda: task(cache=True),
            lambda: __import__("flytekit.clients.raw").clients.raw.Client(),
            lambda: flytekit.current_context().decks,
        ]

        @task
        def step() -> list:
            found = []
            for use in USES:
                try:
                    found.append(str(use()))
                except AttributeError as error:
                    assert "not available in the script runtime" in str(error), error
            return found
    """)
    assert done.value == []


def test_refusal_names_what_was_used_and_ends_the_job(container: Container) -> None:
    done = container.run("""
        from flytekit import Secret, task

        @task
        def step() -> str:
            return Secret(group="g", key="k").key
    """)
    assert done.failure.startswith(
        "[cdao:USER] NotAvailableError: flytekit.Secret is not available in the script runtime"
    )
    assert "flow.py:6 in step" in done.failure


def test_the_body_may_import_modules_that_have_tasks_of_their_own(container: Container) -> None:
    files: dict[str, str | bytes] = {
        "flow.py": """
            def step() -> int:
                from steps.more import double
                return double(4)
        """,
        "steps/__init__.py": "",
        "steps/more.py": """
            from flytekit import Resources, task

            @task(requests=Resources(cpu="1"))
            def double(x: int) -> int:
                return 2 * x
        """,
    }
    assert container.run(files).value == 8


def test_bundled_examples_are_imported_under_their_real_name(container: Container) -> None:
    files: dict[str, str | bytes] = {
        "cdao_sdk/examples/credit.py": """
            from cdao_sdk import sagemaker_training_task
            from cdao_sdk.examples import _shared
            from ._shared import NUMBER

            @sagemaker_training_task
            def train() -> list:
                return [__name__, train.__module__, NUMBER, _shared.NUMBER]
        """,
        "cdao_sdk/examples/_shared.py": "NUMBER = 7\n",
    }
    name = "cdao_sdk.examples.credit"
    done = container.run(files, entry={"module": name, "function": "train"})
    assert done.value == [name, name, 7, 7]


def test_examples_that_are_not_in_the_bundle_are_missing(library_container: Container) -> None:
    entry = {"module": "cdao_sdk.examples.credit_scoring", "function": "train"}
    done = library_container.run("", entry=entry)
    assert done.failure.startswith("[cdao:USER] EntryError: the module 'cdao_sdk.examples.credit")


def test_dataclass_json_mixins_work(container: Container) -> None:
    container.needs("3.7")
    done = container.run(
        """
        from dataclasses import dataclass, field
        from dataclasses_json import DataClassJsonMixin, config, dataclass_json
        from mashumaro.mixins.json import DataClassJSONMixin

        @dataclass
        class Inner(DataClassJSONMixin):
            depth: int = field(default=3, metadata=config(field_name="d"))

        @dataclass_json
        @dataclass
        class Outer:
            inner: Inner

        @dataclass_json(undefined=None)
        @dataclass
        class Other(DataClassJsonMixin):
            rate: float

        def step(outer: Outer) -> list:
            again = Outer.from_json(outer.to_json())
            return [again == outer, again.inner.depth, Other.from_dict({"rate": 1}).to_dict()]
    """,
        inputs={"outer": {"value": {"inner": {"depth": 5.0}}}},
    )
    assert done.value == [True, 5, {"rate": 1.0}]


def test_annotated_without_typing_extensions(container: Container) -> None:
    done = container.run(
        """
        from typing_extensions import Annotated
        from cdao_sdk import Channel, HyperParameters

        def step(data: Annotated[str, Channel("train")], hp: HyperParameters) -> list:
            return [data, hp]
    """,
        inputs={"data": {"value": "s3://b/x"}, "hp": {"value": {"eta": 0.3}}},
    )
    assert done.value == ["s3://b/x", {"eta": 0.3}]


def test_workers_of_multiprocessing_import_the_users_module(container: Container) -> None:
    done = container.run("""
        import multiprocessing
        from flytekit import task
        import cdao_sdk

        def work(x):
            return [x * 2, cdao_sdk.current_job().name]

        @task
        def step() -> list:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return pool.map(work, [1, 2])
    """)
    assert done.value == [[2, "job-1"], [4, "job-1"]]


def test_current_context_has_directory_id_and_checkpoint(container: Container) -> None:
    done = container.run("""
        import os
        from flytekit import current_context, logger, task

        @task
        def step() -> list:
            context = current_context()
            before = context.checkpoint.read()
            context.checkpoint.write(b"epoch 3")
            logger.warning("seen")
            place = context.working_directory
            same = place == current_context().working_directory
            return [before, context.checkpoint.read().decode(), context.execution_id.name,
                    os.path.isdir(place), same]
    """)
    assert done.value == [None, "epoch 3", "exec-1", True, True]
    assert (container.root / "checkpoints" / "flyte-checkpoint").read_bytes() == b"epoch 3"
    assert "seen" in done.stderr
    assert not list((container.root / "tmp").iterdir())


def test_classes_with_a_stand_in_as_base_are_the_users_own(container: Container) -> None:
    container.needs("3.7")
    done = container.run(
        """
        from abc import ABC, abstractmethod
        from dataclasses import dataclass
        from flytekit.core.hash import HashMethod
        from flytekitplugins.somewhere import Mixin

        @dataclass
        class Config(Mixin, ABC):
            depth: int
            rate: float = 0.5

            def twice(self):
                return 2 * self.depth

        def step(config: Config) -> Config:
            try:
                config.inherited()
            except AttributeError as error:
                assert "Mixin.inherited is not available" in str(error), error
            return Config(config.twice())
        """,
        inputs={"config": {"value": {"depth": 3.0}}},
    )
    assert done.value == {"depth": 6, "rate": 0.5}


def test_a_star_brings_the_public_names(container: Container) -> None:
    done = container.run("""
        from flytekit import *
        from cdao_sdk import *

        @sagemaker_processing_task(framework="sklearn")
        def step() -> list:
            return [current_job().kind, str(FlyteFile("x").path)]

        @workflow
        def flow() -> list:
            return step()
    """)
    assert done.value == [container.kind, "x"]


def test_a_star_brings_no_other_names_than_there_are() -> None:
    import flytekit

    import cdao_sdk
    from cdao_sdk.runtime import runner

    assert {"__version__", *runner.STARRED["cdao_sdk"].split()} == set(cdao_sdk.__all__)
    assert [
        name for name in runner.STARRED["flytekit"].split() if not hasattr(flytekit, name)
    ] == []
