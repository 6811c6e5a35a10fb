"""Input: objects of S3 into folders of a job, by SageMaker's rules for data sources."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar, cast

from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.execution.context import Context, JobFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdao_sdk.local.objects import ObjectStore

_COPY_BYTES = 1 << 20
_Entry = TypeVar("_Entry")


@dataclass(frozen=True)
class DataSource:
    """Which objects an input means.

    Attributes:
        kind: S3DataType: `S3Prefix`, `ManifestFile`, …
        uri: the prefix, or the manifest.
        sharded: whether each host gets its part only (`ShardedByS3Key`).
        gunzip: whether the objects are gzip files that the job is to get unpacked.
        may_be_empty: whether it is right that there are none (yet).
        seed: shuffles the objects before they are shared out; None leaves them in order.
        attributes: what is sent of each line of an augmented manifest.
    """

    kind: str
    uri: str
    sharded: bool = False
    gunzip: bool = False
    may_be_empty: bool = False
    seed: int | None = None
    attributes: Sequence[str] = ()


@dataclass(frozen=True)
class Item:
    """One object of an input, and its path relative to the input's folder."""

    bucket: str
    key: str
    path: str


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``.

    Raises:
        JobFailed: it is no S3 URI.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        msg = f"ClientError: Invalid S3 URI {uri!r}: it must be s3://bucket/key"
        raise JobFailed(msg)
    return bucket, key


def select(objects: ObjectStore, source: DataSource) -> list[Item]:
    """The objects that `source` means, in S3's order (a manifest: in its own).

    Raises:
        JobFailed: there are none, or the source is of a kind that is not offered here.
    """
    try:
        if source.kind == "S3Prefix":
            items = _under_prefix(objects, source.uri)
        elif source.kind == "ManifestFile":
            items = _of_manifest(objects, source.uri)
        else:
            msg = (
                f"ClientError: S3DataType {source.kind} is not offered here by the embedded "
                "SageMaker (augmented manifests: in training channels in Pipe mode only); use "
                "S3Prefix or ManifestFile"
            )
            raise JobFailed(msg)
    except AwsError as error:
        msg = f"ClientError: Data download failed: {source.uri}: {error}"
        raise JobFailed(msg) from error
    if not items and not source.may_be_empty:
        msg = (
            f'ClientError: No S3 objects found under S3 URL "{source.uri}" given in input data '
            "source. Please ensure that the bucket exists, and that objects exist under that prefix"
        )
        raise JobFailed(msg)
    return items


def download(
    context: Context, source: DataSource, target: Path, *, host: int = 0, hosts: int = 1
) -> None:
    """Copy the objects of `source` into `target`: what the job does to them stays its own.

    Raises:
        JobFailed: an object is missing or cannot be a file, or there are none.
        JobStopped: the job was stopped meanwhile.
    """
    items = in_order(select(context.objects, source), source, 0, host=host, hosts=hosts)
    target.mkdir(parents=True, exist_ok=True)
    made = {target}
    for item in items:
        context.check_stop()
        path = target / (item.path.removesuffix(".gz") if source.gunzip else item.path)
        if path.parent not in made:
            made.add(path.parent)
            _make_folder(path.parent, item)
        _fetch(context.objects, item, path, gunzip=source.gunzip)


def in_order(
    items: Sequence[_Entry], source: DataSource, epoch: int, *, host: int, hosts: int
) -> list[_Entry]:
    """A host's objects (or lines of a manifest) in one pass over the data.

    Args:
        items: all objects, in S3's order.
        source: how they are shuffled and shared out.
        epoch: the pass, from 0; each has an order of its own where they are shuffled.
        host: the host's number, from 0.
        hosts: how many share the objects.
    """
    chosen = list(items)
    if source.seed is not None:
        random.Random(source.seed + epoch).shuffle(chosen)  # noqa: S311 - no secret
    return chosen[host::hosts] if source.sharded else chosen


def _under_prefix(objects: ObjectStore, uri: str) -> list[Item]:
    bucket, prefix = split_uri(uri)
    keys = [key for key in objects.keys(bucket, prefix) if not key.endswith("/")]
    # `s3://b/data` names the folder data/ if there is one; else it is a mere beginning of keys.
    if any(key.startswith(f"{prefix}/") for key in keys):
        cut = len(prefix) + 1
        keys = [key for key in keys if key.startswith(f"{prefix}/")] + [
            key for key in keys if key == prefix
        ]
    else:
        cut = prefix.rfind("/") + 1
    return [
        Item(bucket, key, _relative(PurePosixPath(key).name if key == prefix else key[cut:], key))
        for key in keys
    ]


def _of_manifest(objects: ObjectStore, uri: str) -> list[Item]:
    """Source: S3DataSource in the SageMaker API reference: [{"prefix": "s3://…"}, "path", …]."""
    bucket, key = split_uri(uri)
    _, file = objects.get(bucket, key)
    with file:
        body = file.read()
    try:
        manifest: object = json.loads(body)
    except ValueError as error:
        msg = f"ClientError: The manifest {uri} is not JSON: {error}"
        raise JobFailed(msg) from error
    entries = cast("list[object]", manifest) if isinstance(manifest, list) else []
    head, *paths = entries or [None]
    prefix = cast("dict[str, object]", head).get("prefix") if isinstance(head, dict) else None
    if not isinstance(prefix, str) or not all(isinstance(path, str) for path in paths):
        msg = (
            f"ClientError: The manifest {uri} is not of the form "
            '[{"prefix": "s3://bucket/prefix/"}, "relative/path", …]'
        )
        raise JobFailed(msg)
    data_bucket, start = split_uri(prefix)
    names = [str(path) for path in paths]
    return [Item(data_bucket, start + name, _relative(name, start + name)) for name in names]


def _relative(path: str, key: str) -> str:
    path = path.lstrip("/")
    if ".." in PurePosixPath(path).parts or "\0" in path:
        msg = f"ClientError: Data download failed: the key {key!r} cannot be a file name"
        raise JobFailed(msg)
    return path


def _make_folder(folder: Path, item: Item) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        msg = (
            f"ClientError: Data download failed: {item.key!r} lies below a key that is an object "
            "itself; a file system cannot hold both"
        )
        raise JobFailed(msg) from error


def _fetch(objects: ObjectStore, item: Item, path: Path, *, gunzip: bool) -> None:
    try:
        _, file = objects.get(item.bucket, item.key)
        with file, path.open("xb") as copy:
            if gunzip:
                shutil.copyfileobj(gzip.GzipFile(fileobj=file), copy, _COPY_BYTES)
            else:
                shutil.copyfileobj(file, copy, _COPY_BYTES)
    except (AwsError, FileExistsError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        uri = f"s3://{item.bucket}/{item.key}"
        msg = f"ClientError: Data download failed: {uri}: {error}"
        raise JobFailed(msg) from error
