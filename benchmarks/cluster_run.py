"""Time of the first and of the second ``run()`` on a cluster, beside plain FlyteRemote.

The cluster is the tests' double: a real gRPC server, and signed URLs of the embedded S3. What it
spends itself is the same for both.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Row, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROUNDS = 9
_TESTS = Path(__file__).parent.parent / "tests" / "flyteadmin"


def rows() -> list[Row]:
    """In turns, so that both see the same machine."""
    for folder in (_TESTS, _TESTS / "flows"):
        sys.path.insert(0, str(folder))
    import cluster_flows

    import cdao_sdk

    with _cluster() as flyte:
        remote = flyte.remote()

        source = {"source_path": str(_TESTS / "flows"), "module_name": "cluster_flows"}

        def ours() -> Any:
            return cdao_sdk.run(cluster_flows.numbers, inputs={"number": 1})

        def theirs() -> Any:
            registered = remote.register_script(cluster_flows.numbers, **source)
            return remote.execute(registered, inputs={"number": 1})

        first, their_first = _seconds(ours), _seconds(theirs)
        pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(_ROUNDS)]
    second, their_second = (median(column) for column in zip(*pairs, strict=True))
    return [
        Row(
            "first `run()` on a cluster: registered, uploaded, started",
            milliseconds(first),
            f"FlyteRemote's register + execute: {milliseconds(their_first)}",
            f"{first / their_first:.2f} times",
            "",
        ),
        Row(
            "second `run()` of unchanged code",
            milliseconds(second),
            f"FlyteRemote's register + execute: {milliseconds(their_second)}",
            f"1/{their_second / second:.1f}",
            "≤ 1/3",
        ),
    ]


def _seconds(action: Callable[[], Any]) -> float:
    """Of the call alone; what it has started is over before the next one."""
    import cdao_sdk

    started = time.perf_counter()
    execution = action()
    taken = time.perf_counter() - started
    name = execution.id if isinstance(execution.id, str) else execution.id.name
    started_one = cdao_sdk.get_execution(name)
    started_one.cancel()
    started_one.finished(5)
    return taken


@contextmanager
def _cluster() -> Iterator[Any]:
    """A cluster without a connector: what is started does not get far."""
    from flyte_double import FlyteDouble

    import cdao_sdk
    from cdao_sdk.local.server import LocalSageMaker

    with tempfile.TemporaryDirectory() as folder, LocalSageMaker(Path(folder)) as server:
        server.objects.create_bucket("flyte-double")
        with FlyteDouble(server.url, "flyte-double") as flyte:
            cdao_sdk.configure(
                admin_endpoint=f"http://{flyte.endpoint}",
                endpoint_url=server.url,
                state_dir=folder,
            )
            yield flyte
