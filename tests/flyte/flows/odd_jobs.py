"""Tasks that go wrong in a job, each in its own way."""

import os
import signal
import sys
import time

from flytekit.types.file import FlyteFile

from cdao_sdk import (
    current_job,
    sagemaker_batch_transform_task,
    sagemaker_processing_task,
    sagemaker_training_task,
)

processing = sagemaker_processing_task(framework="sklearn")


@processing
def quick(number: int) -> int:
    print("adding")  # without a line a job has no log
    return number + 1


@processing
def slow(seconds: float) -> float:
    print("asleep", flush=True)
    time.sleep(seconds)
    return seconds


@processing
def raising(number: int) -> int:
    print("the line before")
    return {}["key %d" % number]


@processing
def leaving(number: int) -> int:
    os.execv("/bin/true", ["true"])  # noqa: S606 # ends the interpreter, that is the point
    return number


@processing
def exiting(number: int) -> int:
    sys.exit(0)
    return number


@processing
def killed(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@processing
def chatty(lines: int) -> int:
    for index in range(lines):
        print("line", index, "x" * 200)
    return lines


@processing
def mistyped(number: int) -> int:
    return "seven"


@sagemaker_training_task(framework="sklearn")
def train(number: int) -> str:
    job = current_job()
    with open(os.path.join(job.model_dir, "model.txt"), "w") as file:
        file.write(str(number))
    return job.model_dir


@sagemaker_batch_transform_task(instance_type="ml.m5.large", framework="sklearn")
def predict(model_path: str, data: FlyteFile) -> str:
    """A service."""


def flaky_counter(path: str) -> int:
    """How often it was called, this time included."""
    with open(path, "a") as file:
        file.write("x")
    return os.path.getsize(path)


@sagemaker_processing_task(framework="sklearn", retries=2)
def flaky(path: str, failures: int) -> int:
    from flytekit.exceptions.user import FlyteRecoverableException

    count = flaky_counter(path)
    if count <= failures:
        raise FlyteRecoverableException("attempt %d" % count)
    return count


@sagemaker_processing_task(
    framework="sklearn", instance_type=["ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge"]
)
def choosy(number: int) -> int:
    return number + 1
