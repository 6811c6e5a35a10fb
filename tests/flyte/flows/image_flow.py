"""A task in an image that Flyte builds."""

from flytekit import ImageSpec, task, workflow

from cdao_sdk import sagemaker_processing_task

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"

image = ImageSpec(name="scoring", registry=REGISTRY, packages=["pandas"], builder="recording")


@sagemaker_processing_task(container_image=image)
def count(text: str) -> int:
    return len(text)


@task(
    task_config={"platform": "sagemaker", "job_type": "processing"},
    container_image=image,
)
def double(number: int) -> int:
    return 2 * number


@workflow
def counted(text: str = "abc") -> int:
    return double(number=count(text=text))
