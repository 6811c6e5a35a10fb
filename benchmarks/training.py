"""A training job that only sleeps, as a task of ours."""

import time

from cdao_sdk import sagemaker_training_task


@sagemaker_training_task(framework="pytorch", instance_type="ml.m5.xlarge")
def sleep(seconds: float) -> float:
    """Sleep."""
    time.sleep(seconds)
    return seconds
