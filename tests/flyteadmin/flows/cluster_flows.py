"""Workflows for runs on a cluster: files, plain tasks beside jobs, launch plans, failures."""

import cluster_helper
from flytekit import LaunchPlan, task, workflow
from flytekit.types.file import FlyteFile

from cdao_sdk import sagemaker_processing_task, sagemaker_workflow

on = sagemaker_processing_task(framework="sklearn")


@on
def double(number: int) -> int:
    print("doubling", number)
    return cluster_helper.twice(number)


@on
def repeat(data: FlyteFile, times: int) -> FlyteFile:
    with open(data) as source, open("repeated.txt", "w") as out:
        out.write(source.read() * times)
    return FlyteFile("repeated.txt")


@on
def broken(number: int) -> int:
    if number:
        raise ValueError(f"no good: {number}")
    return number


@on
def slow(seconds: float) -> float:
    import time

    time.sleep(seconds)
    return seconds


@task
def plain(number: int) -> int:
    return cluster_helper.twice(number) + 1


@sagemaker_workflow
def numbers(number: int = 3) -> int:
    return double(number=double(number=number))


@sagemaker_workflow
def mixed(number: int) -> int:
    return plain(number=double(number=number))


@sagemaker_workflow
def files(data: FlyteFile, times: int = 2) -> FlyteFile:
    return repeat(data=data, times=double(number=times))


@workflow
def inner(number: int) -> int:
    return double(number=number)


@sagemaker_workflow
def outer(number: int) -> int:
    return inner(number=inner(number=number))


@sagemaker_workflow
def failing(number: int = 3) -> int:
    return broken(number=double(number=number))


@sagemaker_workflow
def sleeping(seconds: float = 60.0) -> float:
    return slow(seconds=seconds)


five = LaunchPlan.get_or_create(numbers, name="five", fixed_inputs={"number": 5})
