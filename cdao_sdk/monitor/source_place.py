"""Where in a checkout a job's function failed, by the frames that its error names."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Checkout"]

# As runtime/runner.py tells them, the innermost first; the last one may be cut.
_FRAME = re.compile(r"^ +(?P<path>[^\s:]+\.py):(?P<line>\d+) in \S+: (?P<source>.+)$", re.MULTILINE)
_MOST_FRAMES = 5
_MOST_FILES = 20_000
_MOST_BYTES = 1_000_000
_FOREIGN = {"node_modules", "site-packages", "__pycache__"}


class Checkout:
    """A repository's folder; what is in it is looked up once, at the first frame.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def place_of(self, error: str) -> tuple[str, int] | None:
        """The innermost frame that is in it: one file has that name, and that line in it.

        Args:
            error: What SageMaker says of the failure.

        Returns:
            The file, relative to the folder with ``/`` between its parts, and the line's number
            from 1; None where no file or more than one fits.
        """
        for frame in list(_FRAME.finditer(error))[:_MOST_FRAMES]:
            ending = f"/{frame['path']}"
            number = int(frame["line"])
            fitting = [
                path
                for path in self._files.get(PurePosixPath(frame["path"]).name, ())
                if f"/{path.as_posix()}".endswith(ending)
                and _line(self._root / path, number).startswith(frame["source"].strip())
            ]
            if len(fitting) == 1:
                return fitting[0].as_posix(), number
        return None

    @functools.cached_property
    def _files(self) -> Mapping[str, Sequence[Path]]:
        """Its files by their names."""
        files: dict[str, list[Path]] = {}
        for path in _files(self._root):
            files.setdefault(path.name, []).append(path)
        return files


def _files(root: Path) -> Iterator[Path]:
    """Python files below a folder, relative to it; hidden and installed ones left out."""
    seen = 0
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in sorted(folders) if name[0] != "." and name not in _FOREIGN]
        seen += len(names)
        if seen > _MOST_FILES:
            return
        for name in names:
            if name.endswith(".py"):
                yield Path(folder, name).relative_to(root)


def _line(path: Path, number: int) -> str:
    """A line of a file without the blanks around it; empty where there is none."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return ""
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # it cannot be read: then it is not shown either
        return ""
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""
