"""Tasks whose jobs meet faults of AWS's."""

import time
from pathlib import Path

from flytekit.types.file import FlyteFile

from cdao_sdk import (
    sagemaker_batch_transform_task,
    sagemaker_processing_task,
    sagemaker_training_task,
)


@sagemaker_processing_task(framework="sklearn")
def quick(number: int) -> int:
    return number + 1


@sagemaker_training_task(framework="sklearn", use_spot_instances=True)
def train(number: int) -> int:
    return number + 1


@sagemaker_training_task(framework="sklearn", use_spot_instances=True)
def resume(seconds: float) -> str:
    seen = Path("/opt/ml/checkpoints/seen")
    if seen.exists():
        return "went on"
    seen.write_text("1")
    time.sleep(seconds)
    return "was left alone"


@sagemaker_batch_transform_task(instance_type="ml.m5.large", framework="sklearn")
def predict(model_path: str, data: FlyteFile) -> str:
    """A service."""
