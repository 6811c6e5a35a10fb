"""Typed reading of a Create… request, which arrives as plain JSON that the server has validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

Document = Mapping[str, object]


def section(document: Document, name: str) -> Document:
    """The structure called `name`; an empty one where it is missing."""
    value = document.get(name)
    return cast("Document", value) if isinstance(value, Mapping) else {}


def sections(document: Document, name: str) -> list[Document]:
    """The list of structures called `name`; an empty one where it is missing."""
    value = document.get(name)
    return cast("list[Document]", value) if isinstance(value, list) else []


def text(document: Document, name: str, default: str = "") -> str:
    """The string called `name`."""
    value = document.get(name)
    return value if isinstance(value, str) else default


def texts(document: Document, name: str) -> list[str]:
    """The list of strings called `name`."""
    value = document.get(name)
    return [str(item) for item in cast("list[object]", value)] if isinstance(value, list) else []


def whole(document: Document, name: str, default: int) -> int:
    """The whole number called `name`."""
    value = document.get(name)
    return value if isinstance(value, int) else default


def mapping(document: Document, name: str) -> dict[str, str]:
    """The map of strings called `name`; an empty one where it is missing."""
    return {key: str(value) for key, value in section(document, name).items()}
