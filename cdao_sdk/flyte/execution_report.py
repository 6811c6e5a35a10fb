"""The report of an execution as a value: it is shown, saved, or put into a deck."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from cdao_sdk.errors import CdaoError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Report"]

# Its own small script may run, and its links open; it reaches neither the page around nor a server.
_SANDBOX = "allow-scripts allow-popups allow-popups-to-escape-sandbox"
_BASE = '<base href="about:srcdoc">'  # so that links within the report do not lead to the notebook


@dataclass(frozen=True, repr=False)
class Report:
    """What an execution's jobs did, took and cost, as one HTML page.

    ``print(report)`` tells it in a few lines; a notebook shows it as a cell's result.

    Attributes:
        execution: The execution's id.
        html: The page: one file, without outside requests.
        text: The same in a few lines.
        facts: The same for programs: what JSON can say.
    """

    execution: str
    html: str
    text: str
    facts: Mapping[str, object] = field(default_factory=dict[str, object])

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Report of {self.execution}: {len(self.html) // 1024} KB of HTML>"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, whole or not at all; what is there is replaced.

        Args:
            path: A file; or a folder, which gets ``<execution>.html``.

        Returns:
            The file.

        Raises:
            CdaoError: It cannot be written.
        """
        file = Path(path).expanduser()
        if file.is_dir() or str(path).endswith(("/", os.sep)):
            file /= f"{self.execution}.html"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
            try:
                unfinished.write_text(self.html, encoding="utf-8", errors="replace")
                unfinished.replace(file)
            finally:
                unfinished.unlink(missing_ok=True)
        except OSError as error:
            msg = f"The report cannot be written to {str(file)!r}: {error.strerror or error}."
            raise CdaoError(msg) from error
        return file

    def frame(self, height_px: int = 720) -> str:
        """The page as a part of another one, such as a Flyte deck: its styles stay its own.

        Args:
            height_px: Height of the frame in pixels; it can be dragged.

        Example:
            >>> report = Report("a0f3", "<html><head></head><body>…</body></html>", "a0f3: done")
            >>> report.frame(400).startswith("<iframe")
            True
        """
        page = self.html.replace("<head>", f"<head>{_BASE}", 1)
        return (
            f'<iframe title="Report of execution {escape(self.execution)}" sandbox="{_SANDBOX}"'
            f' srcdoc="{escape(page)}" style="width:100%;height:{int(height_px)}px;'
            'border:1px solid #8884;border-radius:8px;resize:vertical"></iframe>'
        )

    def _repr_html_(self) -> str:
        # The line stays where frames are taken out, such as on GitHub.
        return f"<p>{escape(self.text.splitlines()[0])}</p>{self.frame()}"
