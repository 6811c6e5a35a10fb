"""Tasks that flytekit itself runs, in an image of the user's own; types as users write them."""

import os
from typing import Any, Dict, NamedTuple

import pandas as pd
from flytekit import Deck, workflow
from flytekit.exceptions.user import FlyteRecoverableException
from flytekit.types.file import FlyteFile

from cdao_sdk import current_job, sagemaker_processing_task, sagemaker_training_task

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/flytekit:1"


class Weights:
    """Flyte knows no such type: it is pickled."""

    def __init__(self, factor: float) -> None:
        self.factor = factor


class Fitted(NamedTuple):
    weights: Weights
    report: FlyteFile


@sagemaker_training_task(runtime="flytekit", container_image=IMAGE, enable_deck=True)
def fit(frame: pd.DataFrame, notes: FlyteFile, options: Dict[str, Any]) -> Fitted:
    job = current_job()
    job.log_metric("rows", len(frame))
    with open(notes) as file:
        text = file.read()
    with open("report.txt", "w") as file:
        file.write(f"{text} {job.kind} {job.execution}")
    Deck("rows", f"<b>{len(frame)} rows</b>")
    weights = Weights(float(frame["x"].sum()) * options["scale"])
    return Fitted(weights=weights, report=FlyteFile("report.txt"))


@sagemaker_processing_task(runtime="flytekit", container_image=IMAGE)
def apply(weights: Weights, number: int) -> float:
    return weights.factor * number


@workflow
def pipeline(frame: pd.DataFrame, notes: FlyteFile, options: Dict[str, Any]) -> (float, FlyteFile):
    fitted = fit(frame=frame, notes=notes, options=options)
    return apply(weights=fitted.weights, number=2), fitted.report


@sagemaker_processing_task(runtime="flytekit", container_image=IMAGE)
def failing(key: str) -> int:
    return {}[key]


@sagemaker_processing_task(runtime="flytekit", container_image=IMAGE, retries=1)
def flaky(path: str) -> int:
    with open(path, "a") as file:
        file.write("x")
    attempt = int(os.environ["FLYTE_ATTEMPT_NUMBER"])
    if attempt == 0:
        raise FlyteRecoverableException("not yet")
    return attempt


@sagemaker_processing_task(runtime="flytekit", container_image=IMAGE, instance_count=2)
def on_two_hosts(number: int) -> str:
    job = current_job()
    return f"{number} {job.current_host} of {len(job.hosts)}"


@sagemaker_processing_task(runtime="flytekit", container_image=IMAGE)
def leaving(number: int) -> int:
    os._exit(0)
    return number
