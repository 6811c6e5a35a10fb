"""A model that a batch transform serves, made by jobs that also return files."""

import os
from typing import Tuple

from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile

from cdao_sdk import (
    current_job,
    sagemaker_batch_transform_task,
    sagemaker_training_task,
    sagemaker_workflow,
)


def model_fn(model_dir):
    with open(os.path.join(model_dir, "offset")) as file:
        return int(file.read())


def predict_fn(data, model):
    return data.sum(axis=1) + model


@sagemaker_training_task(
    instance_type="ml.m5.large", framework="sklearn", model_fn=model_fn, predict_fn=predict_fn
)
def fit(offset: int) -> Tuple[FlyteDirectory, FlyteFile]:
    path = os.path.join(current_job().model_dir, "offset")
    with open(path, "w") as file:
        file.write(str(offset))
    with open("report.txt", "w") as file:
        file.write(f"offset {offset}")
    return FlyteDirectory(current_job().model_dir), FlyteFile("report.txt")


@sagemaker_batch_transform_task(instance_type="ml.m5.large")
def predict(model: FlyteDirectory, data: FlyteFile) -> FlyteDirectory: ...


@sagemaker_workflow
def fit_and_predict(offset: int, data: FlyteFile) -> Tuple[FlyteFile, FlyteDirectory]:
    model, report = fit(offset=offset)
    return report, predict(model=model, data=data)
