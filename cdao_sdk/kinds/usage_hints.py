"""Whether an instance was far too large, or starved the job: rules as data. Pure."""

from __future__ import annotations

import functools
import operator
import re
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.catalog.instances import family, instance, instance_types
from cdao_sdk.catalog.tables import table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cdao_sdk.catalog.instances import Instance

__all__ = ["Usage", "percent_of_instance", "usage_hint"]

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">=": operator.ge,
}
_HOLE = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
_ROOM = 1.5  # how much more memory than it used a smaller type has to have


@dataclass(frozen=True)
class Usage:
    """How much of something was used, in percent of what the instance has.

    Attributes:
        mean: On average.
        highest: At the most.
        minutes: Over how long.
    """

    mean: float
    highest: float
    minutes: float

    @classmethod
    def of(cls, percents: Sequence[float], minutes: float) -> Usage:
        """The usage from a series; at least one value."""
        return cls(statistics.fmean(percents), max(percents), minutes)


@dataclass(frozen=True)
class _Rule:
    name: str
    minutes: float
    conditions: Sequence[tuple[str, str, str, float]]
    suggest: str
    sentence: str


def percent_of_instance(metric: str, value: float, instance_type: str) -> float | None:
    """A value of CloudWatch's as percent of the whole instance; None where that is unknown.

    Args:
        metric: CloudWatch's name of it; CPUs and GPUs are summed up there.
        value: The value.
        instance_type: Such as ``"ml.m5.xlarge"``.

    Example:
        >>> percent_of_instance("CPUUtilization", 200.0, "ml.m5.xlarge")
        50.0
        >>> percent_of_instance("MemoryUtilization", 31.0, "ml.m5.xlarge")
        31.0
    """
    if metric not in ("CPUUtilization", "GPUUtilization", "GPUMemoryUtilization"):
        return value
    known = instance(instance_type)
    count = None if known is None else known.vcpus if metric[0] == "C" else known.gpus
    return value / count if count else None


def usage_hint(usages: Mapping[str, Usage], component: str, instance_type: str) -> str:
    """What the usage suggests, in one sentence; empty if nothing.

    Args:
        usages: Usage by CloudWatch's name of the metric.
        component: ``"training"``, ``"processing"`` or ``"transform"``.
        instance_type: Such as ``"ml.m5.xlarge"``.

    Example:
        >>> usage_hint({"MemoryUtilization": Usage(80, 95, 12)}, "training", "ml.m5.xlarge")
        'Memory was 95% full: ml.m5.2xlarge has 32 GiB instead of 16 GiB.'
    """
    for rule in _rules():
        if all(_holds(condition, usages, rule.minutes) for condition in rule.conditions):
            return _sentence(rule, usages, component, instance_type)
    return ""


def _holds(
    condition: tuple[str, str, str, float], usages: Mapping[str, Usage], minutes: float
) -> bool:
    metric, which, comparison, threshold = condition
    usage = usages.get(metric.rstrip("?"))
    if usage is None:
        return metric.endswith("?")
    if usage.minutes < minutes:
        return False
    value = usage.mean if which == "mean" else usage.highest
    return _COMPARISONS[comparison](value, threshold)


def _sentence(rule: _Rule, usages: Mapping[str, Usage], component: str, instance_type: str) -> str:
    now = instance(instance_type)
    suggested = _SUGGESTIONS[rule.suggest](now, component, usages) if now else ""

    def fill(hole: re.Match[str]) -> str:
        if hole[1] == "suggestion":
            return f": {suggested}" if suggested else ""
        usage = usages[hole[1]]
        return f"{usage.mean if hole[2] == 'mean' else usage.highest:.0f}"

    return _HOLE.sub(fill, rule.sentence)


def _more_memory(now: Instance, component: str, _: Mapping[str, Usage]) -> str:
    memory = now.memory_gib or 0
    larger = [one for one in _sizes(now, component) if (one.memory_gib or 0) > memory > 0]
    if not larger:
        return ""
    one = min(larger, key=lambda each: each.memory_gib or 0)
    return f"{one.name} has {one.memory_gib:g} GiB instead of {memory:g} GiB"


def _more_cpus(now: Instance, component: str, _: Mapping[str, Usage]) -> str:
    cpus = now.vcpus or 0
    larger = [
        one
        for one in _sizes(now, component)
        if (one.vcpus or 0) > cpus > 0 and (one.gpus or 0) <= (now.gpus or 0)
    ]
    if not larger:
        return ""
    one = min(larger, key=lambda each: each.vcpus or 0)
    return f"{one.name} has {one.vcpus} vCPUs instead of {cpus}"


def _smaller(now: Instance, component: str, usages: Mapping[str, Usage]) -> str:
    memory, used = now.memory_gib or 0, usages["MemoryUtilization"].highest
    fits = [
        one
        for one in _sizes(now, component)
        if 0 < (one.memory_gib or 0) < memory
        and (one.memory_gib or 0) >= memory * used / 100 * _ROOM
        and (one.gpus or 0) <= (now.gpus or 0)
    ]
    if not fits:
        return ""
    # Not the smallest: the next one, for a mean hides what a job needs now and then.
    one = max(fits, key=lambda each: (each.memory_gib or 0, each.vcpus or 0))
    return f"{one.name} ({one.vcpus} vCPUs, {one.memory_gib:g} GiB) may do"


def _no_gpu(now: Instance, component: str, _: Mapping[str, Usage]) -> str:
    if not now.gpus:
        return ""
    alike = [
        one
        for name in instance_types(component)
        if family(name) == "m5" and (one := instance(name)) is not None
        if (one.memory_gib or 0) >= (now.memory_gib or 0)
    ]
    if not alike:
        return "a type without GPUs may do"
    return f"one without GPUs may do, such as {min(alike, key=lambda one: one.vcpus or 0).name}"


def _nothing(_now: Instance, _component: str, _: Mapping[str, Usage]) -> str:
    return ""


_SUGGESTIONS: Mapping[str, Callable[[Instance, str, Mapping[str, Usage]], str]] = {
    "": _nothing,
    "more_memory": _more_memory,
    "more_cpus": _more_cpus,
    "smaller": _smaller,
    "no_gpu": _no_gpu,
}


def _sizes(now: Instance, component: str) -> list[Instance]:
    """The types of the same family."""
    names = (name for name in instance_types(component) if family(name) == family(now.name))
    return [one for name in names if (one := instance(name)) is not None]


@functools.cache
def _rules() -> tuple[_Rule, ...]:
    return tuple(
        _Rule(name, minutes, tuple(map(tuple, conditions)), suggest, sentence)
        for name, minutes, conditions, suggest, sentence in table("usage")["rows"]
    )
