"""How people name an execution on a cluster: by id, with its project, or by its page."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["ExecutionName"]

_CONSOLE_URL = re.compile(r"/projects/([^/?#]+)/domains/([^/?#]+)/executions/([^/?#]+)")
_WITH_PROJECT = re.compile(r"([^:/\s]+):([^:/\s]+):([^:/\s]+)")


@dataclass(frozen=True)
class ExecutionName:
    """An execution's whole name.

    Attributes:
        project: Flyte's project; empty: that of the settings.
        domain: Flyte's domain; empty: that of the settings.
        name: The execution's id.
    """

    project: str
    domain: str
    name: str

    @classmethod
    def parse(cls, text: str) -> ExecutionName:
        """Read an id, ``project:domain:id``, or the URL of Flyte's console.

        Example:
            >>> ExecutionName.parse("ml:development:f3a9d1c0b7")
            ExecutionName(project='ml', domain='development', name='f3a9d1c0b7')
        """
        text = text.strip()
        found = _CONSOLE_URL.search(text) or _WITH_PROJECT.fullmatch(text)
        return cls(*found.groups()) if found else cls("", "", text)
