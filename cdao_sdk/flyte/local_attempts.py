"""Tries of one node in this process: which failures are tried again, and when a try is over.

As Propeller does it (v1.16, ``controller/nodes/executor.go``): a recoverable failure, and an
attempt that ran into its timeout, are tried again as often as ``retries`` says; every other failure
is final.
"""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import itertools
import logging
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, TypeVar

from flytekit.exceptions.user import FlyteRecoverableException

from cdao_sdk.errors import JobFailed, JobInterrupted
from cdao_sdk.flyte.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TimedOut", "timeout_message", "until_done", "within"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


class TimedOut(JobFailed):
    """An attempt took longer than the task's or the node's timeout."""


def until_done(
    name: str, retries: int, attempt: Callable[[int], T], *, is_stopped: Callable[[], bool]
) -> T:
    """Try until it works, or fails in a way that another try does not mend.

    Args:
        name: The node, for the log.
        retries: How often to try again.
        attempt: Makes one try; it is given the try's number, from 0.
        is_stopped: Whether nothing is to be begun any more.
    """
    for number in itertools.count():
        try:
            return attempt(number)
        except (JobInterrupted, TimedOut, FlyteRecoverableException) as error:
            if number >= retries or is_stopped():
                raise
            logger.warning("%s: attempt %d failed; trying again: %s", name, number + 1, error)
    raise AssertionError  # unreachable: itertools.count() has no end


def within(seconds: float, name: str, body: Callable[[], T]) -> T:
    """Run what cannot be stopped, and wait no longer than so many seconds for it; 0: for ever.

    Raises:
        TimedOut: It goes on in its thread; what it gives or raises is not looked at any more.
    """
    if not seconds:
        return body()
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(body())
        except BaseException as error:  # noqa: BLE001 # it is raised where it is waited for
            future.set_exception(error)

    start_thread(work, f"cdao-{name}")
    try:
        return future.result(seconds)
    except FutureTimeout as error:
        if future.done():  # the body itself raised one
            raise
        raise TimedOut(timeout_message(name, seconds)) from error


def timeout_message(name: str, seconds: float) -> str:
    """What is said of an attempt that took too long."""
    return f"{name} did not end within its timeout of {seconds:g} s; raise timeout= or do less."
