"""The elements of a map task, run at the same time."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import logging
import math
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flytekit.models import literals as lit

from cdao_sdk.errors import CdaoError, JobStopped, PlanError
from cdao_sdk.flyte.threads import submit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from cdao_sdk.flyte.stop_signal import StopSignal

__all__ = ["MapRule", "element_inputs", "run_elements"]

logger = logging.getLogger(__name__)

_MOST_ELEMENTS_AT_ONCE = 64

Outputs = dict[str, lit.Literal]


@dataclass(frozen=True)
class MapRule:
    """How the elements of a map are run.

    Attributes:
        name: The map's node, for messages.
        concurrency: How many at once; None or 0: as many as threads allow.
        min_successes: How many have to succeed; None: as min_success_ratio says.
        min_success_ratio: The share that has to; None: all.
        runs_all: Whether all run to their end even after too many have failed.
    """

    name: str
    concurrency: int | None = None
    min_successes: int | None = None
    min_success_ratio: float | None = None
    runs_all: bool = False

    def failures_allowed(self, count: int) -> int:
        """How many of so many elements may fail."""
        if self.min_successes:
            return count - self.min_successes
        ratio = 1.0 if self.min_success_ratio is None else self.min_success_ratio
        return count - math.ceil(count * ratio)


def element_inputs(
    inputs: Mapping[str, lit.Literal], bound: Collection[str], name: str
) -> list[Outputs]:
    """Each element's own inputs.

    Args:
        inputs: The map's: lists, but for those that are bound.
        bound: Inputs that all elements share.
        name: The map's node, for messages.

    Raises:
        PlanError: The lists are of different lengths.
    """
    shared = {key: value for key, value in inputs.items() if key in bound}
    lists = {
        key: value.collection.literals if value.collection else []
        for key, value in inputs.items()
        if key not in bound
    }
    lengths = {key: len(items) for key, items in lists.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        msg = f"{name}: a map task's lists must be equally long, but {said}."
        raise PlanError(msg)
    rows = zip(*lists.values(), strict=True)
    return [{**shared, **dict(zip(lists, row, strict=True))} for row in rows]


def run_elements(
    rule: MapRule,
    elements: Sequence[Outputs],
    run_one: Callable[[int, Outputs], Outputs],
    stop: StopSignal,
) -> list[Outputs | None]:
    """Run all elements; their outputs in order, None for one that failed and was allowed to.

    Args:
        rule: How.
        elements: Each element's inputs.
        run_one: Runs one, given its index and inputs.
        stop: Set to stop them; set here when too many have failed.

    Raises:
        Exception: Of the first element that was one failure too many; a CdaoError names it.
    """
    results: list[Outputs | None] = [None] * len(elements)
    failures: list[Exception] = []
    waiting = list(enumerate(elements))[::-1]
    running: dict[Future[Outputs], int] = {}
    allowed = rule.failures_allowed(len(elements))
    width = min(rule.concurrency or _MOST_ELEMENTS_AT_ONCE, len(elements)) or 1
    with ThreadPoolExecutor(width, "cdao-element") as pool:
        while waiting or running:
            while waiting and len(running) < width and not stop.is_set():
                index, inputs = waiting.pop()
                running[submit(pool, run_one, index, inputs)] = index
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                index = running.pop(future)
                error = future.exception()
                if error is None:
                    results[index] = future.result()
                    continue
                failures.append(_named(error, rule.name, index))
            if len(failures) > allowed and not rule.runs_all:
                stop.set()
    if len(failures) > allowed:
        # One that was stopped because of the failure is not the failure.
        raise next((e for e in failures if not isinstance(e, JobStopped)), failures[0])
    if waiting:
        msg = f"{rule.name} was stopped before all of its elements had started."
        raise JobStopped(msg)
    return results


def _named(error: BaseException, name: str, index: int) -> Exception:
    if not isinstance(error, Exception):
        raise error
    logger.warning("element %d of %s failed: %s", index, name, error)
    if isinstance(error, CdaoError):
        error.message = f"Element {index} of {name}: {error.message}"
    return error
