"""Results of tasks that ran in this process or another of this machine, kept on disk.

A result is a ``LiteralMap`` message in a file of its own, named after what identifies the run. No
pickle is written or read: flytekit's own local cache unpickles what it finds.
"""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flyteidl.core.literals_pb2 import LiteralMap as LiteralMapMessage
from flytekit.models.literals import Literal, LiteralCollection, LiteralMap
from google.protobuf.message import DecodeError

from cdao_sdk.errors import JobStopped

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from flytekit.core.base_task import PythonTask

    from cdao_sdk.flyte.node_policy import CacheRule
    from cdao_sdk.flyte.stop_signal import StopSignal

__all__ = ["TaskCache", "cache_key", "files_of"]

logger = logging.getLogger(__name__)

_LOCK_PAUSE_SECONDS = 0.05


def cache_key(
    task: PythonTask, rule: CacheRule, inputs: Mapping[str, Literal], place: Sequence[str]
) -> str:
    """What identifies a run: task, interface, cache version and inputs, as in Flyte's catalog.

    Args:
        task: The task.
        rule: Its cache rule.
        inputs: Its inputs; one with a hash of its own counts by that.
        place: Project, domain and where results are kept: they are not shared across these.
    """
    counted = {name: _by_hash(value) for name, value in inputs.items() if name not in rule.ignored}
    parts = [json.dumps([*place, task.name, rule.version]).encode()]
    parts += [
        message.to_flyte_idl().SerializeToString(deterministic=True)
        for message in (task.interface, LiteralMap(counted))
    ]
    digests = b"".join(hashlib.sha256(part).digest() for part in parts)
    return hashlib.sha256(digests).hexdigest()


def _by_hash(literal: Literal) -> Literal:
    if literal.hash is not None:
        return Literal(hash=literal.hash)
    if literal.collection is not None:
        items = [_by_hash(item) for item in literal.collection.literals]
        return Literal(collection=LiteralCollection(items))
    if literal.map is not None:
        entries = {key: _by_hash(item) for key, item in literal.map.literals.items()}
        return Literal(map=LiteralMap(entries))
    return literal


def files_of(literals: Mapping[str, Literal]) -> Iterator[str]:
    """S3 URIs of the single files that these literals stand for."""
    for literal in literals.values():
        scalar = literal.scalar
        if literal.collection is not None:
            items = enumerate(literal.collection.literals)
            yield from files_of({str(index): item for index, item in items})
        elif literal.map is not None:
            yield from files_of(literal.map.literals)
        elif scalar is not None and scalar.union is not None:
            yield from files_of({"": scalar.union.value})
        elif scalar is not None and scalar.blob is not None:
            blob = scalar.blob
            is_single = blob.metadata.type.dimensionality == 0
            if is_single and blob.uri.startswith("s3://"):
                yield blob.uri


class TaskCache:
    """A folder of results; safe for threads and processes that use it at the same time.

    Args:
        folder: Where it is; made when the first result comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> LiteralMap | None:
        """The result under a key; None where there is none, or none that can be read."""
        try:
            content = (self._folder / key).read_bytes()
            return LiteralMap.from_flyte_idl(LiteralMapMessage.FromString(content))
        except FileNotFoundError:
            return None
        except (OSError, DecodeError) as error:
            logger.warning("a cached result cannot be read; the task runs again: %s", error)
            return None

    def write(self, key: str, outputs: LiteralMap) -> None:
        """Keep a result, whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(outputs.to_flyte_idl().SerializeToString())
        Path(name).replace(self._folder / key)

    @contextlib.contextmanager
    def reserved(self, key: str, stop: StopSignal) -> Generator[None]:
        """Be the only one that runs a task under this key; the lock ends with its holder.

        Raises:
            JobStopped: The run was stopped while it waited.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f".{key}.lock").open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if stop.is_set():
                        msg = "The run was stopped while it waited for an equal one."
                        raise JobStopped(msg) from None
                    stop.wait(_LOCK_PAUSE_SECONDS)
            yield  # closing the file gives the lock back
