"""Tiny tasks and workflows, as a user would write them."""

import dataclasses
import enum
import os
import time
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd
from flytekit import (
    LaunchPlan,
    WorkflowFailurePolicy,
    conditional,
    dynamic,
    map_task,
    task,
    workflow,
)
from flytekit.core.workflow import ImperativeWorkflow
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile

from cdao_sdk import (
    current_job,
    sagemaker_processing_task,
    sagemaker_training_task,
    sagemaker_workflow,
)

processing = sagemaker_processing_task(framework="sklearn")


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


@dataclasses.dataclass
class Inner:
    text: str
    numbers: list[int]


@dataclasses.dataclass
class Point:
    x: int
    y: float
    inner: Inner | None = None


class Pair(NamedTuple):
    first: int
    second: str


class Span(NamedTuple):
    began: float
    ended: float


@processing
def double(number: int) -> int:
    return 2 * number


@processing
def add(a: int, b: int) -> int:
    return a + b


@processing
def nap(seconds: float) -> Span:
    began = time.time()
    time.sleep(seconds)
    return Span(began, time.time())


@processing
def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@processing
def pair(number: int) -> Pair:
    return Pair(number, str(number))


@processing
def point(x: int) -> Point:
    return Point(x, x / 2, Inner("inner", [x, x + 1]))


@processing
def table(x: int) -> dict[str, float]:
    return {"a": x, "b": x + 0.5}


@processing
def nothing(number: int) -> None:
    print("nothing to return for", number)


@processing
def fail(number: int) -> int:
    print("about to fail with", number)
    if number is not None:
        raise ValueError("number %d is not to my taste" % number)
    return number


@processing
def write(text: str) -> FlyteFile:
    with open("written.txt", "w") as file:
        file.write(text)
    return FlyteFile("written.txt")


@processing
def read(file: FlyteFile) -> str:
    with open(file) as opened:
        return opened.read()


@processing
def read_all(files: list[FlyteFile]) -> list[str]:
    texts = []
    for file in files:
        with open(file) as opened:
            texts.append(opened.read())
    return texts


@processing
def write_folder(names: list[str]) -> FlyteDirectory:
    os.mkdir("folder")
    for name in names:
        with open(os.path.join("folder", name), "w") as file:
            file.write(name.upper())
    return FlyteDirectory("folder")


@processing
def list_folder(folder: FlyteDirectory) -> list[str]:
    return sorted(os.listdir(folder))


@processing
def everything(
    whole: int,
    real: float,
    flag: bool,
    text: str,
    maybe: str | None,
    items: list[int],
    named: dict[str, float],
    moment: datetime,
    span: timedelta,
    colour: Colour,
    place: Point,
    either: int | str,
    free: dict,
) -> tuple[
    int, float, bool, str, str | None, list[int], dict[str, float], datetime, timedelta, Colour,
    Point, int | str, dict,
]:  # fmt: skip
    assert isinstance(place, Point) and isinstance(colour, Colour)
    return whole, real, flag, text, maybe, items, named, moment, span, colour, place, either, free


@processing
def config_keys(config: dict[str, Any]) -> list[str]:
    return sorted(config)


@sagemaker_training_task(framework="sklearn")
def fit(number: int) -> str:
    job = current_job()
    with open(os.path.join(job.model_dir, "model.txt"), "w") as file:
        file.write(str(number))
    return job.model_dir


@task
def plain_add(a: int, b: int) -> int:
    return a + b


@task
def plain_fail(number: int) -> int:
    if number is not None:
        raise KeyError("plain %d" % number)
    return number


@task
def plain_exit(number: int) -> int:
    if number is not None:
        raise SystemExit(3)
    return number


@sagemaker_workflow
def doubling(number: int = 21) -> int:
    return double(number=number)


@sagemaker_workflow
def four_naps(seconds: float) -> tuple[float, float, float, float, float, float, float, float]:
    a, b, c, d = (
        nap(seconds=seconds),
        nap(seconds=seconds),
        nap(seconds=seconds),
        nap(seconds=seconds),
    )
    return a.began, a.ended, b.began, b.ended, c.began, c.ended, d.began, d.ended


@workflow
def chain(number: int) -> int:
    return double(number=double(number=plain_add(a=number, b=1)))


@workflow
def nested(number: int) -> tuple[int, int]:
    first = chain(number=number)
    second = LaunchPlan.get_or_create(doubling, "doubling_default")(number=first)
    return first, second


@workflow
def attributes(x: int) -> tuple[int, int, float, str]:
    place = point(x=x)
    values = table(x=x)
    both = pair(number=x)
    return (
        double(number=place.x),
        double(number=place.inner.numbers[1]),
        values["b"],
        both.second,
    )


@workflow
def branching(number: int) -> int:
    return (
        conditional("sign")
        .if_(number > 0)
        .then(double(number=number))
        .else_()
        .then(plain_add(a=number, b=0))
    )


@dynamic
def doubles(count: int) -> list[int]:
    return [double(number=index) for index in range(count)]


@workflow
def dynamic_flow(count: int) -> list[int]:
    return doubles(count=count)


@workflow
def mapped(numbers: list[int]) -> list[int]:
    return map_task(double)(number=numbers)


@workflow
def no_outputs(number: int):
    nothing(number=number)


@workflow
def files_flow(text: str) -> tuple[str, list[str], FlyteFile]:
    first, second = write(text=text), write(text="!")
    return read(file=first), read_all(files=[first, second]), second


@workflow
def folder_flow(names: list[str]) -> list[str]:
    return list_folder(folder=write_folder(names=names))


@workflow
def failing(number: int) -> int:
    return double(number=fail(number=number))


@workflow
def failing_early(seconds: float) -> tuple[int, float]:
    return fail(number=1), sleep(seconds=seconds)


@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def failing_late(seconds: float) -> tuple[int, float]:
    return fail(number=1), sleep(seconds=seconds)


@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def failing_inside(seconds: float) -> tuple[int, float]:
    return failing(number=1), sleep(seconds=seconds)


@processing
def clean_up(text: str) -> None:
    print("cleaned up after", text)


@workflow(on_failure=clean_up)
def handled(text: str) -> int:
    write(text=text)
    return fail(number=3)


@workflow
def long_chain(seconds: float) -> float:
    return sleep(seconds=sleep(seconds=seconds))


@workflow(on_failure=clean_up)
def handled_branching(text: str) -> int:
    return (
        conditional("text").if_(text == "abc").then(fail(number=1)).else_().then(double(number=2))
    )


@workflow
def branch_inside(number: int) -> int:
    return double(number=branching(number=number))


@processing
def total(numbers: list[int]) -> int:
    return sum(numbers)


@workflow
def gathered(x: int) -> int:
    place = point(x=x)
    return total(numbers=[place.x, place.inner.numbers[1], double(number=x)])


fixed_plan = LaunchPlan.get_or_create(doubling, "seven", fixed_inputs={"number": 7})

imperative = ImperativeWorkflow(name="imperative")
_node = imperative.add_entity(double, number=imperative.add_workflow_input("number", int))
_node = imperative.add_entity(double, number=_node.outputs["o0"])
imperative.add_workflow_output("o0", _node.outputs["o0"])


@sagemaker_processing_task(framework="sklearn", cache=True, cache_version="1")
def cached(number: int) -> int:
    return number + 1


@processing
def make_frame(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"x": range(rows)})


@processing
def frame_sum(frame: pd.DataFrame) -> int:
    return int(frame["x"].sum())


@workflow
def frames_flow(rows: int) -> tuple[int, pd.DataFrame]:
    frame = make_frame(rows=rows)
    return frame_sum(frame=frame), frame


class Unpickler:
    """A pickle that becomes the id of the process that reads it."""

    def __reduce__(self):
        return os.getpid, ()


@processing
def config_value(config: dict[str, Any]) -> int:
    return config["pid"]
