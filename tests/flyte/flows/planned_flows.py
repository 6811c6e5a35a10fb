"""Workflows whose plans the tests read."""

from typing import Annotated

from flytekit import conditional, dynamic, map_task, task, workflow
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile

from cdao_sdk import (
    Channel,
    sagemaker_batch_transform_task,
    sagemaker_processing_task,
    sagemaker_training_task,
)

processing = sagemaker_processing_task(framework="sklearn", framework_version="1.9-0")


@processing
def clean(data: FlyteFile, share: float) -> FlyteFile:
    return FlyteFile("clean.csv")


@sagemaker_training_task(
    framework="sklearn",
    framework_version="1.9-0",
    instance_type="ml.m5.large",
    max_runtime_seconds=3600,
    use_spot_instances=True,
    retries=2,
)
def fit(train: FlyteFile, depth: int) -> FlyteDirectory:
    return FlyteDirectory("/opt/ml/model")


@sagemaker_training_task(algorithm="xgboost", instance_type="ml.m5.large", max_runtime_seconds=1800)
def boost(train: FlyteFile, max_depth: int, objective: str) -> str: ...


@sagemaker_batch_transform_task(instance_type="ml.m5.large")
def predict(model: FlyteDirectory, data: FlyteFile) -> str: ...


@sagemaker_batch_transform_task(instance_type="ml.m5.large")
def score(model: str, data: FlyteFile) -> str: ...


@task
def choose(number: int) -> str:
    return "s3://bucket/train-1/output/model.tar.gz"


@workflow
def pipeline(data: FlyteFile, depth: int = 6) -> str:
    cleaned = clean(data=data, share=0.5)
    return predict(model=fit(train=cleaned, depth=depth), data=cleaned)


@workflow
def boosted(data: FlyteFile) -> str:
    return score(model=boost(train=data, max_depth=3, objective="reg:linear"), data=data)


@workflow
def chosen(data: FlyteFile) -> str:
    return score(model=choose(number=1), data=data)


@workflow
def one_of_two(data: FlyteFile, depth: int) -> FlyteDirectory:
    return (
        conditional("depth")
        .if_(depth > 3)
        .then(fit(train=data, depth=depth))
        .else_()
        .then(fit(train=data, depth=1))
    )


@sagemaker_training_task(framework="sklearn", framework_version="1.9-0", interruptible=True)
def cheap(data: FlyteFile) -> int:
    return 1


@processing
def square(number: int) -> int:
    return number * number


@processing
def total(numbers: list[int]) -> int:
    return sum(numbers)


@processing
def count(numbers: int) -> list[int]:
    return list(range(numbers))


@workflow
def squares(numbers: list[int]) -> int:
    return total(numbers=map_task(square)(number=numbers))


@workflow
def squares_of_later(numbers: int) -> int:
    return total(numbers=map_task(square)(number=count(numbers=numbers)))


@dynamic
def later(number: int) -> int:
    return square(number=number)


@workflow
def undecided(number: int) -> int:
    return later(number=square(number=number))


@sagemaker_training_task(algorithm="xgboost")
def train_on(train: Annotated[str, Channel("train")]) -> str: ...


@workflow
def two_wrong_places(first: str, second: str) -> tuple[str, str]:
    return train_on(train=first), train_on(train=second)
