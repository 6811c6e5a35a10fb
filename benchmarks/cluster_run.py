"""Time of the first and of the second ``run()`` on a cluster, beside plain FlyteRemote.

The cluster is the tests' double in a process of its own: a real gRPC server, and signed URLs of the
embedded S3. What it spends itself is the same for both. FlyteRemote registers and executes as
`pyflyte run --remote` does: fast registration, the version from the code's hash.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.connector_servers import clean_environment, flyte_backend
from benchmarks.flyte_backend import TESTS
from benchmarks.measure import PYTHON, Row, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROUNDS = 9
_PROCESSES = 5
_ONCE = "from benchmarks.cluster_run import once; once(*__import__('sys').argv[1:])"


def rows() -> list[Row]:
    """In turns, so that both see the same machine."""
    with tempfile.TemporaryDirectory() as folder, flyte_backend(Path(folder)) as (admin, aws):
        with _ways(admin, aws, folder) as (ours, theirs):
            first, their_first = _seconds(ours), _seconds(theirs)
            pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(_ROUNDS)]
        second, their_second = (median(column) for column in zip(*pairs, strict=True))
        fresh = [
            (_in_process("ours", admin, aws), _in_process("theirs", admin, aws))
            for _ in range(_PROCESSES + 1)
        ][1:]
        again, their_again = (median(column) for column in zip(*fresh, strict=True))
    return [
        Row(
            "first `run()` on a cluster: registered, uploaded, started",
            milliseconds(first),
            f"FlyteRemote's register + execute: {milliseconds(their_first)}",
            f"{first / their_first:.2f} times",
        ),
        Row(
            "second `run()` of unchanged code",
            milliseconds(second),
            f"FlyteRemote's register + execute: {milliseconds(their_second)}",
            f"1/{their_second / second:.1f}",
            "≤ 1/3",
        ),
        Row(
            "the same in a process of its own, imports apart",
            milliseconds(again),
            f"FlyteRemote's register + execute: {milliseconds(their_again)}",
            f"1/{their_again / again:.1f}",
        ),
    ]


@contextmanager
def _ways(
    admin: str, aws: str, folder: str
) -> Iterator[tuple[Callable[[], Any], Callable[[], Any]]]:
    """Two functions that start the same workflow: `run()`, and FlyteRemote."""
    for path in (TESTS, TESTS / "flows"):
        sys.path.insert(0, str(path))
    import cluster_flows
    from flytekit.configuration import Config, DataConfig, PlatformConfig, S3Config
    from flytekit.remote import FlyteRemote

    import cdao_sdk

    cdao_sdk.configure(admin_endpoint=f"http://{admin}", endpoint_url=aws, state_dir=folder)
    store = S3Config(endpoint=aws, access_key_id="local", secret_access_key="local")
    config = Config(PlatformConfig(endpoint=admin, insecure=True), data_config=DataConfig(s3=store))
    remote = FlyteRemote(config, "flytesnacks", "development")
    source = {"source_path": str(TESTS / "flows"), "module_name": "cluster_flows"}

    def ours() -> Any:
        return cdao_sdk.run(cluster_flows.numbers, inputs={"number": 1})

    def theirs() -> Any:
        registered = remote.register_script(cluster_flows.numbers, **source)
        return remote.execute(registered, inputs={"number": 1})

    yield ours, theirs


def once(way: str, admin: str, aws: str) -> None:
    """Print the seconds of one run in this process, whose code is registered."""
    with tempfile.TemporaryDirectory() as folder, _ways(admin, aws, folder) as (ours, theirs):
        print(json.dumps(_seconds(ours if way == "ours" else theirs)))


def _in_process(way: str, admin: str, aws: str) -> float:
    done = subprocess.run(
        [PYTHON, "-c", _ONCE, way, admin, aws],
        check=True,
        capture_output=True,
        env=clean_environment(),
        cwd=Path(__file__).parent.parent,
    )
    return float(done.stdout.splitlines()[-1])


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
