"""One execution in this process, and the node of it that runs in a thread."""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import itertools
import secrets
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.storage import exists, put
from cdao_sdk.flyte.bundle import bundle
from cdao_sdk.flyte.stop_signal import StopSignal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdao_sdk.flyte.node_policy import NodePolicy
    from cdao_sdk.flyte.services import Services
    from cdao_sdk.flyte.task import SageMakerTask
    from cdao_sdk.flyte.task_cache import TaskCache

__all__ = [
    "LocalRun",
    "NodeRun",
    "current_node",
    "new_execution_id",
    "node_of_call",
    "set_backend",
]


@dataclass
class LocalRun:
    """One execution in this process.

    Attributes:
        execution: Its id.
        services: Where its jobs go.
        project: Flyte project's name, for tags and prefixes.
        domain: Flyte domain's name.
        poll_seconds: Longest pause between two looks at a job.
        stop: Set to stop the run and its jobs.
        decks: Node's id → URI of the deck that flytekit made there.
        cache: Results of earlier runs; None: nothing is cached.
        cached_nodes: Ids of nodes whose result came from there.
    """

    execution: str
    services: Services
    project: str = ""
    domain: str = ""
    poll_seconds: float = 0.25
    stop: StopSignal = field(default_factory=StopSignal)
    decks: dict[str, str] = field(default_factory=dict[str, str])
    cache: TaskCache | None = None
    cached_nodes: list[str] = field(default_factory=list[str])
    _bundles: dict[tuple[object, ...], str] = field(
        default_factory=dict[tuple[object, ...], str], repr=False
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def code_uri(self, task: SageMakerTask) -> str | None:
        """Where the code of a task lies, None if it needs none.

        Packed once a run: all attempts and copies of a task run the same code.
        """
        functions = tuple(task.functions)
        if not functions:
            return None
        with self._lock:
            if functions not in self._bundles:
                packed = bundle(functions)
                # _run makes sure that there is a bucket wherever a run in this process writes.
                uri = f"s3://{self.services.bucket}/cdao/code/{packed.digest[:32]}/code.tar.gz"
                bridge.run(self._upload(uri, packed.content))
                self._bundles[functions] = uri
            return self._bundles[functions]

    async def _upload(self, uri: str, content: bytes) -> None:
        if not await exists(self.services.clients, uri):
            await put(self.services.clients, uri, content)


@dataclass(frozen=True)
class NodeRun:
    """The node that runs in this thread.

    Attributes:
        run: The execution it belongs to.
        node: Its id; a prefix, if it may call several tasks.
        policy: Retries, timeout and so on; None: what the task itself says.
        serial: Numbers those tasks; None for a node that is one task itself.
    """

    run: LocalRun
    node: str
    policy: NodePolicy | None = None
    serial: Iterator[int] | None = None


current_node: ContextVar[NodeRun | None] = ContextVar("cdao_current_node", default=None)

_backend: Callable[[], LocalRun] | None = None
_loose_nodes = itertools.count()


def set_backend(make_run: Callable[[], LocalRun]) -> None:
    """Say what runs a task that is called outside of ``cdao_sdk.run``."""
    global _backend  # noqa: PLW0603 # the facade's entry point sets it once, on import
    _backend = make_run


def new_execution_id() -> str:
    """An id in Flyte's own form: ``a`` and 19 more of 0-9 and a-z."""
    return "a" + secrets.token_hex(10)[:19]


def node_of_call() -> NodeRun:
    """The node that a call of a task is in this thread; outside of any run, one of its own."""
    node = current_node.get()
    if node is not None:
        if node.serial is None:
            return node
        # The policy is that of the node, not of each task that its function calls.
        return replace(node, node=f"{node.node}{next(node.serial)}", policy=None)
    if _backend is None:
        msg = "import cdao_sdk before a SageMaker task is called"
        raise RuntimeError(msg)
    return NodeRun(_backend(), f"n{next(_loose_nodes)}")
