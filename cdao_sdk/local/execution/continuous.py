"""Folders that are uploaded while the job runs: checkpoints, and `Continuous` outputs."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cdao_sdk.local.execution import artifacts
from cdao_sdk.local.execution.context import JobFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from cdao_sdk.local.execution.context import Context
    from cdao_sdk.local.execution.hosts import Host
    from cdao_sdk.local.objects import ObjectStore

_Version = tuple[int, int]
_LONGEST_WAIT_SECONDS = 10.0  # a file that never rests is uploaded as it is after this time


@dataclass
class _Folder:
    """One host's folder, and what of it is in S3."""

    host: Host
    path: Path
    uri: str
    stored: dict[str, _Version] = field(default_factory=dict[str, _Version])
    seen: dict[str, _Version] = field(default_factory=dict[str, _Version])
    waiting_since: dict[str, float] = field(default_factory=dict[str, float])


class ContinuousUpload:
    """Uploads what changes below some folders until it is left; nothing is ever deleted in S3.

    A file goes up when it has rested for one interval, so that a half-written one rarely does.

    Args:
        context: the job.
        folders: (host, folder, S3 URI); what lies there at the start is in S3 already.

    Raises:
        JobFailed: in `finish`: S3 refuses a file.
    """

    def __init__(self, context: Context, folders: Iterable[tuple[Host, Path, str]]) -> None:
        self._objects: ObjectStore = context.objects
        self._interval = context.sync_seconds
        self._folders = [_Folder(*folder) for folder in folders]
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        for folder in self._folders:
            folder.stored = _versions(_files(folder))
        if self._folders:
            self._thread = threading.Thread(target=self._watch, name="cdao-local-sync", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def finish(self) -> None:
        """Upload what is left, once the job's processes are gone."""
        for folder in self._folders:
            files = artifacts.collect(folder.path, folder.host.opt_ml, folder.host.console.note)
            self._upload(folder, files, _changed(folder, _versions(files)))

    def _watch(self) -> None:
        told: set[str] = set()
        while not self._over.wait(self._interval):
            for folder in self._folders:
                try:
                    self._look(folder)
                except JobFailed as error:  # told at once; `finish` fails the job with it
                    if str(error) not in told:
                        told.add(str(error))
                        folder.host.console.note(str(error))
                except OSError:
                    # A file or folder went away under our eyes: the next look sees what is there.
                    continue

    def _look(self, folder: _Folder) -> None:
        files = _files(folder)
        versions = _versions(files)
        now = time.monotonic()
        changed = _changed(folder, versions)
        since = folder.waiting_since
        folder.waiting_since = {name: since.get(name, now) for name in changed}
        ready = {
            name: version
            for name, version in changed.items()
            if folder.seen.get(name) == version
            or now - folder.waiting_since[name] > _LONGEST_WAIT_SECONDS
        }
        folder.seen = versions
        self._upload(folder, files, ready)

    def _upload(
        self, folder: _Folder, files: Mapping[str, Path], versions: Mapping[str, _Version]
    ) -> None:
        chosen = {name: files[name] for name in versions}
        if chosen:
            artifacts.upload_files(self._objects, folder.uri, chosen)
        folder.stored |= versions


def _files(folder: _Folder) -> dict[str, Path]:
    return artifacts.collect(folder.path, folder.host.opt_ml, lambda _: None)


def _versions(files: Mapping[str, Path]) -> dict[str, _Version]:
    found = {name: path.stat() for name, path in files.items()}
    return {name: (status.st_mtime_ns, status.st_size) for name, status in found.items()}


def _changed(folder: _Folder, versions: Mapping[str, _Version]) -> dict[str, _Version]:
    return {
        name: version for name, version in versions.items() if folder.stored.get(name) != version
    }
