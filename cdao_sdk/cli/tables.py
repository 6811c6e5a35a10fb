"""Plain tables: columns aligned, nothing cut off, good for eyes and for ``grep``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["aligned"]


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a head.

    Example:
        >>> print(aligned(("NAME", "N"), [("a", "10"), ("long", "2")]))
        NAME  N
        a     10
        long  2
    """
    table = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in table
    )
    return "\n".join(line.rstrip() for line in lines)
