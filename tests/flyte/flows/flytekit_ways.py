"""flytekit's own ways on SageMaker tasks, as a user would write them."""

import functools
import hashlib
import os
import time
from datetime import timedelta
from typing import NamedTuple

from flytekit import (
    CronSchedule,
    FixedRate,
    LaunchPlan,
    Secret,
    conditional,
    current_context,
    dynamic,
    map_task,
    reference_task,
    task,
    workflow,
)
from flytekit.core.array_node import array_node
from flytekit.exceptions.user import FlyteRecoverableException

from cdao_sdk import (
    current_job,
    sagemaker_processing_task,
    sagemaker_training_task,
    sagemaker_workflow,
)

processing = sagemaker_processing_task(framework="sklearn")


class Span(NamedTuple):
    began: float
    ended: float


@processing
def nap(seconds: float) -> float:
    """When it began; it naps until everyone else must have begun."""
    began = time.time()
    time.sleep(seconds)
    return began


@processing
def double(number: int) -> int:
    return 2 * number


@processing
def scaled(number: int, factor: int) -> int:
    if number < 0:
        raise ValueError("no root of %d" % number)
    return number * factor


@processing
def total(numbers: list[int]) -> int:
    return sum(numbers)


@processing
def count_whole(numbers: list[int | None]) -> int:
    return sum(number is not None for number in numbers)


# --- map tasks ---


@workflow
def mapped_naps(seconds: list[float]) -> list[float]:
    return map_task(nap)(seconds=seconds)


@workflow
def mapped_one_by_one(seconds: list[float]) -> list[float]:
    return map_task(nap, concurrency=1)(seconds=seconds)


@workflow
def mapped_partial(numbers: list[int], factor: int) -> list[int]:
    return map_task(functools.partial(scaled, factor=factor))(number=numbers)


@workflow
def mapped_some(numbers: list[int]) -> list[int | None]:
    return map_task(functools.partial(scaled, factor=2), min_success_ratio=0.5)(number=numbers)


@workflow
def mapped_then_counted(numbers: list[int]) -> int:
    some = map_task(functools.partial(scaled, factor=2), min_success_ratio=0.5)(number=numbers)
    return count_whole(numbers=some)


@workflow
def mapped_both(numbers: list[int], factors: list[int]) -> list[int]:
    return map_task(scaled)(number=numbers, factor=factors)


@workflow
def one_doubled(number: int, factor: int = 2) -> int:
    return scaled(number=number, factor=factor)


tripled = LaunchPlan.get_or_create(one_doubled, "tripled", fixed_inputs={"factor": 3})


@workflow
def mapped_plan(numbers: list[int]) -> list[int]:
    return array_node(tripled)(number=numbers)


# --- dynamic, conditional, nested ---


@dynamic
def napping(count: int, seconds: float) -> list[float]:
    return [nap(seconds=seconds) for _ in range(count)]


@workflow
def two_dynamic(seconds: float) -> tuple[list[float], list[float]]:
    return napping(count=2, seconds=seconds), napping(count=1, seconds=seconds)


@dynamic
def deeper(number: int) -> int:
    if number > 20:
        return number
    return deeper(number=double(number=number)) if number < 0 else one_doubled(number=number)


@workflow
def dynamic_nested(number: int) -> int:
    return deeper(number=number)


@task
def plus(a: int, b: int) -> int:
    return a + b


@workflow
def choice(number: int, seconds: float) -> tuple[int, float, float]:
    chosen = (
        conditional("size")
        .if_((number > 10) & (number < 100))
        .then(double(number=number))
        .elif_((number == 0) | (number == 1))
        .then(
            conditional("inner")
            .if_(number == 0)
            .then(plus(a=number, b=100))
            .else_()
            .then(one_doubled(number=number))
        )
        .elif_(number >= 100)
        .then(plus(a=number, b=number))
        .else_()
        .fail("only from 0 on")
    )
    return chosen, nap(seconds=seconds), nap(seconds=seconds)


@workflow
def two_in_a_branch(number: int) -> int:
    first = plus(a=number, b=1)
    return (
        conditional("x")
        .if_(number > 1)
        .then(double(number=double(number=first)))
        .else_()
        .then(plus(a=first, b=1))
    )


# --- launch plans ---

nightly = LaunchPlan.get_or_create(
    one_doubled,
    "nightly",
    default_inputs={"number": 4},
    fixed_inputs={"factor": 5},
    schedule=CronSchedule(schedule="0 3 * * *"),
)
hourly = LaunchPlan.get_or_create(
    one_doubled,
    "hourly",
    fixed_inputs={"number": 1, "factor": 5},
    schedule=FixedRate(duration=timedelta(hours=1)),
)


@reference_task(project="p", domain="d", name="elsewhere", version="v")
def elsewhere(number: int) -> int: ...


@workflow
def with_reference(number: int) -> int:
    return double(number=elsewhere(number=number))


@workflow
def doubled_twice(number: int) -> int:
    return double(number=double(number=number))


# --- caching ---


@sagemaker_processing_task(framework="sklearn", cache=True, cache_version="1")
def cached(number: int) -> int:
    return number + 1


@sagemaker_processing_task(
    framework="sklearn", cache=True, cache_version="1", cache_ignore_input_vars=("note",)
)
def cached_but(number: int, note: str) -> int:
    return number + 1


@sagemaker_processing_task(framework="sklearn", cache=True, cache_version="1", cache_serialize=True)
def cached_alone(number: int) -> int:
    time.sleep(0.5)
    return number + 1


@task(cache=True, cache_version="1")
def cached_plain(number: int, mark: str) -> int:
    with open(mark, "a") as file:
        file.write("x")
    return number


@workflow
def cached_map(numbers: list[int]) -> list[int]:
    return map_task(cached)(number=numbers)


@workflow
def cached_by_override(number: int, version: str = "1") -> int:
    return double(number=number).with_overrides(cache=True, cache_version="2")


@workflow
def uncached_by_override(number: int) -> int:
    return cached(number=number).with_overrides(cache=False)


# --- retries, timeouts ---


@sagemaker_processing_task(framework="sklearn", retries=2)
def recovers(after: int) -> int:
    attempt = current_job().attempt
    if attempt < after:
        raise FlyteRecoverableException("not yet")
    return attempt


@sagemaker_processing_task(framework="sklearn", retries=2)
def hopeless(number: int) -> int:
    if number:
        raise ValueError("never")
    return number


@task(retries=2)
def plain_recovers(mark: str, after: int) -> int:
    with open(mark, "a") as file:
        file.write("x")
    if os.path.getsize(mark) <= after:
        raise FlyteRecoverableException("not yet")
    return os.path.getsize(mark)


@task(retries=2)
def plain_hopeless(mark: str) -> int:
    with open(mark, "a") as file:
        file.write("x")
    if mark:
        raise ValueError("never")
    return 0


@workflow
def no_retries(after: int) -> int:
    return recovers(after=after).with_overrides(retries=0)


@sagemaker_processing_task(framework="sklearn", timeout=timedelta(seconds=1))
def slow(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@sagemaker_processing_task(framework="sklearn", timeout=timedelta(seconds=1), retries=1)
def slow_at_first(seconds: float) -> int:
    if not current_job().attempt:
        time.sleep(seconds)
    return current_job().attempt


@task(timeout=timedelta(seconds=0.5))
def plain_slow(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@workflow
def given_time(seconds: float) -> float:
    return slow(seconds=seconds).with_overrides(timeout=timedelta(seconds=60))


# --- interruptible ---


@sagemaker_training_task(framework="sklearn", interruptible=True)
def on_spot(number: int) -> int:
    return number


@sagemaker_training_task(framework="sklearn")
def as_it_comes(number: int) -> int:
    return number


@sagemaker_training_task(framework="sklearn", interruptible=True, use_spot_instances=False)
def on_demand(number: int) -> int:
    return number


@sagemaker_workflow(interruptible=True)
def all_on_spot(number: int) -> tuple[int, int, int]:
    return (
        as_it_comes(number=number),
        on_demand(number=number),
        on_spot(number=number).with_overrides(interruptible=False),
    )


# --- secrets ---


@sagemaker_processing_task(
    framework="sklearn",
    secret_requests=[
        Secret(group="db", key="password"),
        Secret(group="token"),
        Secret(group="db", key="user", env_var="DB_USER"),
    ],
)
def with_secrets(number: int) -> list[str]:
    """What tells that the values came, without telling them."""
    secrets = current_context().secrets
    found = [secrets.get("db", "password"), current_job().secret("token"), os.environ["DB_USER"]]
    return [hashlib.sha256(value.encode()).hexdigest() for value in found]


@sagemaker_processing_task(framework="sklearn", secret_requests=[Secret(group="db", key="user")])
def curious(number: int) -> str:
    return current_context().secrets.get("db", "password")


@sagemaker_processing_task(framework="sklearn", secret_requests=[Secret(group="db", key="nothing")])
def mistaken(number: int) -> str:
    return current_context().secrets.get("db", "nothing")


# --- overrides that cannot reach a job ---


@workflow
def other_image(numbers: list[int]) -> list[int]:
    return map_task(double)(number=numbers).with_overrides(container_image="python:3.12", name="x")
