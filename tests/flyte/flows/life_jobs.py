"""Tasks whose jobs do, in each attempt, what their inputs say."""

import time

from flytekit.exceptions.user import FlyteRecoverableException
from flytekit.types.file import FlyteFile

from cdao_sdk import current_job, sagemaker_batch_transform_task, sagemaker_processing_task


def act(word: str, acts: str) -> str:
    """`acts`: what each attempt does, the last one for those beyond: sleep so long, or fail."""
    job = current_job()
    each = acts.split(";")
    what = each[min(job.attempt, len(each) - 1)]
    if what == "fail":
        raise ValueError(word)
    if what == "recover":
        raise FlyteRecoverableException(word)
    time.sleep(float(what))
    return "%s by %s" % (word, job.name)


@sagemaker_processing_task(framework="sklearn")
def work(word: str, acts: str) -> str:
    return act(word, acts)


@sagemaker_processing_task(
    framework="sklearn",
    instance_type="ml.m5.large",
    fallback_instance_types=["ml.m5.xlarge", "ml.m5.2xlarge"],
)
def walk(word: str, acts: str) -> str:
    return act(word, acts)


@sagemaker_batch_transform_task(instance_type="ml.m5.large", framework="sklearn")
def predict(model_path: str, data: FlyteFile) -> str:
    """A service."""
