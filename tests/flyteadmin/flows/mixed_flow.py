"""A SageMaker task, and a plain one after it."""

from flytekit import task, workflow

from cdao_sdk import sagemaker_processing_task


@sagemaker_processing_task(framework="sklearn")
def double_and_one(number: int) -> int:
    return number * 2 + 1


@task
def describe(number: int) -> str:
    return f"{number} is {'odd' if number % 2 else 'even'}"


@workflow
def mixed(number: int = 3) -> str:
    return describe(number=double_and_one(number=number))
