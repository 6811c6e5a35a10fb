"""The files of one input: which channels bring them, and where they lie in the container.

Files inside a list, a dict or a structure share one channel, fed by a manifest: SageMaker takes
ten inputs for a processing job and twenty channels for a training job.
Source: SageMaker API reference, S3DataSource: ``[{"prefix": "s3://bucket/"}, "key", …]``.
"""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cdao_sdk.errors import PlanError
from cdao_sdk.kinds.job import DataSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["InputFiles", "Placement", "s3_uri"]


def s3_uri(name: str, uri: str) -> str:
    """A URI that SageMaker can read.

    Raises:
        PlanError: It cannot.
    """
    if not uri.startswith("s3://"):
        msg = (
            f"Input {name!r} is {uri!r}, which SageMaker cannot read: give an s3:// URI, or a local"
            " file to `run()`, which uploads it."
        )
        raise PlanError(msg)
    return uri


def _prefix(name: str, uri: str) -> str:
    return s3_uri(name, uri).rstrip("/") + "/"


@dataclass
class Placement:
    """What one input needs besides its value.

    Attributes:
        channels: Channel's name → what feeds it.
        manifests: Channel's name → the manifest that its source is.
    """

    channels: dict[str, DataSource] = field(default_factory=dict[str, DataSource])
    manifests: dict[str, bytes] = field(default_factory=dict[str, bytes])


@dataclass
class InputFiles:
    """Gathers the files of one input; their places are known once all of them are.

    Attributes:
        name: The channel's name; further channels are numbered.
    """

    name: str
    _files: dict[str, list[tuple[dict[str, object], str]]] = field(
        default_factory=dict[str, "list[tuple[dict[str, object], str]]"]
    )
    _folders: dict[str, list[tuple[dict[str, object], str]]] = field(
        default_factory=dict[str, "list[tuple[dict[str, object], str]]"]
    )

    def file(self, uri: str) -> dict[str, object]:
        """A single object."""
        encoded: dict[str, object] = {"file": "", "uri": uri}
        self._files.setdefault(s3_uri(self.name, uri), []).append((encoded, "file"))
        return encoded

    def directory(self, uri: str) -> dict[str, object]:
        """All objects below a prefix."""
        encoded: dict[str, object] = {"directory": "", "uri": uri}
        # A prefix without its slash would bring files/o1 and files/o10.
        self._folders.setdefault(_prefix(self.name, uri), []).append((encoded, "directory"))
        return encoded

    def dataframe(self, uri: str, format_name: str) -> dict[str, object]:
        """A data frame: an object, or a prefix of its parts."""
        encoded: dict[str, object] = {"dataframe": "", "format": format_name.lower(), "uri": uri}
        # x.parquet may be a file or, as Spark writes it, a folder: without a slash it brings both,
        # and either lies in the channel's folder.
        has_suffix = "." in uri.rpartition("/")[2]
        source = s3_uri(self.name, uri) if has_suffix else _prefix(self.name, uri)
        self._folders.setdefault(source, []).append((encoded, "dataframe"))
        return encoded

    def place(self, root: str, source: DataSource | None, manifest_root: str) -> Placement:
        """Give every file its channel and its path.

        Args:
            root: Where channels lie in the container.
            source: Options of the channel, where the task named some; its ``uri`` is ignored.
            manifest_root: S3 prefix for manifests, without a trailing slash.

        Raises:
            PlanError: Several files in a channel that is to be streamed.
        """
        options = source or DataSource("")
        placement = Placement()
        if len(self._files) == 1:
            ((uri, places),) = self._files.items()
            folder = self._channel(placement, root, replace(options, uri=uri))
            _set(places, f"{folder}/{posixpath.basename(uri)}")
        else:
            for prefix, names in _manifests(self._files):
                self._check_mode(options)
                channel = self._next_name(placement)
                manifest = f"{manifest_root}/{channel}.manifest"
                fed = replace(options, uri=manifest, data_type="ManifestFile", input_mode="File")
                folder = self._channel(placement, root, fed)
                placement.manifests[channel] = json.dumps([{"prefix": prefix}, *names]).encode()
                for name in names:
                    _set(self._files[prefix + name], f"{folder}/{name}")
        for uri, places in self._folders.items():
            _set(places, self._channel(placement, root, replace(options, uri=uri)))
        return placement

    def _next_name(self, placement: Placement) -> str:
        count = len(placement.channels)
        return f"{self.name}-{count}" if count else self.name

    def _channel(self, placement: Placement, root: str, source: DataSource) -> str:
        channel = self._next_name(placement)
        placement.channels[channel] = source
        return f"{root}/{channel}"

    def _check_mode(self, options: DataSource) -> None:
        if options.input_mode not in (None, "File"):
            msg = (
                f"Input {self.name!r} holds {len(self._files)} files, which one channel brings by a"
                f" manifest, and SageMaker has no manifests in mode {options.input_mode!r}: leave"
                " input_mode out, or pass one FlyteDirectory that holds the files."
            )
            raise PlanError(msg)


def _set(places: Iterable[tuple[dict[str, object], str]], path: str) -> None:
    for encoded, tag in places:
        encoded[tag] = path


def _manifests(uris: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """(prefix, names below it) of each manifest: one a bucket, whose keys share a folder."""
    buckets: dict[str, set[str]] = {}
    for uri in uris:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        buckets.setdefault(bucket, set()).add(key)
    for bucket, keys in buckets.items():
        left = keys
        while left:
            # What is a file and a folder at once, as S3 allows it, needs two folders on a disk.
            both = left & {folder for key in left for folder in _parents(key)}
            names = sorted(left - both)
            start = posixpath.commonprefix(names).rpartition("/")[0]
            start = f"{start}/" if start else ""
            yield f"s3://{bucket}/{start}", [name.removeprefix(start) for name in names]
            left = both


def _parents(key: str) -> Iterator[str]:
    while key := key.rpartition("/")[0]:
        yield key
