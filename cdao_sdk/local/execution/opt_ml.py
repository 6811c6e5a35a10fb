"""One host's `/opt/ml`: a folder of the job's scratch space, and how the job sees it."""

from __future__ import annotations

import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cdao_sdk.local.execution.context import JobFailed

LITERAL = "/opt/ml"
_LITERAL_PREFIX = re.compile(r"^/opt/ml(?=/|$)")


@dataclass(frozen=True)
class OptMl:
    """The folder `root` that a job sees as `/opt/ml`.

    Attributes:
        root: where it really is.
        mounted: whether the job sees it at `/opt/ml`; if not, it is told `root` instead.
    """

    root: Path
    mounted: bool

    def make(self, *folders: str) -> None:
        """Create `folders` below it, and a folder for temporary files."""
        for folder in ("tmp", *folders):
            (self.root / folder).mkdir(parents=True, exist_ok=True)

    def real(self, literal: str) -> Path:
        """Where a path of the job (`/opt/ml/…`) really is.

        Raises:
            JobFailed: the path is not below `/opt/ml`.
        """
        path = PurePosixPath(literal)
        if not path.is_relative_to(LITERAL) or ".." in path.parts:
            msg = (
                f"ClientError: The path {literal!r} is not below /opt/ml/, where the embedded "
                "SageMaker can put and find files; use such a path"
            )
            raise JobFailed(msg)
        return self.root / path.relative_to(LITERAL)

    def seen(self, text: str) -> str:
        """`text` as the job must be told it: a path `/opt/ml/…` becomes the real one if need be."""
        return text if self.mounted else _LITERAL_PREFIX.sub(lambda _: str(self.root), text)

    @property
    def mount(self) -> Path | None:
        """The folder to mount, or None where that is not possible."""
        return self.root if self.mounted else None


def remove_tree(folder: Path) -> None:
    """Remove `folder` whatever a job made of it; links are removed, never followed."""
    if not folder.exists():
        return
    try:
        shutil.rmtree(folder)
    except PermissionError:  # the job took its own folders' permissions away
        for path, names, _ in os.walk(folder):
            for child in (Path(path, name) for name in names):
                if not child.is_symlink():
                    child.chmod(stat.S_IRWXU)
        shutil.rmtree(folder)
