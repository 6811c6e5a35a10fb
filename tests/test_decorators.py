"""The decorators: what they take, what they refuse, and in which words."""

# ruff: noqa: UP006, PIE790, S102 # tasks as users write them

from __future__ import annotations

import datetime as dt
from typing import Any, Dict, NamedTuple, Tuple  # noqa: UP035 # as users write them

import pytest
from flytekit import Resources, task

import cdao_sdk
from cdao_sdk import SpecError, decorators
from cdao_sdk.flyte.task import SageMakerTask

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"


class Two(NamedTuple):
    a: str
    b: str


def work(x: int) -> int:
    """A body."""
    return x + 1


def stub(model_path: str, input_data_path: str) -> str:
    """No body."""
    ...


def test_processing_task_works_with_and_without_parentheses() -> None:
    with_options = cdao_sdk.sagemaker_processing_task(framework="sklearn")(work)
    empty = cdao_sdk.sagemaker_processing_task(framework="sklearn", instance_count=1)(work)
    assert isinstance(with_options, SageMakerTask)
    assert with_options.task_function(1) == empty.task_function(1) == 2
    bare = cdao_sdk.sagemaker_batch_transform_task(stub)
    assert isinstance(bare, SageMakerTask)
    assert not bare.runs_body


def test_short_names_are_the_same_decorators() -> None:
    assert decorators.sagemaker_training is decorators.sagemaker_training_task
    assert decorators.sagemaker_processing is decorators.sagemaker_processing_task
    assert decorators.sagemaker_batch_transform is decorators.sagemaker_batch_transform_task


@pytest.mark.parametrize("name", ["training", "processing", "batch_transform", "transform"])
def test_sagemaker_task_makes_each_kind(name: str) -> None:
    options = {"transform": {}, "batch_transform": {}}.get(name, {"framework": "sklearn"})
    function = stub if "transform" in name else work
    made: Any = cdao_sdk.sagemaker_task(job_type=name, **options)(function)
    assert made.task_type == f"sagemaker_{name.removeprefix('batch_')}"


def test_unknown_job_type_offers_the_nearest() -> None:
    with pytest.raises(SpecError, match="'processing'"):
        cdao_sdk.sagemaker_task(job_type="procesing")(work)


@pytest.mark.parametrize("value", ["ml.m5.large", 3, {"framework": "sklearn"}])
def test_option_without_a_name_is_refused(value: Any) -> None:
    with pytest.raises(SpecError, match="options are named"):
        cdao_sdk.sagemaker_training_task(value)


def test_sagemaker_task_without_a_job_type_is_refused() -> None:
    with pytest.raises(SpecError, match="job_type"):
        cdao_sdk.sagemaker_task(work)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="job_type"):
        cdao_sdk.sagemaker_task(framework="sklearn")  # type: ignore[call-overload]


def test_flytekits_options_reach_flytekit() -> None:
    made: Any = cdao_sdk.sagemaker_processing_task(
        framework="sklearn",
        cache=True,
        cache_version="7",
        retries=2,
        interruptible=True,
        timeout=dt.timedelta(minutes=3),
        requests=Resources(cpu="2", mem="4Gi"),
        deprecated="soon",
    )(work)
    metadata = made.metadata
    assert (metadata.cache, metadata.cache_version, metadata.retries) == (True, "7", 2)
    assert (metadata.interruptible, metadata.deprecated) == (True, "soon")
    assert metadata.timeout == dt.timedelta(minutes=3)
    assert made.resources.requests.cpu == "2"


@pytest.mark.parametrize(
    ("option", "nearest"),
    [
        ({"instance_typ": "ml.m5.large"}, "instance_type"),
        ({"use_spot_instance": True}, "use_spot_instances"),
        ({"retrys": 2}, "retries"),
        ({"cache_versoin": "1"}, "cache_version"),
        ({"timout": 1}, "timeout"),
    ],
)
def test_misspelt_option_offers_the_nearest_name(option: Any, nearest: str) -> None:
    with pytest.raises(SpecError, match=f"Did you mean '{nearest}'") as caught:
        cdao_sdk.sagemaker_training_task(framework="sklearn", **option)(work)
    assert "work" in str(caught.value)


def test_all_that_is_wrong_comes_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        cdao_sdk.sagemaker_training_task(
            framework="sklearn",
            instance_type="ml.nope",
            max_runtime_seconds=-1,
            spot_instance_max_wait_seconds=5,
            wrong=1,
        )(work)
    assert len(caught.value.problems) >= 4


@pytest.mark.parametrize(
    "decorator",
    [
        cdao_sdk.sagemaker_batch_transform_task(instance_type="ml.m5.large"),
        cdao_sdk.sagemaker_training_task(algorithm="xgboost"),
    ],
    ids=["transform", "algorithm"],
)
def test_real_body_where_nothing_could_run_it_names_the_way_out(decorator: Any) -> None:
    def predict(model_path: str, input_data_path: str) -> str:
        return model_path + input_data_path

    with pytest.raises(SpecError, match=r"predict.* has a body.* make the body a stub") as caught:
        decorator(predict)
    assert "@sagemaker_training_task(framework=" in str(caught.value)


def test_stub_of_an_algorithm_needs_no_return_statement() -> None:
    @cdao_sdk.sagemaker_training_task(algorithm="xgboost")
    def train(train_data: str, hyperparameters: dict) -> str:
        """The built-in algorithm."""
        ...

    assert isinstance(train, SageMakerTask)
    assert not train.runs_body


def test_processing_runs_even_a_body_that_only_returns_a_constant() -> None:
    @cdao_sdk.sagemaker_processing_task(framework="sklearn")
    def constant() -> str:
        return "s3://bucket/x"

    assert isinstance(constant, SageMakerTask)
    assert constant.runs_body


def test_xgboost_with_a_body_runs_it_and_with_a_stub_is_the_algorithm() -> None:
    decorator = cdao_sdk.sagemaker_training_task(framework="xgboost")

    @decorator
    def algorithm(train_data: str) -> str:
        return "s3://bucket/model.tar.gz"

    @decorator
    def script(train_data: str) -> str:
        return train_data.upper()

    assert not algorithm.runs_body  # type: ignore[attr-defined]
    assert script.runs_body  # type: ignore[attr-defined]


def test_handlers_belong_to_a_training_task_that_runs_code() -> None:
    with pytest.raises(SpecError, match="predict_fn: only a training task"):
        cdao_sdk.sagemaker_processing_task(framework="sklearn", predict_fn=work)(work)  # type: ignore[call-overload]
    with pytest.raises(SpecError, match="predict_fn='x': give a function"):
        cdao_sdk.sagemaker_training_task(framework="sklearn", predict_fn="x")(work)  # type: ignore[call-overload]
    with pytest.raises(SpecError, match="algorithm"):

        @cdao_sdk.sagemaker_training_task(algorithm="xgboost", predict_fn=work)
        def train(train_data: str) -> str: ...


def test_output_that_flyte_can_only_pickle_is_refused() -> None:
    def free(x: int) -> Dict[str, Any]:
        return {"x": x}

    with pytest.raises(SpecError, match=r"free.*can only pickle.*Dict\[str, float\]"):
        cdao_sdk.sagemaker_processing_task(framework="sklearn")(free)


@pytest.mark.parametrize("returned", [Tuple[str, str], Two], ids=["tuple", "named"])
def test_service_returns_one_value(returned: Any) -> None:
    def predict(model_path: str, input_data_path: str): ...

    predict.__annotations__["return"] = returned
    with pytest.raises(SpecError, match="returns 2 values, but its job produces one"):
        cdao_sdk.sagemaker_batch_transform_task(predict)


def test_input_that_only_python_reads_is_refused_where_no_python_runs() -> None:
    def train(train_path: str, hyperparameters: Dict[str, Any]) -> str: ...

    with pytest.raises(SpecError, match="hyperparameters is of a type that only Python can read"):
        cdao_sdk.sagemaker_training_task(algorithm="xgboost")(train)


async def asynchronous(x: int) -> int:
    return x


def unannotated(x):  # type: ignore[no-untyped-def]
    return x


def unresolvable(x: Missing) -> int:  # type: ignore[name-defined] # noqa: F821
    return 1


def silent(x: int) -> int:  # type: ignore[empty-body]
    x += 1


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (asynchronous, "async"),
        (unannotated, "annotat"),
        (unresolvable, "Missing"),
        (silent, "must return a value"),
    ],
)
def test_function_that_cannot_be_a_task_is_named(function: Any, words: str) -> None:
    with pytest.raises(SpecError, match=f"(?s){function.__name__}.*{words}"):
        cdao_sdk.sagemaker_processing_task(framework="sklearn")(function)


def test_nested_function_is_refused_with_the_reason(tmp_path: Any) -> None:
    source = (
        "import cdao_sdk\n"
        "def make():\n"
        "    @cdao_sdk.sagemaker_processing_task(framework='sklearn')\n"
        "    def inner(x: int) -> int:\n"
        "        return x\n"
        "make()\n"
    )
    path = tmp_path / "nesting.py"
    path.write_text(source)
    with pytest.raises(SpecError, match="inner"):
        exec(compile(source, str(path), "exec"), {"__name__": "nesting"})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"platform": "sagemakr", "job_type": "training"}, "Did you mean 'sagemaker'"),
        ({"job_type": "training"}, "platform=None"),
        ({"platform": "sagemaker"}, "job_type=None"),
        ({"platform": "sagemaker", "job_type": "trainin"}, "'training'"),
        ({"platform": "sagemaker", "job_type": "training", "instance_typ": "x"}, "instance_type"),
    ],
)
def test_plain_flytekit_config_is_checked_too(config: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        task(task_config=config)(work)


def test_plain_flytekit_image_becomes_the_jobs_image() -> None:
    config = {"platform": "sagemaker", "job_type": "processing", "instance_type": "ml.m5.large"}
    made: Any = task(task_config=config, container_image=IMAGE)(work)
    assert made.task_config.spec.container_image == IMAGE


def test_workflow_works_with_and_without_parentheses() -> None:
    @cdao_sdk.sagemaker_workflow
    def bare(x: int) -> int:
        return x

    @cdao_sdk.sagemaker_workflow(interruptible=True)
    def with_options(x: int) -> int:
        return x

    assert bare(x=3) == with_options(x=3) == 3


def test_workflow_that_cannot_be_one_is_named() -> None:
    with pytest.raises(SpecError, match="unresolvable"):
        cdao_sdk.sagemaker_workflow(unresolvable)


def test_misspelt_workflow_option_offers_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="Did you mean 'interruptible'"):
        cdao_sdk.sagemaker_workflow(interuptible=True)  # type: ignore[call-overload]
