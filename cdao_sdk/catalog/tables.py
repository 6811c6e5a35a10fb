"""Reads the catalog's JSON tables, each once and only when it is asked for."""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import Any


@functools.cache
def table(name: str) -> dict[str, Any]:
    """A table of the catalog.

    Args:
        name: ``"failures"``, ``"images"``, ``"instances"``, ``"prices"`` or ``"support"``.

    Returns:
        The parsed file; every one has ``source`` and ``as_of``. Shared: not to be changed.
    """
    resource = importlib.resources.files("cdao_sdk.catalog") / f"{name}.json"
    # The tables' shapes differ; each reader narrows what it takes out.
    loaded: dict[str, Any] = json.loads(resource.read_bytes())
    return loaded
