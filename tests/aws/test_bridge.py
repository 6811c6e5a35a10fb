"""The bridge between plain callers and the event loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.aws.bridge import LoopThread, bridge

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


async def _thread_name() -> str:
    return threading.current_thread().name


def test_coroutine_runs_in_the_loops_thread_and_its_result_comes_back() -> None:
    assert bridge.run(_thread_name()) == "cdao-aws"


def test_loop_is_kept() -> None:
    assert bridge.loop is bridge.loop
    assert bridge.loop.is_running()


def test_time_that_runs_out_cancels_the_coroutine() -> None:
    ended = threading.Event()

    async def sleeping() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.set()
            raise

    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        bridge.run(sleeping(), timeout=0.05)
    assert ended.wait(5)


@pytest.mark.parametrize("error", [KeyError("gone"), TimeoutError("its own"), SystemError("odd")])
def test_error_passes_through_as_it_is(error: Exception) -> None:
    async def failing() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        bridge.run(failing(), timeout=5)
    assert caught.value.args == error.args


def test_threads_wait_at_the_same_time() -> None:
    together = 8
    met = 0
    all_here = asyncio.Event()

    async def meet(number: int) -> int:
        nonlocal met
        met += 1
        if met == together:
            all_here.set()
        await all_here.wait()
        return number

    with ThreadPoolExecutor(together) as pool:
        numbers = pool.map(lambda number: bridge.run(meet(number), timeout=10), range(together))
        assert list(numbers) == list(range(together))


def test_threads_that_come_first_together_get_one_loop() -> None:
    own = LoopThread()
    start = threading.Barrier(8)

    def first() -> asyncio.AbstractEventLoop:
        start.wait()
        return own.loop

    with ThreadPoolExecutor(8) as pool:
        loops = {id(future.result()) for future in [pool.submit(first) for _ in range(8)]}
    assert len(loops) == 1
    own.loop.call_soon_threadsafe(own.loop.stop)
    loop = own._loop
    assert own._thread is not None
    assert loop is not None
    own._thread.join(5)
    loop.close()


def test_forked_process_gets_a_loop_of_its_own(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    code = (
        "import asyncio, os, warnings; from cdao_sdk.aws.bridge import bridge\n"
        "warnings.simplefilter('ignore')\n"
        "bridge.run(asyncio.sleep(0))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    bridge.run(asyncio.sleep(0), timeout=5)\n"
        "    os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert run_python(code).stdout == "7\n"


def test_closers_run_when_the_process_ends(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    code = (
        "import asyncio; from cdao_sdk.aws.bridge import bridge\n"
        "async def close():\n    print('closed')\n"
        "bridge.at_exit(close)\n"
        "bridge.run(asyncio.sleep(0))\n"
    )
    assert run_python(code).stdout == "closed\n"


def test_process_that_called_nothing_starts_no_thread_at_its_end(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    code = (
        "import atexit, threading\n"
        "from cdao_sdk.aws.session import embedded_target, shared_clients\n"
        "atexit.register(lambda: print([t.name for t in threading.enumerate()]))\n"
        "shared_clients(embedded_target('http://127.0.0.1:9'))\n"
    )
    done = run_python(code)
    assert (done.stdout, done.stderr) == ("['MainThread']\n", "")


def test_a_call_that_is_interrupted_before_it_is_sent_leaves_nothing_behind() -> None:
    class Interrupted(LoopThread):
        @property
        def loop(self) -> asyncio.AbstractEventLoop:
            raise KeyboardInterrupt

    call = asyncio.sleep(0)
    with pytest.raises(KeyboardInterrupt):
        Interrupted().run(call)
    assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED
