"""A workflow of independent jobs that only sleep."""

import time

from cdao_sdk import sagemaker_processing_task, sagemaker_workflow

SECONDS = 2.0


@sagemaker_processing_task(framework="scikit-learn")
def nap(seconds: float) -> float:
    """Sleep."""
    time.sleep(seconds)
    return seconds


@sagemaker_workflow
def one(seconds: float = SECONDS) -> float:
    """One job."""
    return nap(seconds=seconds)


@sagemaker_workflow
def four(seconds: float = SECONDS) -> tuple[float, float, float, float]:
    """Four jobs that need nothing of each other."""
    return (
        nap(seconds=seconds),
        nap(seconds=seconds),
        nap(seconds=seconds),
        nap(seconds=seconds),
    )
