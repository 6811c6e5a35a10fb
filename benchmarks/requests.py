"""Building the requests of one run from a task's options, and the options' check before that."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from benchmarks.measure import Row
from cdao_sdk.kinds.build import build_spec
from cdao_sdk.kinds.job import DataSource, JobContext, ModelSource, RuntimeFiles
from cdao_sdk.kinds.registry import kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUNDS = 500
_NETWORK = {"subnets": ["subnet-0a1b2c3d"], "security_group_ids": ["sg-0a1b2c3d"]}
_OPTIONS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "training": (
        "training",
        {
            **_NETWORK,
            "framework": "pytorch",
            "instance_count": 4,
            "use_spot_instances": True,
            "checkpoint_uri": "s3://bucket/checkpoints",
            "hyperparameters": {f"parameter_{n}": n / 7 for n in range(20)},
            "metrics": ["loss", "accuracy"],
        },
    ),
    "processing": ("processing", {**_NETWORK, "kms_key_id": "alias/key"}),
    "transform": ("transform", {**_NETWORK, "join_source": "Input", "output_filter": "$[0,-1]"}),
    "training with `extra`": (
        "training",
        {
            **_NETWORK,
            "framework": "pytorch",
            "extra": {
                "RemoteDebugConfig": {"EnableRemoteDebug": True},
                "InputDataConfig": [
                    {
                        "ChannelName": f"disk-{n}",
                        "DataSource": {
                            "FileSystemDataSource": {
                                "FileSystemId": "fs-0123456789abcdef0",
                                "FileSystemAccessMode": "ro",
                                "FileSystemType": "FSxLustre",
                                "DirectoryPath": "/share",
                            }
                        },
                    }
                    for n in range(10)
                ],
            },
        },
    ),
}


def rows() -> list[Row]:
    """One row for each kind of job, and one with ``extra``; medians in this process."""
    return [_row(what, name, options) for what, (name, options) in _OPTIONS.items()]


def _row(what: str, name: str, options: Mapping[str, object]) -> Row:
    spec, run = build_spec(name, options), _run(name)
    requests = _milliseconds(lambda: kind(name).requests(spec, run))
    checked = _milliseconds(lambda: build_spec(name, options))
    beside = f"options checked, once a task: {checked:.2f} ms"
    return Row(f"requests of one run: {what}", f"{requests:.3f} ms", beside, reach="< 1 ms")


def _run(name: str) -> JobContext:
    is_transform = name == "transform"
    return JobContext(
        job_name="execution-node-abcdefgh-0",
        role_arn="arn:aws:iam::123456789012:role/Role",
        region="us-east-1",
        output_uri="s3://bucket/execution",
        runtime=None if is_transform else RuntimeFiles("s3://bucket/runtime/", "s3://bucket/job/"),
        channels={"input" if is_transform else "train": DataSource("s3://bucket/data.csv")},
        model=ModelSource("s3://bucket/model.tar.gz", "image:1") if is_transform else None,
        tags={f"cdao:{n}": "value" for n in range(10)},
    )


def _milliseconds(call: Callable[[], object]) -> float:
    call()  # reads the catalog
    taken: list[float] = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken) * 1000
