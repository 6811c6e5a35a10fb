"""Hosts of two types: the data goes to one of them."""

from __future__ import annotations

import os

from flytekit.types.directory import FlyteDirectory
from typing_extensions import Annotated

from cdao_sdk import (
    Channel,
    current_job,
    sagemaker_processing_task,
    sagemaker_training_task,
    sagemaker_workflow,
)


@sagemaker_processing_task
def make() -> FlyteDirectory:
    os.makedirs("parts")
    for number in range(4):
        with open(f"parts/{number}.csv", "w") as part:
            part.write(str(number))
    return FlyteDirectory("parts")


@sagemaker_training_task(
    framework="scikit-learn",
    instance_groups=[
        {"name": "readers", "instance_type": "ml.m5.large", "instance_count": 2},
        {"name": "others", "instance_type": "ml.m5.xlarge"},
    ],
    extra={"RemoteDebugConfig": {"EnableRemoteDebug": True}},
)
def train(
    data: Annotated[
        FlyteDirectory, Channel(distribution="ShardedByS3Key", instance_groups=("readers",))
    ],
) -> str:
    job = current_job()
    if job.instance_group == "others":
        assert data is None
    else:
        assert len(os.listdir(data.path)) == 2
    return f"{len(job.hosts)} hosts, here {job.instance_group}"


@sagemaker_workflow
def pipeline() -> str:
    return train(data=make())
