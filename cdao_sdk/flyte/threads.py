"""flytekit's contexts in threads of ours."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from flytekit.core.context_manager import flyte_context_Var

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

__all__ = ["own_context_stack", "start_thread", "submit"]

P = ParamSpec("P")
T = TypeVar("T")


def own_context_stack() -> None:
    """Give this thread a stack of flytekit contexts of its own.

    The context variable holds a list, which copies of a ``contextvars`` context share: threads
    would push and pop on each other's.
    """
    flyte_context_Var.set(list(flyte_context_Var.get()))


def submit(
    pool: Executor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> Future[T]:
    """Run a function in a pool, in a copy of the caller's contexts."""
    return pool.submit(contextvars.copy_context().run, _inside, function, *args, **kwargs)


def start_thread(function: Callable[[], object], name: str) -> threading.Thread:
    """Run a function in a thread of its own, which does not keep the process alive."""
    copied = contextvars.copy_context()
    thread = threading.Thread(target=copied.run, args=(_inside, function), name=name, daemon=True)
    thread.start()
    return thread


def _inside(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    own_context_stack()
    return function(*args, **kwargs)
