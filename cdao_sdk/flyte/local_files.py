"""Brings what lies on this machine to the bucket of a run, when a task is called directly.

``run()`` has flytekit put files there from the start. In a direct call, and under ``pyflyte run``,
flytekit keeps the values of a local run in a folder of its own, which no job can read.
"""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgpack
from flytekit.configuration import DataConfig, S3Config
from flytekit.core.data_persistence import FileAccessProvider
from flytekit.models.literals import LiteralMap

from cdao_sdk.flyte.inputs import MSGPACK
from cdao_sdk.flyte.structures import encode_structure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flytekit.models.interface import Variable
    from flytekit.models.types import LiteralType

    from cdao_sdk.flyte.local_run import LocalRun

__all__ = ["file_access", "in_the_bucket", "reads_from"]


def file_access(run: LocalRun) -> FileAccessProvider:
    """flytekit's file access, to the run's own bucket."""
    prefix = f"s3://{run.services.bucket}/cdao/{run.project}/{run.domain}/{run.execution}/data"
    return FileAccessProvider(tempfile.gettempdir(), prefix, DataConfig(s3=_s3(run)))


def _s3(run: LocalRun) -> S3Config:
    target = run.services.clients.target
    return S3Config(
        endpoint=target.endpoint_url,
        access_key_id=target.access_key_id,
        secret_access_key=target.secret_access_key,
    )


def reads_from(run: LocalRun, access: FileAccessProvider) -> None:
    """Let the file access of a direct call find what the run's jobs have put out."""
    if run.services.clients.target.endpoint_url and access.data_config.s3.endpoint is None:
        access._data_config = DataConfig(s3=_s3(run))  # noqa: SLF001 # flytekit offers no other way


def in_the_bucket(
    literals: LiteralMap, variables: Mapping[str, Variable], run: LocalRun
) -> LiteralMap:
    """The same inputs, with whatever lies on this machine uploaded; often just themselves.

    Args:
        literals: A task's inputs.
        variables: Their declared types.
        run: Whose bucket to use.
    """
    message = literals.to_flyte_idl()
    uploads = _Uploads(run)
    for name, literal in message.literals.items():
        if name in variables:
            _bring(literal, variables[name].type, uploads)
    return LiteralMap.from_flyte_idl(message) if uploads.done else literals


@dataclass
class _Uploads:
    """Uploads each local file once; `done`: local path → URI."""

    run: LocalRun
    done: dict[str, str] = field(default_factory=dict[str, str])

    def uri(self, uri: str) -> str:
        """Where a file lies that jobs can read."""
        if not uri or ("://" in uri and not uri.startswith("file://")):
            return uri
        path = uri.removeprefix("file://")
        if path not in self.done:
            access = file_access(self.run)
            target = access.join(
                access.raw_output_prefix, access.get_random_string(), Path(path).name
            )
            access.put_data(path, target, is_multipart=Path(path).is_dir())
            self.done[path] = target
        return self.done[path]

    # --- as the sink of a structure's files ---

    def file(self, uri: str) -> dict[str, object]:
        self.uri(uri)
        return {"value": None}

    directory = file

    def dataframe(self, uri: str, format_name: str) -> dict[str, object]:
        del format_name
        return self.file(uri)


def _bring(literal: Any, kind: LiteralType | None, uploads: _Uploads) -> None:
    """Upload what a literal's message names, and write the new places into it."""
    if literal.HasField("collection"):
        inner = kind.collection_type if kind is not None else None
        for item in literal.collection.literals:
            _bring(item, inner, uploads)
    elif literal.HasField("map"):
        inner = kind.map_value_type if kind is not None else None
        for item in literal.map.literals.values():
            _bring(item, inner, uploads)
    elif literal.scalar.HasField("union"):
        _bring(literal.scalar.union.value, kind, uploads)
    elif literal.scalar.HasField("binary"):
        _bring_structure(literal.scalar.binary, kind, uploads)
    else:
        for name in ("blob", "structured_dataset", "schema"):
            if literal.scalar.HasField(name):
                place = getattr(literal.scalar, name)
                place.uri = uploads.uri(place.uri)


def _bring_structure(binary: Any, kind: LiteralType | None, uploads: _Uploads) -> None:
    if binary.tag != MSGPACK:
        return
    value = msgpack.unpackb(binary.value, strict_map_key=False)
    with contextlib.suppress(TypeError):  # the connector refuses it, and names the input
        encode_structure(value, kind, uploads)
    if uploads.done:
        binary.value = msgpack.packb(_moved(value, uploads.done))


def _moved(value: object, done: Mapping[str, str]) -> object:
    """A structure whose files are in their new places."""
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value)
        return {
            key: done.get(item.removeprefix("file://"), item)
            if key in ("path", "uri") and isinstance(item, str)
            else _moved(item, done)
            for key, item in entries.items()
        }
    if isinstance(value, list):
        return [_moved(item, done) for item in cast("list[object]", value)]
    return value
