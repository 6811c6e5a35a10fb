"""Workflows whose plans the tests read."""

import dataclasses
from typing import Annotated

from flytekit import Secret, conditional, dynamic, map_task, task, workflow
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


@dataclasses.dataclass
class Batch:
    name: str
    files: list[FlyteFile]


@processing
def count_files(batch: Batch) -> int:
    return len(batch.files)


@sagemaker_training_task(
    framework="pytorch",
    instance_groups=[
        {"name": "lead", "instance_type": "ml.m5.large", "instance_count": 1},
        {"name": "many", "instance_type": "ml.m5.xlarge", "instance_count": 3},
    ],
    max_runtime_seconds=3600,
    secret_requests=[Secret(group="db", key="password")],
)
def fit_on_groups(depth: int) -> int:
    return depth


@sagemaker_training_task(
    framework="pytorch", instance_type="ml.m5.large", instance_count=2, distribution="torchrun"
)
def fit_together(depth: int) -> int:
    return depth


@sagemaker_training_task(
    runtime="flytekit",
    container_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1",
    instance_type="ml.m5.large",
)
def fit_by_flytekit(depth: int) -> int:
    return depth
