"""Workflows for the Flyte double: SageMaker tasks, plain tasks, all kinds of nodes."""

import time

from flytekit import workflow

from cdao_sdk import sagemaker_processing_task

processing = sagemaker_processing_task(framework="sklearn")


@processing
def double(number: int) -> int:
    return number * 2


@processing
def add(left: int, right: int) -> int:
    return left + right


@processing
def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@processing
def broken(number: int) -> int:
    if number:
        raise ValueError(f"no good: {number}")  # a user's own
    return number


@workflow
def two_steps(number: int = 3) -> int:
    return add(left=double(number=number), right=1)


@workflow
def sleeping(seconds: float = 60.0) -> float:
    return sleep(seconds=seconds)


@workflow
def half_broken(number: int = 3) -> int:
    return broken(number=double(number=number))
