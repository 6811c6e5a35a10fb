"""Which versions are registered where, as far as it was seen from here.

Only a memory: FlyteAdmin is the truth. Whoever finds that it has forgotten a version (a cluster was
set up anew) lets it be forgotten here, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["RegisteredMemory", "RegisteredName"]


@dataclass(frozen=True)
class RegisteredName:
    """One version of an entity on one cluster.

    Attributes:
        endpoint: FlyteAdmin.
        project: Flyte's project.
        domain: Flyte's domain.
        kind: ``"workflow"``, ``"task"`` or ``"launch plan"``.
        name: The entity's name.
        version: Its version.
    """

    endpoint: str
    project: str
    domain: str
    kind: str
    name: str
    version: str


class RegisteredMemory:
    """In this process, and in a folder for the next one.

    Args:
        folder: Where; it is made when there is something to keep.
    """

    _lock = threading.Lock()
    _known: set[tuple[Path, RegisteredName]] = set()  # noqa: RUF012 # one for the process

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, name: RegisteredName) -> bool:
        key = (self._folder, name)
        with self._lock:
            if key in self._known:
                return True
            if not self._path(name).is_file():
                return False
            self._known.add(key)
            return True

    def add(self, name: RegisteredName) -> None:
        """Remember a version; a folder that cannot be written costs only the next process time."""
        with self._lock:
            self._known.add((self._folder, name))
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".", suffix=".tmp")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(name), file)
            Path(temporary).replace(self._path(name))

    def forget(self, name: RegisteredName) -> None:
        """Forget a version that is not there any more."""
        with self._lock:
            self._known.discard((self._folder, name))
        with suppress(OSError):
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: RegisteredName) -> Path:
        key = json.dumps(asdict(name), sort_keys=True).encode()
        return self._folder / f"{hashlib.sha256(key).hexdigest()[:40]}.json"
